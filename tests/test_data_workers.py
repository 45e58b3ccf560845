"""A loader's workers: random numbers, errors, deaths, time limits, and what they leave behind."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.data import DataLoader, Dataset, IterableDataset, Subset, get_worker_info
from rushlight.data.seeds import sample_seed

CHILD = Path(__file__).with_name("loader_leaks_child.py")
KINDS: dict[str, dict[str, Any]] = {"threads": {}, "processes": {"multiprocessing_context": "fork"}}
both = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
SOON = 1.0  # seconds within which a death or a time limit must be reported


class Noisy(Dataset[Any]):
    """Random samples; in processes also from Python's and NumPy's global generators."""

    def __init__(self, others: bool = False):
        self.others = others

    def __len__(self) -> int:
        return 26

    def __getitem__(self, i: int) -> Any:
        values = [i, rl.rand(1).item(), rl.randint(0, 99, (1,)).item()]
        info = get_worker_info()
        assert info is not None and info.rng is not None
        values += [info.rng.random_generator.random(), float(info.rng.numpy_generator.random())]
        values.append(rl.rand(1, generator=info.rng.torch_generator).item())
        if self.others:
            values += [random.random(), float(np.random.random())]
        return values + [rl.nn.functional.dropout(rl.ones(8)).sum().item()]


def rows(data: Any, batch_size: int | None = 4, epochs: int = 2, **options: Any) -> list[Any]:
    rl.manual_seed(11)
    loader = DataLoader(data, batch_size, shuffle=True, **options)
    found: list[Any] = []
    for _ in range(epochs):
        for batch in loader:
            found += [batch] if batch_size is None else np.stack([column.numpy() for column in batch], 1).tolist()
    return found


@pytest.mark.parametrize("batch_size", [4, None])
def test_random_numbers_do_not_depend_on_the_workers(batch_size: int | None) -> None:
    expected = rows(Noisy(), batch_size, num_workers=1)
    for options in ({"num_workers": 3}, {"num_workers": 2, "prefetch_factor": 5},
                    {"num_workers": 4, "persistent_workers": True},
                    {"num_workers": 1, **KINDS["processes"]}, {"num_workers": 2, **KINDS["processes"]},
                    {"num_workers": 2, "persistent_workers": True, **KINDS["processes"]}):
        assert rows(Noisy(), batch_size, **options) == expected, options
    samples = {tuple(row[1:3]) for row in expected}
    assert len(samples) == len(expected) == 52  # every sample of every epoch has numbers of its own


def test_batch_size_does_not_change_a_samples_numbers() -> None:
    assert rows(Noisy(), 4, num_workers=2) == rows(Noisy(), 7, num_workers=3)


def test_global_generators_of_processes() -> None:
    expected = rows(Noisy(others=True), num_workers=1, **KINDS["processes"])
    assert rows(Noisy(others=True), num_workers=3, **KINDS["processes"]) == expected
    assert len({row[6] for row in expected}) == len({row[7] for row in expected}) == 52


@both
def test_workers_leave_the_main_generator_alone(kind: dict[str, Any]) -> None:
    rl.manual_seed(1)
    list(DataLoader(range(5), num_workers=2))
    after = rl.rand(2).tolist()
    rl.manual_seed(1)

    class Seeding(Noisy):
        def __getitem__(self, i: int) -> Any:
            rl.manual_seed(7)
            return rl.rand(1)
    found = rl.cat(list(DataLoader(Seeding(), num_workers=2, **kind)))
    assert rl.rand(2).tolist() == after and len(set(found.flatten().tolist())) == 1


def test_sample_seeds_of_an_epoch_are_all_different() -> None:
    assert len({sample_seed(2**62 + 12345, place) for place in range(100_000)}) == 100_000
    first = np.array([rl.rand(1, generator=rl.Generator().manual_seed(sample_seed(5, place))).item()
                      for place in range(2000)])
    assert abs(first.mean() - 0.5) < 0.03 and abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.08


@both
def test_worker_info_and_init(kind: dict[str, Any]) -> None:
    def init(number: int) -> None:
        info = get_worker_info()
        assert info is not None and info.id == number and info.seed == rl.initial_seed()
        info.dataset.greeting = f"{number} of {info.num_workers}"

    class Greeting(Dataset[str]):
        greeting = "nobody"

        def __len__(self) -> int:
            return 4

        def __getitem__(self, i: int) -> str:
            return self.greeting
    data = Greeting()
    found = list(DataLoader(data, None, num_workers=2, worker_init_fn=init, **kind))
    assert found == ["0 of 2", "1 of 2"] * 2
    assert data.greeting == "nobody" and get_worker_info() is None  # each worker has a data set of its own
    inner = Subset(data, [0, 1])
    list(DataLoader(inner, None, num_workers=2,
                    worker_init_fn=lambda n: setattr(get_worker_info().dataset.dataset, "greeting", n), **kind))
    assert data.greeting == "nobody"


class Stream(IterableDataset[Any]):
    """Random numbers, a few from each worker."""

    def __iter__(self) -> Any:
        for _ in range(3):
            yield rl.rand(1).item()


@both
def test_streams_have_one_sequence_per_worker_and_epoch(kind: dict[str, Any]) -> None:
    found = []
    for persistent in (False, True):
        rl.manual_seed(2)
        loader = DataLoader(Stream(), None, num_workers=2, persistent_workers=persistent, **kind)
        found.append([list(loader), list(loader)])
    assert found[0] == found[1]
    assert len({*found[0][0], *found[0][1]}) == 12


class Faulty(Dataset[Any]):
    """Raises what it is told to at index 5."""

    def __init__(self, error: Exception):
        self.error = error

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> int:
        if i == 5:
            raise self.error
        return i


class Particular(Exception):
    """Cannot be made from a message."""

    def __init__(self, a: int, b: int):
        super().__init__(f"{a} and {b}")


@both
@pytest.mark.parametrize("error, kept",
                         [(ValueError("bad sample"), ValueError), (KeyError("no such key"), KeyError),
                          (StopIteration("not an end"), RuntimeError), (Particular(1, 2), RuntimeError)], ids=repr)
def test_exceptions_arrive_with_their_traceback(kind: dict[str, Any], error: Exception, kept: type[Exception]) -> None:
    with pytest.raises(kept) as e:
        list(DataLoader(Faulty(error), 2, num_workers=2, **kind))
    text = str(e.value)
    assert text.startswith(f"Caught {type(error).__name__} in DataLoader worker process 0")
    assert "in __getitem__\n    raise self.error\n" in text and "test_data_workers.py" in text and str(error) in text
    assert "\\n" not in text


@both
def test_exceptions_of_init_and_collate(kind: dict[str, Any]) -> None:
    def broken(_: Any) -> Any:
        raise OSError("broken")
    for options in ({"worker_init_fn": broken}, {"collate_fn": broken}):
        with pytest.raises(OSError, match="Caught OSError in DataLoader worker process"):
            list(DataLoader(range(8), 2, num_workers=2, **options, **kind))


def test_batches_that_cannot_be_sent() -> None:
    with pytest.raises(Exception, match="in DataLoader worker process 0") as e:
        list(DataLoader(range(4), 2, num_workers=1, collate_fn=lambda batch: lambda: batch, **KINDS["processes"]))
    assert "pickle" in str(e.value).lower()
    assert [f() for f in DataLoader(range(4), 2, num_workers=1, collate_fn=lambda batch: lambda: batch)] == [[0, 1], [2, 3]]


class Slow(Dataset[Any]):
    """Says its pid at 0, is slow at 1 and later; ``end`` is what it does at 2."""

    def __init__(self, end: Any = None):
        self.end = end

    def __len__(self) -> int:
        return 40

    def __getitem__(self, i: int) -> int:
        if i == 2 and self.end is not None:
            self.end()
        if i > 1:
            time.sleep(30)
        return os.getpid()


def test_a_killed_worker_is_named() -> None:
    """Killed while the main process waits for the batch of another, which will be long in coming."""
    batches = iter(DataLoader(Slow(), None, num_workers=2, **KINDS["processes"]))
    pids = [next(batches), next(batches)]
    killed: list[float] = []

    def kill() -> None:
        time.sleep(0.3)
        killed.append(time.monotonic())
        os.kill(pids[1], signal.SIGKILL)
    threading.Thread(target=kill).start()
    with pytest.raises(RuntimeError) as e:
        next(batches)
    late = time.monotonic() - killed[0]
    assert str(e.value).startswith(f"DataLoader worker (pid {pids[1]}) is killed by signal: Killed.")
    assert late < SOON, late
    assert not {child.pid for child in multiprocessing.active_children()} & set(pids)
    with pytest.raises(RuntimeError, match="is killed by signal"):
        next(batches)


@pytest.mark.parametrize("end, says",
                         [(lambda: os.kill(os.getpid(), signal.SIGTERM), "is killed by signal: Terminated"),
                          (lambda: os._exit(3), "exited unexpectedly with exit code 3"),
                          (lambda: sys.exit(4), "exited unexpectedly with exit code 4")])
def test_a_worker_that_ends_by_itself(end: Any, says: str) -> None:
    batches = iter(DataLoader(Slow(end), None, num_workers=1, **KINDS["processes"]))
    pid = next(batches)
    next(batches)
    start = time.monotonic()
    with pytest.raises(RuntimeError) as e:
        next(batches)
    assert time.monotonic() - start < SOON and f"pid {pid}" in str(e.value) and says in str(e.value)


@both
@pytest.mark.parametrize("workers", [1, 3])
def test_a_time_limit(kind: dict[str, Any], workers: int) -> None:
    others = set(multiprocessing.active_children())
    batches = iter(DataLoader(Slow(), None, num_workers=workers, timeout=0.5, **kind))
    next(batches)
    next(batches)
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="DataLoader timed out after 0.5 seconds"):
        next(batches)
    assert 0.5 <= time.monotonic() - start < 0.5 + SOON
    assert set(multiprocessing.active_children()) <= others


def test_large_batches_and_large_requests_do_not_wait_for_each_other() -> None:
    """Both directions of a pipe hold less than one message here."""
    class Echo(Dataset[str]):
        def __getitem__(self, key: str) -> str:
            return key
    keys = [letter * 2_000_000 for letter in "abcdef"]
    loader = DataLoader(Echo(), None, sampler=keys, num_workers=1, prefetch_factor=3, timeout=60, **KINDS["processes"])
    assert list(loader) == keys


@both
def test_any_order(kind: dict[str, Any]) -> None:
    class First(Dataset[int]):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, i: int) -> int:
            time.sleep(0.5 if i == 0 else 0)
            return i
    found = list(DataLoader(First(), None, num_workers=2, in_order=False, **kind))
    assert sorted(found) == list(range(6)) and found[0] != 0
    assert list(DataLoader(First(), None, num_workers=2, **kind)) == list(range(6))


@both
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_so_many_batches_are_fetched_ahead(kind: dict[str, Any], factor: int) -> None:
    asked = []

    class Asking(list[int]):
        def __iter__(self) -> Any:
            for i in range(20):
                asked.append(i)
                yield i
    batches = iter(DataLoader(range(20), 1, sampler=Asking(), num_workers=2, prefetch_factor=factor, **kind))
    assert len(asked) == 2 * factor
    next(batches)
    assert len(asked) == 2 * factor + 1


@both
def test_persistent_workers_stay_and_a_broken_off_epoch_does_not_show(kind: dict[str, Any]) -> None:
    class Where(Dataset[Any]):
        def __len__(self) -> int:
            return 12

        def __getitem__(self, i: int) -> Any:
            return i, os.getpid(), threading.get_ident()
    for persistent in (True, False):
        loader = DataLoader(Where(), 2, num_workers=2, persistent_workers=persistent, **kind)
        next(iter(loader))  # broken off
        runs = [[[column.tolist() for column in batch] for batch in loader] for _ in range(3)]
        assert all([i for batch in run for i in batch[0]] == list(range(12)) for run in runs)
        who = {(pid, ident) for run in runs for batch in run for pid, ident in zip(batch[1], batch[2], strict=True)}
        if persistent:
            assert len(who) == 2
        elif kind:
            assert len(who) == 6


@both
def test_work_is_done_in_the_worker(kind: dict[str, Any]) -> None:
    """A batch is realized where it was made: nothing is left for the main thread."""
    class Lazy(Dataset[Any]):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, i: int) -> Any:
            return (rl.full((3,), float(i)) * 2).exp()
    for batch in DataLoader(Lazy(), 2, num_workers=1, **kind):
        assert batch._storage.cell.buffer is not None


def test_a_data_set_that_was_recorded_and_not_run() -> None:
    x = rl.arange(12.0).reshape(6, 2) * 3  # pending in the main thread's graph
    for kind in KINDS.values():
        data = [x[i] for i in range(6)]
        found = rl.cat(list(DataLoader(data, 2, num_workers=2, **kind)))
        assert found.tolist() == x.tolist()


def test_a_thousand_loaders_leave_nothing() -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    ran = subprocess.run([sys.executable, str(CHILD)], capture_output=True, text=True, timeout=300,
                         env={**os.environ, "PYTHONPATH": os.pathsep.join([str(CHILD.parents[1]), *sys.path])})
    assert ran.returncode == 0, ran.stderr
    before, after = json.loads(ran.stdout)
    assert after == before and not ran.stderr


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    """Also when the parent is killed and can tell them nothing."""
    code = ("import os, time\nfrom rushlight.data import DataLoader\nclass D:\n    def __len__(self): return 9\n    "
            "def __getitem__(self, i): return os.getpid() if i < 2 else time.sleep(60)\nb = iter(DataLoader(D(), None, "
            "num_workers=2, multiprocessing_context='fork'))\nprint(next(b), next(b), flush=True)\ntime.sleep(60)\n")
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "PYTHONPATH": os.pathsep.join([str(CHILD.parents[1]), *sys.path])})
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        if not any(alive(pid) for pid in pids):
            return
        time.sleep(0.1)
    raise AssertionError("a worker outlived its parent by ten seconds")


def alive(pid: int) -> bool:
    """Whether a process runs: one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("options", [{"num_workers": 2}, {"num_workers": 1, "multiprocessing_context": "fork"}],
                         ids=["threads", "process"])
def test_after_an_error_workers_end_without_the_garbage_collector(options: dict[str, Any]) -> None:
    def use() -> str:
        try:
            return str(list(DataLoader([0, None], 2, persistent_workers=True, **options)))
        except Exception as error:  # noqa: BLE001 - pytest.raises would keep it, and with it the workers
            return str(error)
    gc.collect()
    before = threading.active_count() + len(multiprocessing.active_children())
    gc.disable()
    try:
        assert "in DataLoader worker" in use()
        deadline = time.monotonic() + 20
        while (left := threading.active_count() + len(multiprocessing.active_children())) > before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert left <= before
    finally:
        gc.enable()
