"""Reading, writing and adding at places that indices name: kernels of plans against NumPy, to the last bit."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from executors import at_first_sight  # noqa: F401
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
import rushlight.nn.functional as F
from rushlight.exec.cpu import executor
from rushlight.exec.cpu.gathers import Dim, merged
from rushlight.exec.cpu.jit import COMPILED
from rushlight.exec.cpu.scatters import write
from rushlight.exec.numpy import indexing

needs_compiler = pytest.mark.skipif(not executor.available(), reason="no compiler on this machine")
DTYPES = ["float32", "float64", "int64", "int16", "uint8", "bool"]


class Case:
    """Arrays for one operation, and views of them that lie in other ways."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.rank = int(self.rng.integers(1, 5))
        self.dtype = DTYPES[self.rng.integers(len(DTYPES))]
        self.shape = tuple(self.rng.integers(1, 7, self.rank).tolist())

    def numbers(self, shape: tuple[int, ...]) -> np.ndarray:
        """Of very different sizes: added in another order they give other bits."""
        if self.dtype[:5] == "float":
            return (self.rng.standard_normal(shape) * 10.0 ** self.rng.integers(-6, 7, shape)).astype(self.dtype)
        return self.rng.integers(0, 2 if self.dtype == "bool" else 100, shape).astype(self.dtype)

    def places(self, shape: tuple[int, ...], size: int, wraps: bool = False) -> np.ndarray:
        return self.rng.integers(-size if wraps else 0, size, shape).astype(["int64", "int32"][self.rng.integers(2)] if wraps else "int64")

    def tensor(self, x: np.ndarray) -> rl.Tensor:
        """The array as a tensor that a plan computes or reads, plain, turned or every second element of a larger one."""
        way = self.rng.integers(4)
        if way == 1 and x.ndim > 1:
            order = self.rng.permutation(x.ndim)
            return rl.from_numpy(np.ascontiguousarray(x.transpose(order))).permute(np.argsort(order).tolist())
        if way == 2:
            wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
            wide[..., ::2] = x
            return rl.from_numpy(wide)[..., ::2]
        return rl.from_numpy(x.copy()).clone() if way == 3 else rl.from_numpy(x.copy())

    def repeated(self, places: np.ndarray) -> tuple[np.ndarray, rl.Tensor]:
        """An index, sometimes one that repeats itself along a dimension."""
        if self.rng.integers(2) and places.ndim:
            d = int(self.rng.integers(places.ndim))
            one = np.ascontiguousarray(places.take([0], d))
            return np.repeat(one, places.shape[d], d), rl.from_numpy(one).expand(*places.shape)
        return places, self.tensor(places)


def natively(run: Any) -> np.ndarray:
    """The result of a program of which NumPy runs nothing, unless it has more than four dimensions."""
    with rl.profile() as p:
        found = run().numpy()
    assert p.events and (found.ndim > 4 or not [e.title for e in p.events if "numpy" in e.title])
    return found


@needs_compiler
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 30))
def test_gather_reads_what_numpy_reads(seed):
    case = Case(seed)
    dim = int(case.rng.integers(case.rank))
    shape = tuple(int(case.rng.integers(1, 9)) if d == dim else int(case.rng.integers(1, n + 1)) for d, n in enumerate(case.shape))
    x, (index, given_index) = case.numbers(case.shape), case.repeated(case.places(shape, case.shape[dim]))
    wanted = indexing.gather(x, index, dim)
    found = natively(lambda: case.tensor(x).gather(dim, given_index))
    assert found.dtype == wanted.dtype and found.tobytes() == wanted.tobytes()


def lists(case: Case) -> tuple[tuple[int, ...], list[np.ndarray], list[rl.Tensor]]:
    """Some dimensions, and indices for them that broadcast."""
    dims = tuple(sorted(case.rng.choice(case.rank, int(case.rng.integers(1, min(case.rank, 3) + 1)), replace=False).tolist()))
    common = tuple(case.rng.integers(1, 5, int(case.rng.integers(1, 3))).tolist())
    arrays = []
    for d in dims:
        own = tuple(1 if case.rng.integers(4) == 0 else n for n in common)
        arrays.append(case.places(own, case.shape[d], wraps=True).astype("int64"))
    return dims, arrays, [case.tensor(a) for a in arrays]


def keys(case: Case, dims: tuple[int, ...], indices: list[Any]) -> tuple[Any, ...]:
    found: list[Any] = [slice(None)] * case.rank
    for d, i in zip(dims, indices):
        found[d] = i
    return tuple(found)


@needs_compiler
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 30))
def test_lists_of_places_read_what_numpy_reads(seed):
    case = Case(seed)
    x = case.numbers(case.shape)
    dims, arrays, tensors = lists(case)
    wanted = x[keys(case, dims, arrays)]
    found = natively(lambda: case.tensor(x)[keys(case, dims, tensors)])
    assert found.shape == wanted.shape and np.ascontiguousarray(found).tobytes() == np.ascontiguousarray(wanted).tobytes()


@needs_compiler
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 30), st.booleans())
def test_scatter_writes_and_adds_as_numpy_does(seed, adds):
    case = Case(seed)
    if adds and case.dtype == "bool":
        return
    dim = int(case.rng.integers(case.rank))
    shape = tuple(int(case.rng.integers(1, 9)) if d == dim else int(case.rng.integers(1, n + 1)) for d, n in enumerate(case.shape))
    x, (index, given_index) = case.numbers(case.shape), case.repeated(case.places(shape, case.shape[dim]))
    value = case.numbers(tuple(n + int(case.rng.integers(2)) for n in shape))
    rule, name = (indexing.scatter_add, "scatter_add") if adds else (indexing.scatter, "scatter")
    wanted = rule(False, x, index, value, dim)
    found = natively(lambda: getattr(case.tensor(x), name)(dim, given_index, case.tensor(value)))
    assert found.tobytes() == wanted.tobytes()


@needs_compiler
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 30), st.booleans(), st.booleans())
def test_index_put_writes_and_adds_as_numpy_does(seed, adds, number):
    case = Case(seed)
    dims, arrays, tensors = lists(case)
    if adds and case.dtype == "bool" or dims != tuple(range(len(dims))):
        return
    x = case.numbers(case.shape)
    value = case.numbers(()) if number else case.numbers(x[keys(case, dims, arrays)].shape)
    wanted = x.copy()
    np.add.at(wanted, keys(case, dims, arrays), value) if adds else wanted.__setitem__(keys(case, dims, arrays), value)
    given_value = rl.from_numpy(np.asarray(value)) if number else case.tensor(value)
    found = natively(lambda: case.tensor(x).index_put(tuple(tensors), given_value, adds))
    assert found.tobytes() == wanted.tobytes()


@needs_compiler
def test_large_ones_are_shared_between_threads():
    rng = np.random.default_rng(0)
    x, values = rng.standard_normal((300, 700)).astype(np.float32), rng.standard_normal((5000, 700)).astype(np.float32)
    rows, places = rng.integers(0, 300, 5000), rng.integers(0, 700, (300, 900))
    assert np.array_equal(natively(lambda: rl.from_numpy(x)[rl.from_numpy(rows)]), x[rows])
    assert np.array_equal(natively(lambda: rl.from_numpy(x).gather(1, rl.from_numpy(places))), np.take_along_axis(x, places, 1))
    wanted = x.copy()
    np.add.at(wanted, rows, values)
    assert np.array_equal(natively(lambda: rl.from_numpy(x).index_add(0, rl.from_numpy(rows), rl.from_numpy(values))), wanted)
    wanted = x.copy()
    np.add.at(wanted, (np.arange(300)[:, None], places), 0.1 * places.astype(np.float32))
    found = natively(lambda: rl.from_numpy(x).scatter_add(1, rl.from_numpy(places), 0.1 * rl.from_numpy(places).float()))
    assert np.array_equal(found, wanted)


@needs_compiler
def test_memory_that_nobody_else_needs_is_changed_in_place():
    x, index = rl.zeros(100_000, 4) + 1, rl.tensor([3, 3, 99_999])
    x.sum().item()
    address = x.data_ptr()
    x[index] = 5.0
    assert x.sum().item() == 400_000 + 2 * 4 * 4 and x.data_ptr() == address
    x.index_add_(0, index, rl.ones(3, 4))
    assert x.sum().item() == 400_000 + 2 * 4 * 4 + 12 and x.data_ptr() == address


@needs_compiler
def test_memory_that_something_else_needs_stays():
    x, index = rl.ones(1000, 40) * 2, rl.tensor([3, 3, 999])
    rl.realize()
    for change in (lambda: x.index_add(0, index, rl.ones(3, 40)), lambda: x.index_fill(0, index, 7.0)):
        y, z = change(), x * 3
        assert (y != x).sum().item() == 80 and z.sum().item() == 240_000 and x.sum().item() == 80_000


@needs_compiler
def test_several_scatters_in_one_plan_follow_each_other():
    """Each in its own copy, or in the memory of what the one before has made."""
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 50, 200)
    values = rng.standard_normal((200, 8)).astype(np.float32)

    def run() -> rl.Tensor:
        total = rl.zeros(50, 8)
        index = rl.from_numpy(rows)
        for _ in range(3):
            total = total.index_add(0, index, rl.from_numpy(values)) * 0.5
            total[index[:3]] = -1.0
        return total + total[index].sum(0)
    wanted = np.zeros((50, 8), np.float32)
    for _ in range(3):
        np.add.at(wanted, rows, values)
        wanted *= np.float32(0.5)
        wanted[rows[:3]] = -1
    np.testing.assert_allclose(natively(run), wanted + wanted[rows].sum(0), rtol=1e-5)


@needs_compiler
def test_a_place_that_was_changed_after_its_check_is_passed_over():
    """By another thread, in memory that the program shares: the kernel writes nothing there."""
    out, value = np.zeros((6, 4), np.float32), np.ones(5, np.float32)
    places = np.array([1, 4, -1, 1 << 62, 2])
    key = "write elements without a check"
    address = COMPILED.address(key, lambda name: write("float32", "int64", 1, False, True, "elements", name))
    middle = out[1:5]
    table = np.array([0, middle.ctypes.data, value.ctypes.data, 1, 5, 1, 1, 1, 1, 0, 0, 1, 0, 0, 1, 0, 0, places.ctypes.data, 4, 4, 0, 0, 1, 0, 0])
    assert ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)(address)(table.ctypes.data, 0, 1, 0) == 0
    assert out.sum() == 2 and out[2, 0] == 1 and out[3, 0] == 1


def test_dimensions_that_step_evenly_become_one():
    assert merged([Dim(2, (12, 3)), Dim(3, (4, 1)), Dim(4, (1, 1))]) == [Dim(6, (4, 1)), Dim(4, (1, 1))]
    assert merged([Dim(1, (5, 5))]) == []


INDICES: list[tuple[tuple[int, ...], tuple[Any, ...]]] = [
    ((0,), ([2, 0, 2, -1],)), ((1,), ([[0, 1], [-3, 1]],)), ((2,), ([4],)), ((0, 1), ([0, 3, 0], [1, 2, 1])), ((1, 2), ([[0], [2]], [0, -1, 3])),
    ((0, 1, 2), ([0, 1, 0, 0], [2, 2, 2, 2], [4, 0, 4, -1])), ((0, 2), ([1, 1, 3], [0, 0, 4])), ((0,), (np.zeros((0,), np.int64),)), ((1,), (2,)),
]


@pytest.mark.parametrize("dims, lists", INDICES)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "bool"])
def test_places_are_read_and_written_as_numpy_does(dims, lists, turned, dtype):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((5, 3, 4)).transpose(2, 1, 0) if turned else rng.standard_normal((4, 3, 5))) * 3
    x = x.astype(dtype)
    keys: list[Any] = [slice(None)] * 3
    given: list[Any] = [slice(None)] * 3
    for d, places in zip(dims, lists):
        keys[d] = np.array(places)
        given[d] = rl.tensor(np.array(places))
    wanted = x[tuple(keys)]
    t = rl.from_numpy(x.copy("K"))
    assert np.array_equal(np.array((t + 0 if dtype != "bool" else t.clone())[tuple(given)].tolist()).astype(dtype).reshape(wanted.shape), wanted)
    values = (rng.standard_normal(wanted.shape) * 2).astype(dtype)
    added = np.array(x)
    (np.logical_or if dtype == "bool" else np.add).at(added, tuple(keys), values)
    places = tuple(g if isinstance(g, rl.Tensor) else None for g in given[:max(dims) + 1])
    if all(p is not None for p in places):
        found = t.clone().index_put(places, rl.from_numpy(np.ascontiguousarray(values)), accumulate=True)
        assert np.array_equal(np.array(found.tolist()).astype(dtype), added)
    if dtype in ("float32", "float64"):
        leaf = rl.from_numpy(x.copy("K")).requires_grad_()
        (leaf[tuple(given)] * rl.from_numpy(np.ascontiguousarray(values))).sum().backward()
        zeros = np.zeros_like(x)
        np.add.at(zeros, tuple(keys), values)
        assert np.array_equal(np.array(leaf.grad.tolist()).astype(dtype), zeros)


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("count", [2, 5])
def test_scatter_add_of_every_dimension(dim, count):
    rng = np.random.default_rng(dim)
    x, shape = rng.standard_normal((4, 3, 5)).astype(np.float32), [4, 3, 5]
    shape[dim] = count
    for cut in (0, 1):  # as wide as x, or narrower
        shape[dim - 1] -= cut
        index, values = rng.integers(0, x.shape[dim], shape), rng.standard_normal(shape).astype(np.float32)
        wanted = x.copy()
        np.add.at(wanted, tuple(index if d == dim else np.arange(n).reshape([-1 if e == d else 1 for e in range(3)]) for d, n in enumerate(shape)), values)
        found = rl.from_numpy(x.copy()).scatter_add(dim, rl.from_numpy(index), rl.from_numpy(values))
        assert np.array_equal(np.array(found.tolist(), np.float32), wanted)


@pytest.mark.parametrize("bad", [4, -5])
def test_a_place_beyond_the_end_writes_nothing(bad):
    x, index = rl.zeros(4, 3), rl.tensor([0, bad])
    rl.realize()
    for wrong in (lambda: x.index_put((index,), rl.ones(2, 3), accumulate=True), lambda: x[index], lambda: x.index_add(0, index, rl.ones(2, 3)),
                  lambda: x.scatter_add(0, rl.tensor([[0, bad, 0]]), rl.ones(1, 3))):
        with pytest.raises((IndexError, RuntimeError), match="out of"):
            wrong().sum().item()
        assert x.sum().item() == 0


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
@pytest.mark.parametrize("size", [(8, 12), (4, 6), (12, 6), (4, 18), (7, 13), (2, 3), (9, 5)])
def test_nearest_pictures_repeat_or_pick(mode, size):
    x = rl.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6).requires_grad_()
    y = F.interpolate(x, size=size, mode=mode)
    half = 0.5 if mode == "nearest-exact" else 0.0
    rows, columns = (np.minimum(np.floor((np.arange(o) + half) * (s / o)).astype(int), s - 1) for o, s in zip(size, (4, 6)))
    assert np.array_equal(np.array(y.tolist()), np.array(x.tolist())[:, :, rows][..., columns])
    weights = np.random.default_rng(0).standard_normal(y.shape).astype(np.float32)
    (y * rl.from_numpy(weights)).sum().backward()
    wanted = np.zeros(x.shape)
    np.add.at(wanted, (slice(None), slice(None), rows[:, None], columns), weights)
    np.testing.assert_allclose(x.grad.tolist(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape, dim", [((7,), 0), ((4, 6), 1), ((6, 4), 0), ((2, 5, 3), 1)])
@pytest.mark.parametrize("zeros", [0.0, 0.15, 0.5])
def test_the_gradient_of_a_running_product_needs_no_square_time(shape, dim, zeros):
    """Against the one through which gradients flow again, which goes through all products."""
    rng = np.random.default_rng(3)
    for dtype in (rl.float64, rl.complex128):
        values = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if dtype.is_complex else 0)
        values[rng.random(shape) < zeros] = 0
        x = rl.tensor(values, dtype=dtype, requires_grad=True)
        total = (x.cumprod(dim) * rl.tensor(rng.standard_normal(shape))).sum().abs()
        exact, = rl.autograd.grad(total, x, create_graph=True)
        quick, = rl.autograd.grad(total, x)
        np.testing.assert_allclose(np.array(quick.tolist()), np.array(exact.tolist()), rtol=1e-9, atol=1e-12)
