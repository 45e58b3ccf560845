"""Large fills by machine code: the numbers and the state of NumPy's path and
of PyTorch, and what happens to the memory."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
from rushlight import rng
from rushlight.exec.cpu import host
from rushlight.rng import compiled

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not host.available(), reason="without llvmlite there are no kernels")

SIZES = st.one_of(st.integers(1, 40), st.integers(600, 700),
                  st.integers(compiled.PIECE - 20, compiled.PIECE + 20), st.integers(1, 120_000))


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """Kernels even for few numbers."""
    monkeypatch.setattr(compiled, "wanted", lambda n: n >= 16)


def by_numpy(draw, *args):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "wanted", lambda n: False)
        return draw(*args)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(SIZES, min_size=1, max_size=4))
def test_words(seed, sizes):
    mine, numpys = rng.Engine(seed), rng.Engine(seed)
    for n in sizes:
        assert np.array_equal(mine.words(n), by_numpy(numpys.words, n))
        assert np.array_equal(mine.get_state(), numpys.get_state())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), SIZES, st.integers(0, 700), st.floats(-3, 3, width=32), st.floats(0, 3, width=32))
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_numbers(kind, seed, n, before, first, second):
    """From any place in the stream the bits of NumPy's path."""
    if kind == "uniform":
        second = float(np.float32(first) + np.float32(second))
    mine, numpys = rng.Engine(seed), rng.Engine(seed)
    for engine in (mine, numpys):
        engine.words(before)
    draw = getattr(rng, kind)
    assert draw(mine, n, first, second,
                "float32").tobytes() == by_numpy(draw, numpys, n, first, second, "float32").tobytes()
    assert np.array_equal(mine.get_state(), numpys.get_state())


@pytest.mark.parametrize("n", [16, 17, 31, 1000, 60_000])
def test_orders(n):
    """By exchanges one after the other, and without a loop."""
    mine, numpys = rng.Engine(n), rng.Engine(n)
    for dtype in ("int64", "int32", "float32"):
        found = rng.randperm(mine, n, dtype)
        assert found.dtype == dtype and found.tobytes() == by_numpy(rng.randperm, numpys, n, dtype).tobytes()
    assert sorted(found.tolist()) == list(range(n)) and np.array_equal(mine.get_state(), numpys.get_state())


@pytest.mark.parametrize("n", [16, 17, 31, 4096, 100_003, 624 * 300])
def test_pytorchs_numbers(n):
    both = []
    for library in (rl, torch):
        library.manual_seed(n)
        t = library.empty(n)
        both.append([t.uniform_(-0.1, 0.3).numpy().tobytes(), t.normal_(0.5, 2.0).numpy().tobytes(),
                     library.randn(n).numpy().tobytes(), library.rand(n).numpy().tobytes(),
                     library.randint(0, 1000, (n,)).numpy().tobytes(), library.randperm(n).numpy().tobytes(),
                     library.get_rng_state().numpy().tobytes()])
    assert both[0] == both[1]


def test_the_end_is_excluded():
    """Where the upper end is rounded to, the lower end stands, as on NumPy's path."""
    low, high = 1.0, float(np.nextafter(np.float32(1), np.float32(2)))
    assert set(rng.uniform(rng.Engine(0), 5000, low, high, "float32").tolist()) == {low}


def test_memory_is_used_again_only_where_nobody_looks():
    t = rl.zeros(5000)
    t.normal_()
    place = t._storage.cell.buffer.ctypes.data
    assert t.normal_()._storage.cell.buffer.ctypes.data == place
    pending = t * 2
    copy = t.clone()
    detached, part = t.detach(), t[10:20]
    before = t.tolist()
    t.uniform_()
    assert copy.tolist() == before and pending.tolist() == [2 * x for x in before]
    assert detached.tolist() == t.tolist() != before and part.tolist() == t[10:20].tolist()
    shared = t.numpy()
    t.normal_()
    assert shared.tolist() == t.tolist()


def test_a_refused_fill_draws_nothing_and_writes_nothing():
    p = rl.nn.Parameter(rl.ones(5000))
    state = rl.get_rng_state()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        p.normal_()
    with rl.no_grad(), pytest.raises(RuntimeError, match="std >= 0"):
        p.normal_(0, -1)
    assert rl.equal(state, rl.get_rng_state()) and float(p.detach().sum()) == 5000


def test_gradient_of_a_filled_result():
    x = rl.ones(5000, requires_grad=True)
    y = x * 2
    y.normal_()
    y.sum().backward()
    assert float(x.grad.abs().sum()) == 0


def test_small_programs_load_no_compiler():
    program = ("import sys, rushlight as rl; rl.manual_seed(0); rl.nn.Linear(784, 256); "
               "rl.randn(1000).sum(); print('llvmlite.binding' in sys.modules)")
    out = subprocess.run([sys.executable, "-c", "import sys; sys.path.insert(0, '.'); " + program],
                         capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False"]


def test_numpy_alone(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy")
    assert not compiled.wanted(1 << 20)
    monkeypatch.delenv("RUSHLIGHT_EXEC")
    assert compiled.wanted(1 << 20) and not compiled.wanted(15)


PROGRAM = """
import sys
import rushlight as rl
rl.manual_seed(0)
found = [sum(rl.randn(100).tolist()) for _ in range(300)]
from rushlight.exec.cpu.jit import COMPILED
print(hash(tuple(found)), COMPILED.built, any(str(k).startswith("rng") for k in COMPILED.addresses), "llvmlite.binding" in sys.modules or "llvmlite.ir" in sys.modules)
"""


def test_kernels_are_compiled_once_it_is_worth_it_and_then_come_from_disk(tmp_path):
    """Many small draws: NumPy's path at first, kernels that lie on disk after that, without llvmlite."""
    def run(program: str) -> list[str]:
        environment = {**os.environ, "RUSHLIGHT_CACHE_DIR": str(tmp_path)}
        return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True).stdout.split()
    first = run(PROGRAM)
    assert first[2] == "False", "300 draws of 100 numbers are not worth a compiler"
    assert run("import rushlight as rl; rl.randn(300000); rl.rand(1 << 20)") == []
    again = run(PROGRAM)
    assert again == [first[0], "0", "True", "False"]
