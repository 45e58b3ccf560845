"""torch.multiprocessing: shared tensors, spawned processes, their errors."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import mp_functions
import pytest

import rushlight as rl
import rushlight.multiprocessing as mp


def test_processes_write_into_shared_memory() -> None:
    t = rl.zeros(3)
    view = t[1:]
    assert not t.is_shared()
    t.share_memory_()
    assert t.is_shared() and view.is_shared()
    mp.spawn(mp_functions.fill, args=(t,), nprocs=2)
    assert t.tolist() == [1.0, 2.0, 0.0] and view.tolist() == [2.0, 0.0]


def test_models_are_shared() -> None:
    model = rl.nn.Linear(2, 1)
    model.share_memory()
    before = model.weight.tolist()
    context = mp.start_processes(mp_functions.step, args=(model,), nprocs=1, start_method="spawn", join=False)
    assert context is not None and len(context.pids()) == 1
    while not context.join(timeout=0.5):
        pass
    assert model.weight.tolist()[0] == pytest.approx([w - 1.0 for w in before[0]], abs=1e-6)


def test_queues_carry_tensors_by_reference() -> None:
    context = mp.get_context("spawn")
    inbox, outbox = context.Queue(), context.Queue()
    process = context.Process(target=mp_functions.echo, args=(inbox, outbox))
    process.start()
    t = rl.arange(6.).reshape(2, 3).t()
    inbox.put(t)
    got = outbox.get(timeout=60)
    assert got.tolist() == (rl.arange(6.).reshape(2, 3).t() * 2 + 1).tolist()
    assert t.tolist() == (rl.arange(6.).reshape(2, 3).t() * 2).tolist()  # written over there
    inbox.put(None)
    process.join(30)
    assert process.exitcode == 0


def test_an_exception_ends_all_and_arrives_with_its_traceback() -> None:
    start = time.monotonic()
    with pytest.raises(mp.ProcessRaisedException,
                       match=r"(?s)-- Process 1 terminated.*process one has a complaint") as e:
        mp.spawn(mp_functions.fail, nprocs=2)
    assert e.value.error_index == 1 and time.monotonic() - start < 45


@pytest.mark.parametrize("how", ["raise", "die"])
def test_the_first_failure_is_told_not_what_follows_from_it(how: str, tmp_path: Path) -> None:
    context = mp.start_processes(mp_functions.follow, (how, str(tmp_path)), nprocs=2, join=False, start_method="spawn")
    for process in context.processes:
        process.join(30)
    with pytest.raises(mp.ProcessException, match="process one has a complaint" if how == "raise" else "process 1 terminated with signal SIGKILL"):
        while not context.join():
            pass


def test_deaths_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(mp.ProcessExitedException, match="process 0 terminated with signal SIGKILL") as e:
        mp.spawn(mp_functions.die)
    assert e.value.signal_name == "SIGKILL"
    with pytest.raises(mp.ProcessExitedException, match="process 0 terminated with exit code 7") as e:
        mp.spawn(mp_functions.leave)
    assert e.value.exit_code == 7
    assert not list(tmp_path.glob("rushlight-errors-*"))


def test_results_of_computations_do_not_cross() -> None:
    q = mp.SimpleQueue()
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor"):
        q.put(rl.ones(1, requires_grad=True) * 2)


def test_names_and_strategies() -> None:
    assert mp.get_all_sharing_strategies() == {"file_descriptor", "file_system"}
    mp.set_sharing_strategy("file_system")
    assert mp.get_sharing_strategy() == "file_system"
    mp.set_sharing_strategy("file_descriptor")
    with pytest.raises(AssertionError, match="sharing strategy"):
        mp.set_sharing_strategy("telepathy")
    assert mp.current_process().name == "MainProcess" and mp.cpu_count() >= 1 and mp.Pool and mp.Manager
    assert mp.pool.ThreadPool
    with rl.no_grad(), pytest.raises(RuntimeError, match="belongs to somebody outside"):
        array = rl.ones(2).numpy()
        rl.from_numpy(array).share_memory_()
