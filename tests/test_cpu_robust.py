"""What must never happen: hanging children, races, accesses out of bounds, bad cache files believed."""

from __future__ import annotations

import _thread
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from operator import methodcaller
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from executors import only

import rushlight as rl
import rushlight.nn.functional as F
from rushlight.exec import realize
from rushlight.exec.cpu import disk, executor, memory
from rushlight.exec.stats import stats

pytestmark = pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
HERE = Path(__file__).parent


def work() -> float:
    """Products, convolutions, elementwise and reductions, forward and backward, large enough for several threads."""
    x = rl.randn(300, 300, requires_grad=True)
    y = (x @ x).relu().sum() + (x.exp() * 2).sum() + F.conv2d(x[None, None], rl.ones(8, 1, 3, 3)).square().mean()
    y.backward()
    return float(x.grad.sum())


def test_children_of_a_process_that_used_threads_compute() -> None:
    work()
    for _ in range(30):
        pid = os.fork()
        if pid == 0:
            work()
            os._exit(7)
        end = time.monotonic() + 60
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                assert os.waitstatus_to_exitcode(status) == 7
                break
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise AssertionError("a forked child hangs")
            time.sleep(0.002)


@pytest.fixture(params=[1e-6, 5e-3])
def switching(request: pytest.FixtureRequest) -> Iterator[None]:
    """Threads change places after so many seconds: almost between any two steps, or as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(request.param)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching")
def test_eight_threads_add_into_one_leaf() -> None:
    with only("cpu"):
        for _ in range(4):
            leaf = rl.ones(64, requires_grad=True)
            errors: list[BaseException] = []

            def run(leaf: rl.Tensor = leaf, errors: list[BaseException] = errors) -> None:
                try:
                    for _ in range(200):
                        (leaf * 2).sum().backward()
                except BaseException as e:
                    errors.append(e)
            threads = [threading.Thread(target=run) for _ in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            assert not errors
            assert leaf.grad.tolist() == [8 * 200 * 2.0] * 64


def test_a_value_is_read_while_another_thread_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread records the last reader of a value and lets go of it just when another thread has taken its graph to run."""
    begun, taken, recorded = (threading.Event() for _ in range(3))
    shown: dict[str, rl.Tensor] = {}
    found: list[list[float]] = []

    def record() -> None:
        x = rl.tensor([1.0, 2.0])
        y, shown["z"] = x + 1, x * 3
        begun.set()
        assert taken.wait(20)
        w = y * 2
        del y
        recorded.set()
        found.append(w.tolist())

    def summary(*args: Any) -> Any:
        if threading.current_thread() is threading.main_thread():
            taken.set()
            assert recorded.wait(20)
        return original(*args)
    original = realize._summary
    monkeypatch.setattr(realize, "_summary", summary)
    thread = threading.Thread(target=record)
    thread.start()
    assert begun.wait(20)
    assert shown["z"].tolist() == [3.0, 6.0]
    thread.join()
    assert found == [[4.0, 6.0]]


def test_threads_run_one_plan_at_once() -> None:
    """The same plan in several threads, with other numbers each: nobody sees the others' scratch memory."""
    with only("cpu"):
        found: dict[int, list[float]] = {}

        def run(k: int) -> None:
            rl.set_grad_enabled(False)
            x = rl.full((200, 300), float(k))
            found[k] = [((x * 3).sum(1) @ x[:, :4] / k).sum().item() for _ in range(50)]
        threads = [threading.Thread(target=run, args=(k,)) for k in range(1, 7)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for k, values in found.items():
            assert len(set(values)) == 1
            assert values[0] == pytest.approx(900.0 * 200 * 4 * k, rel=1e-5)


def child(mode: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(HERE / "cpu_faults_child.py"), mode],
                          capture_output=True, text=True, timeout=600,
                          env={**os.environ, "RUSHLIGHT_TIER": "1",
                               "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]), **environment})


@pytest.mark.parametrize("mode", ["guard", "hostile"])
def test_no_access_out_of_bounds(mode: str) -> None:
    done = child(mode)
    assert done.returncode == 0 and "survived" in done.stdout, (done.returncode,
                                                                done.stdout[-500:], done.stderr[-3000:])


@pytest.mark.parametrize("mode", [False, True], ids=["generated", "deterministic"])
def test_the_number_of_threads_changes_no_bit(mode: bool) -> None:
    before = rl.get_num_threads()

    def bits() -> list[bytes]:
        rl.manual_seed(0)
        x = rl.randn(300, 5000)
        results = [x.exp().sum(), x.softmax(0), x.sum(1), (x * 2 - x.mean(1, keepdim=True)).square().mean(0),
                   x.double().sum(), F.layer_norm(x, (5000,)).sum(0)]
        if mode:
            images = rl.randn(8, 3, 40, 40)
            layers = rl.nn.Sequential(rl.nn.Conv2d(3, 16, 3), rl.nn.BatchNorm2d(16), rl.nn.ReLU(),
                                      rl.nn.MaxPool2d(2), rl.nn.Flatten(), rl.nn.Linear(5776, 10))
            loss = layers(images).square().sum()
            loss.backward()
            results += [loss, *[p.grad for p in layers.parameters()]]
        return [r.detach().numpy().tobytes() for r in results]
    try:
        rl.use_deterministic_algorithms(mode)
        found = []
        for n in (1, 2, 3, 8):
            rl.set_num_threads(n)
            found.append(bits())
        assert found[1] == found[0] and found[2] == found[0] and found[3] == found[0]
    finally:
        rl.use_deterministic_algorithms(False)
        rl.set_num_threads(before)


def test_an_index_out_of_range_names_itself() -> None:
    with only("cpu"):
        target = rl.tensor([0, 1, 12]) * 1
        with pytest.raises(IndexError, match="Target 12 is out of bounds"):
            F.cross_entropy(rl.randn(3, 10) * 2, target).item()
        with pytest.raises(IndexError, match="index out of range"):
            F.embedding(rl.tensor([0, 70]) * 1, rl.randn(10, 4) * 1).sum().item()


SCRIPT = ("import rushlight as rl; from rushlight.exec.cpu.jit import COMPILED; x = rl.arange(100000.); "
          "print((x.sin() * 2).sum().item(), COMPILED.built, COMPILED.loaded)")


def in_new_process(folder: Path | str) -> tuple[float, int, int]:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True,
                          env={**os.environ, "RUSHLIGHT_CACHE_DIR": str(folder), "PYTHONPATH": str(HERE.parent)})
    value, built, loaded = done.stdout.split()
    return float(value), int(built), int(loaded)


def test_kernels_are_kept_between_processes(tmp_path: Path) -> None:
    first = in_new_process(tmp_path)
    again = in_new_process(tmp_path)
    assert first[1] > 0 and again == (first[0], 0, first[1])
    files = [f for f in tmp_path.rglob("*") if f.is_file()]
    assert files and all(stat.S_IMODE(f.stat().st_mode) == 0o600 for f in files)
    assert all(stat.S_IMODE(f.stat().st_mode) & 0o077 == 0
               for f in files[0].parents if f != tmp_path and tmp_path in f.parents)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "foreign"])
def test_damaged_kernels_are_compiled_anew(damage: str, tmp_path: Path) -> None:
    first = in_new_process(tmp_path)
    for file in [f for f in tmp_path.rglob("*") if f.is_file()]:
        data = bytearray(file.read_bytes())
        if damage == "flip":
            data[len(data) // 2] ^= 0x10
        file.write_bytes({"flip": bytes(data), "cut": bytes(data[:len(data) // 2]), "empty": b"",
                          "foreign": b"\x7fELF" + os.urandom(2000)}[damage])
    assert in_new_process(tmp_path)[:2] == first[:2]


def test_without_a_cache_folder(tmp_path: Path) -> None:
    locked = tmp_path / "file"
    locked.write_text("not a folder")
    assert in_new_process("")[0] == in_new_process(locked)[0]


def test_the_cache_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MOST_BYTES", 10_000)
    for n in range(40):
        disk.keep(tmp_path / "kernels" / "v", f"k{n}", bytes(1000))
    assert sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()) <= 11_500
    assert disk.read(tmp_path / "kernels" / "v", "k39") == bytes(1000)


LOSSES = """
import rushlight as rl
from rushlight import nn
rl.manual_seed(0)
model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
optimizer = rl.optim.SGD(model.parameters(), lr=0.1)
x, y = rl.randn(64, 784), rl.arange(64) % 10
for _ in range(4):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    print(loss.item())
"""


@pytest.mark.parametrize("setting",
                         ["OMP_THREAD_LIMIT=1", "OMP_DYNAMIC=TRUE", "OMP_MAX_ACTIVE_LEVELS=0", "OMP_NUM_THREADS=3"])
def test_settings_of_openmp_leave_no_work_undone(setting: str) -> None:
    """A primitive made for two threads that gets one would compute half."""
    name, value = setting.split("=")
    found = []
    for environment in ({}, {name: value}):
        done = subprocess.run([sys.executable, "-c", LOSSES], capture_output=True, text=True, check=True,
                              env={**os.environ, "PYTHONPATH": str(HERE.parent), **environment})
        found.append([float(v) for v in done.stdout.split()])
    assert len(found[0]) == 4 and found[1] == pytest.approx(found[0], rel=1e-5)


def test_an_interrupt_arrives() -> None:
    """Ctrl-C ends a long computation at the next plan."""
    script = ("import rushlight as rl, signal\n"
              "signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell start without\n"
              "x = rl.randn(400, 400)\nprint('ready', flush=True)\n"
              "while True:\n    x = (x @ x).tanh(); x.sum().item()\n")
    running = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**os.environ, "PYTHONPATH": str(HERE.parent)})
    try:
        assert running.stdout is not None and running.stdout.readline() == b"ready\n"
        time.sleep(0.3)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=30)
    finally:
        running.kill()
    assert b"KeyboardInterrupt" in errors


def test_an_interrupt_that_arrives_as_memory_goes_is_not_lost() -> None:
    """Both are made by one call of C, so that nothing looks for signals in between but a function of Python's that counts the memory out."""
    buffers = [np.zeros(10)]
    before = stats.bytes_live
    stats.track(buffers[0], 80)
    assert stats.bytes_live == before + 80
    with pytest.raises(KeyboardInterrupt):
        list(map(methodcaller("__call__"), [_thread.interrupt_main, buffers.clear]))
        time.sleep(5)
    assert stats.bytes_live == before


@pytest.mark.parametrize("executor", ["numpy", "cpu"])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_a_failed_step_leaves_the_model_as_it_was(executor: str, optimizer: str) -> None:
    """A bad batch raises, and training goes on with the parameters and running statistics of before."""
    with only(executor):
        rl.manual_seed(0)
        model = rl.nn.Sequential(rl.nn.Linear(4, 6), rl.nn.BatchNorm1d(6), rl.nn.Linear(6, 3))
        opt = getattr(rl.optim, optimizer)(model.parameters(), lr=0.1)
        x, good = rl.randn(8, 4), rl.arange(8) % 3

        def step(target: rl.Tensor) -> float:
            opt.zero_grad()
            loss = F.cross_entropy(model(x), target)
            loss.backward()
            opt.step()
            return loss.item()
        first = [step(good) for _ in range(3)]
        before = {k: v.clone() for k, v in model.state_dict().items()}
        assert all(v.isfinite().all() for v in before.values())
        with pytest.raises(IndexError, match="Target 50 is out of bounds"):
            step(good * 50)
        for k, v in model.state_dict().items():
            assert rl.equal(v, before[k]), k
        assert step(good) < first[0]


def test_numbers_beyond_64_bits_run_elsewhere() -> None:
    with only("cpu"):
        x = rl.ones(4)
        np.testing.assert_array_equal((x * 1e300).numpy(), [np.inf] * 4)
        assert (rl.ones(4, dtype=rl.float64) * (1 << 70)).sum().item() == 4 * 2.0 ** 70


def test_threads_that_read_each_others_pending_values() -> None:
    """Each of two graphs reads a value that is pending in the other one."""
    steps = [threading.Event() for _ in range(3)]
    shared: dict[str, rl.Tensor] = {}
    x = rl.tensor([1.0, 2.0], requires_grad=True)

    def other() -> None:
        shared["b"] = x + 1
        steps[0].set()
        assert steps[1].wait(20)
        shared["b2"] = shared["b"] + shared["a"]
        steps[2].set()
    thread = threading.Thread(target=other)
    thread.start()
    assert steps[0].wait(20)
    shared["a"] = x * 2
    steps[1].set()
    assert steps[2].wait(20)
    thread.join()
    last = shared["a"] + shared["b"]
    assert last.tolist() == [4.0, 7.0]
    assert shared["b2"].tolist() == [4.0, 7.0]
    (last * shared["b2"]).sum().backward()
    assert x.grad.tolist() == [24.0, 42.0]


@pytest.mark.skipif(not Path("/proc/self/smaps").is_file(), reason="the system does not show how memory is mapped")
def test_large_results_and_the_arena_lie_in_ordinary_pages() -> None:
    def flags(address: int) -> str:
        inside = False
        for line in Path("/proc/self/smaps").read_text().splitlines():
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                begin, end = (int(x, 16) for x in line.split()[0].split("-"))
                inside = begin <= address < end
            elif inside and line.startswith("VmFlags"):
                return line
        raise AssertionError("no such memory")
    with only("cpu"):
        x = rl.randn(3000, 1000) * 2
        found = ((x * 3).softmax(1), x)[0]
        middle = found.numpy().ctypes.data + found.numpy().nbytes // 2
    arena = max(memory.SCRATCH.free, key=len)
    assert " hg" not in flags(middle) and " hg" not in flags(arena.ctypes.data + len(arena) // 2)
    assert arena.ctypes.data % memory.ALIGN == 0 and arena.flags.writeable
