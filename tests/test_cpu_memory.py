"""Where plans keep their values (rushlight.exec.cpu.memory)."""

from __future__ import annotations

import _thread
import gc
import os
import random
import subprocess
import sys
import threading
import time
from operator import methodcaller
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rushlight as rl
from rushlight.exec.cpu import memory

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

BESIDE_A_CHILD = """
import os, time
import numpy as np
import rushlight as rl

x = rl.from_numpy(np.random.default_rng(0).standard_normal((64, 300), np.float32))
layers = [rl.nn.Linear(300, 300) for _ in range(3)]

def ask():
    with rl.no_grad():
        h = x
        for layer in layers:
            h = layer(h).tanh().softmax(1) * 3
        return h.sum(0).tolist()
wanted = ask()
assert all(ask() == wanted for _ in range(5))
child = os.fork()
end = time.monotonic() + 1
wrong = asked = 0
while time.monotonic() < end:
    wrong += ask() != wanted
    asked += 1
assert asked > 20
if not child:
    os._exit(min(wrong, 100))
print(wrong, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@forks
def test_a_forked_child_has_an_arena_of_its_own():
    arena = memory.Scratch().take(4096)
    arena[:] = 7
    child = os.fork()
    if not child:
        arena[:] = 9
        os._exit(0)
    os.waitpid(child, 0)
    assert (arena == 7).all()


@forks
def test_a_process_and_its_child_compute_at_the_same_time():
    done = subprocess.run([sys.executable, "-c", BESIDE_A_CHILD], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["0", "0"], (done.stdout, done.stderr)


# --- results --------------------------------------------------------------------------------------------------------
COUNT = memory.LARGE // 4  # float32 elements of the smallest result whose memory is kept


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_memory_of_a_result_that_is_gone_is_used_again():
    pool = memory.Pool()
    array = pool.array(COUNT, np.float32)
    assert array.shape == (COUNT,) and array.dtype == np.float32 and address(array) % memory.ALIGN == 0
    array[:] = 1  # all of it is there
    place = address(array)
    other = pool.array(COUNT, np.float32)
    assert address(other) != place
    del array
    pool.settle()
    assert pool.spare == memory.LARGE and pool.bytes == memory.LARGE
    assert address(pool.array(COUNT - 7, np.int32)) == place, "of a similar size"


@pytest.mark.parametrize("keep", (lambda a: a[5:], lambda a: a[5:][:9].view(np.int32), lambda a: a.reshape(2, -1)[1], memoryview,
                                  lambda a: np.asarray(memoryview(a)), lambda a: np.from_dlpack(a)),
                         ids="slice cast row buffer array dlpack".split())
def test_memory_that_anything_refers_to_is_not(keep):
    pool = memory.Pool()
    array = pool.array(COUNT, np.float32)
    array[:] = 7
    place, kept = address(array), keep(array)
    was = np.array(kept)
    del array
    gc.collect()
    other = pool.array(COUNT, np.float32)
    other[:] = 9
    assert address(other) != place and np.array_equal(kept, was) and pool.spare == 0
    del kept
    gc.collect()
    assert address(pool.array(COUNT, np.float32)) == place


def test_memory_that_no_plan_asks_for_goes_back_to_the_system():
    pool = memory.Pool()
    arrays = [pool.array(COUNT, np.float32) for _ in range(3)]
    for i in range(4 * memory.UNUSED):
        if i == memory.UNUSED:
            arrays.pop()
        if i > memory.UNUSED:
            arrays.append(pool.array(COUNT, np.float32))  # one of the three is in use
            arrays.pop()
        if i == 2 * memory.UNUSED - 2:
            arrays.pop()
        pool.ran()
    assert pool.spare == memory.LARGE
    for _ in range(2 * memory.UNUSED):
        pool.ran()
    assert pool.spare == 0 and not any(pool.free.values())


def test_the_oldest_memory_goes_first_where_there_is_too_much():
    pool = memory.Pool(spare=4 * memory.LARGE)
    arrays = [pool.array(size * COUNT, np.float32) for size in (1, 2, 3)]
    while arrays:
        pool.ran()
        del arrays[0]
    pool.settle()
    assert pool.spare == 3 * memory.LARGE and pool.free[3 * memory.LARGE]
    pool.array(5 * COUNT, np.float32)
    pool.settle()
    assert pool.spare == 0, "more than all that may be kept"
    arrays = [pool.array(COUNT, np.float32) for _ in range(20)]
    kept = arrays[:10]
    del arrays
    pool.settle()
    assert pool.spare <= 10 * memory.LARGE == pool.bytes, "as much as is in use may be free"
    del kept
    pool.settle()
    assert pool.spare <= 4 * memory.LARGE


def test_where_there_is_no_memory_what_is_free_goes_back_and_numpy_tries(monkeypatch):
    pool = memory.Pool()
    pool.array(COUNT, np.float32)
    pool.settle()
    assert pool.spare

    def none(size: int) -> Any:
        raise OSError(12, "Cannot allocate memory")
    monkeypatch.setattr(memory, "_mapped", none)
    assert pool.array(2 * COUNT, np.float32).shape == (2 * COUNT,) and not pool.spare
    with pytest.raises(MemoryError):
        pool.array(1 << 58, np.float32)


def test_threads_never_share_a_result():
    pool = memory.Pool(spare=8 * memory.LARGE)
    wrong: list[Any] = []

    def work(number: int) -> None:
        rng, held = random.Random(number), []
        try:
            for i in range(300):
                array = pool.array(rng.choice((1, 1, 2, 3)) * COUNT, np.float32)
                value = number * 1000 + i
                array[:: 1 << 12] = value
                held.append((array, value))
                if len(held) > 3:
                    old, value = held.pop(rng.randrange(4))
                    wrong.extend(x for x in old[:: 1 << 12] if x != value)
                pool.ran()
        except BaseException as e:  # noqa: BLE001 - shown in the main thread
            wrong.append(e)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    pool.settle()
    assert not wrong and pool.bytes == 0 and pool.spare == sum(size * len(blocks) for size, blocks in pool.free.items()) <= 8 * memory.LARGE


def test_an_interrupt_that_arrives_as_a_result_goes_is_not_lost():
    """Both are made by one call of C, so that nothing looks for signals in between but a function of Python's that takes the memory back."""
    pool = memory.Pool()
    arrays = [pool.array(COUNT, np.float32)]
    with pytest.raises(KeyboardInterrupt):
        list(map(methodcaller("__call__"), [_thread.interrupt_main, arrays.clear]))
        time.sleep(5)
    pool.settle()
    assert pool.bytes == 0 and pool.spare == memory.LARGE


@forks
def test_a_forked_child_writes_to_results_of_its_own():
    pool = memory.Pool()
    array = pool.array(COUNT, np.float32)
    array[:] = 7
    child = os.fork()
    if not child:
        array[:] = 9
        os._exit(0)
    os.waitpid(child, 0)
    assert (array == 7).all()


class Net:
    """A layer whose weights are a large result, trained with momentum."""

    def __init__(self) -> None:
        rl.manual_seed(0)
        self.model = rl.nn.Sequential(rl.nn.Linear(600, 512), rl.nn.ReLU(), rl.nn.Linear(512, 3))
        self.optimizer = rl.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)
        self.x, self.y = rl.randn(8, 600), rl.arange(8) % 3

    def step(self, read: bool = True) -> float:
        self.optimizer.zero_grad()
        loss = rl.nn.functional.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        if not read:
            rl.realize()
        return loss.item() if read else 0.0


@pytest.mark.parametrize("read", (True, False), ids=("in flight", "waited for"))
@pytest.mark.parametrize("keep", (lambda p: p.grad, lambda p: p.grad[3:], lambda p: p.grad.numpy(), lambda p: p.grad.numpy()[2:],
                                  lambda p: memoryview(p.grad.numpy()), lambda p: np.from_dlpack(p.grad), lambda p: p.grad.detach().T),
                         ids="tensor view array slice buffer dlpack transposed".split())
def test_gradients_that_somebody_keeps_stay_as_they_are(keep, read):
    net = Net()
    for _ in range(4):
        net.step(read)
    weight = net.model[0].weight
    kept = keep(weight)
    before = np.array(kept.tolist())
    assert before.any()
    for _ in range(4):
        net.step(read)
    assert np.array_equal(np.array(kept.tolist()), before)


def test_arrays_that_share_a_large_result_see_each_other():
    x = rl.zeros(600, 512) + 1
    array = x.numpy()
    part = array[10:]
    del array
    x.add_(1)
    assert (part == 2).all()
    part[0, 0] = 5
    assert x[10, 0].item() == 5 and x.sum().item() == 2 * 600 * 512 + 3
    y = x * 2
    part[0, 0] = 100  # after it was read
    assert y[10, 0].item() == 10
    del x
    gc.collect()
    others = [rl.zeros(600, 512) + i for i in range(4)]
    rl.realize()
    assert part[0, 0] == 100 and (part[1:] == 2).all() and others[3][0, 0].item() == 3


def test_training_maps_no_new_pages():
    net = Net()
    for _ in range(8):
        net.step()
    memory.POOL.settle()
    spare, lent = memory.POOL.spare, memory.POOL.bytes
    blocks = {id(block) for blocks in memory.POOL.free.values() for _, block in blocks} | {id(block) for _, block in memory.POOL.lent.values()}
    for _ in range(20):
        net.step()
    memory.POOL.settle()
    after = {id(block) for blocks in memory.POOL.free.values() for _, block in blocks} | {id(block) for _, block in memory.POOL.lent.values()}
    assert after <= blocks and (memory.POOL.spare, memory.POOL.bytes) == (spare, lent)


def test_an_interpreter_ends_in_silence_with_memory_lent():
    done = subprocess.run([sys.executable, "-c", "import rushlight as rl\nx = rl.zeros(1000, 1000) + 1\ny = x * 2\nprint(y.sum().item())"],
                          capture_output=True, text=True, timeout=120)
    assert done.stdout == "2000000.0\n" and done.stderr == ""


SPANS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 12), st.integers(0, 12)), max_size=30)


@given(SPANS)
def test_spans_lie_at_the_lowest_offset_where_they_fit(drawn: list[tuple[int, int, int]]):
    spans = [memory.Span(value, size, first, first + more) for value, (size, first, more) in enumerate(drawn)]
    offsets, total = memory.arrange(spans)
    expected: dict[int, int] = {}
    placed: list[tuple[int, int, memory.Span]] = []
    for span in sorted(spans, key=lambda s: (-s.size, s.first)):
        size = -(-max(span.size, 1) // memory.ALIGN) * memory.ALIGN
        alive = [(begin, end) for begin, end, s in placed if s.first <= span.last and s.last >= span.first]
        begins = sorted({0, *[end for _, end in alive]})
        at = next(b for b in begins if all(b + size <= begin or b >= end for begin, end in alive))
        expected[span.value] = at
        placed.append((at, at + size, span))
    assert offsets == expected
    assert total == max([end for _, end, _ in placed], default=0)
    assert list(offsets) == sorted(offsets)
