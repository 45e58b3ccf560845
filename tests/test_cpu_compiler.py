"""Machine code made by several threads at once, and what happens when one of them fails."""

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

import rushlight as rl
from rushlight.exec.cpu import compiler, emit, host, jit
from rushlight.exec.cpu.jit import Compiled

pytestmark = pytest.mark.skipif(not host.available(), reason="needs llvmlite and a known processor")

SUM = "define i64 @{name}(i64 %x) {{\n  %y = add i64 %x, {number}\n  ret i64 %y\n}}\n"


def adding(number: int) -> Callable[[str], str]:
    """Writes a function that adds a number."""
    return lambda name: SUM.format(name=name, number=number)


def called(address: int, x: int) -> int:
    import ctypes
    return int(ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)(x))


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Compiled:
    """Functions that are kept nowhere."""
    monkeypatch.setenv("RUSHLIGHT_CACHE_DIR", "")
    return Compiled()


def kernels() -> list[str]:
    """The texts of the kernels of a small training step, found by running it with nothing compiled yet."""
    texts = []

    def noted(write: Callable[[str], str]) -> Callable[[str], str]:
        texts.append(write("kernel"))
        return write
    x = rl.randn(33, 40, requires_grad=True)
    fresh, found = Compiled(), emit.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rushlight.exec.cpu.plan.COMPILED", fresh)
        patch.setattr(emit, "write", lambda k, name: noted(partial(found, k)) and found(k, name))
        (x.softmax(1).log() * x.tanh()).sum().backward()
        assert x.grad is not None
        x.grad.numpy()
    return texts


def test_several_threads_make_the_same_code_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSHLIGHT_CACHE_DIR", "")
    texts = kernels()
    assert len(texts) >= 2
    alone = [compiler.assemble(text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(compiler.assemble, texts * 6)) == alone * 6


def test_without_the_unlocked_functions_the_code_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = adding(4)("f")
    before = compiler.assemble(text)
    assert compiler._unlocked("LLVMPY_TargetMachineEmitToMemory") is not None
    monkeypatch.setattr(compiler, "_unlocked", lambda name: None)
    assert compiler.assemble(text) == before


def test_functions_are_made_at_the_same_time(compiled: Compiled) -> None:
    meeting = threading.Barrier(3, timeout=30)  # breaks unless three threads are in here at once

    def write(number: int, name: str) -> str:
        meeting.wait()
        return adding(number)(name)
    wanted = [(f"adds {n}", partial(write, n), False) for n in range(6)]
    found = compiled.all(wanted + wanted[:2], 3)
    assert [called(a, 10) for a in found] == [10, 11, 12, 13, 14, 15, 10, 11]
    assert compiled.built == 6


def test_an_error_is_raised_where_the_function_was_asked_for(compiled: Compiled) -> None:
    def broken(name: str) -> str:
        raise IndexError("no such kernel")
    wanted = [("good 1", adding(1), False), ("broken", broken, False), ("good 2", adding(2), False)]
    with pytest.raises(IndexError, match="no such kernel"):
        compiled.all(wanted, 2)
    with pytest.raises(RuntimeError, match="LLVM IR parsing error"):
        compiled.address("nonsense", lambda name: "define nonsense")
    assert [called(a, 0) for a in compiled.all([wanted[0], wanted[2]], 2)] == [1, 2]


def test_ctrl_c_stops_all_threads(compiled: Compiled) -> None:
    main, begun = threading.current_thread(), []

    def write(number: int, name: str) -> str:
        begun.append(number)
        if threading.current_thread() is main:
            raise KeyboardInterrupt
        return adding(number)(name)
    with pytest.raises(KeyboardInterrupt):
        compiled.all([(f"adds {n}", partial(write, n), False) for n in range(500)], 2)
    assert len(begun) < 400 and threading.active_count() == 1 + sum(t is not main for t in threading.enumerate())
    assert called(compiled.address("adds 3", adding(3)), 1) == 4


def test_a_child_forked_in_the_middle_makes_its_own() -> None:
    x = rl.arange(7.)
    with jit.COMPILED.lock:  # as another thread has it
        child = os.fork()
        if not child:
            signal.alarm(60)
            try:
                right = np.allclose((x * 1.25).cosh().numpy(), np.cosh(np.arange(7) * 1.25), rtol=1e-6)
            finally:
                os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
