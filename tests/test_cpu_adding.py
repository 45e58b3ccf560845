"""Indexing with lists of places and adding at them: by kernels, by NumPy's faster calls, and as NumPy itself has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
import rushlight.nn.functional as F
from rushlight.exec.cpu import adding, executor
from rushlight.exec.numpy import indexing

needs_compiler = pytest.mark.skipif(not executor.available(), reason="no compiler on this machine")


@pytest.fixture(autouse=True)
def kernels_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "FEW", 1)
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")


@needs_compiler
@settings(max_examples=80, deadline=None)
@given(st.tuples(*[st.integers(1, 6)] * 4), st.sampled_from(["float32", "float64"]), st.tuples(st.booleans(), st.booleans()), st.integers(0, 99))
def test_the_kernel_adds_in_the_order_of_numpy(sizes, dtype, same, seed):
    """Numbers of very different sizes: another order would give other bits."""
    (outer, size, count, inner), rng = sizes, np.random.default_rng(seed)
    planes, values = ((rng.standard_normal(s) * 10.0 ** rng.integers(-6, 6, s)).astype(dtype) for s in ((outer, size, inner), (outer, 3 * count, inner)))
    places = rng.integers(0, size, (1 if same[0] else outer, 3 * count, 1 if same[1] else inner))
    wanted = planes.copy()
    indexing.add(wanted, places, values)
    adding.add(planes, places, values)
    assert planes.tobytes() == wanted.tobytes()


@needs_compiler
def test_what_the_kernel_is_not_for_is_numpys():
    for dtype in (np.int64, np.float16, np.uint8):
        planes, values = np.ones((1, 3, 2), dtype), np.full((1, 4, 2), 2, dtype)
        adding.add(planes, np.array([0, 0, 2, 0]).reshape(1, 4, 1), values)
        assert planes.tolist() == [[[7, 7], [1, 1], [3, 3]]]


@needs_compiler
def test_a_place_that_was_changed_after_its_check_is_passed_over():
    """By another thread, in memory that the program shares."""
    planes = np.zeros((3, 4, 2), np.float32)
    middle = planes[1:2]
    adding.add(middle, np.array([4, -1, 1 << 62, 2]).reshape(1, 4, 1), np.ones((1, 4, 2), np.float32))
    assert planes.sum() == 2 and (middle[0, 2] == 1).all()


@needs_compiler
def test_a_kernel_is_looked_up_once():
    from rushlight.exec.cpu import calls
    sizes = []
    for _ in range(3):
        adding.add(np.zeros((1, 4, 2)), np.zeros((1, 4, 1), np.int64), np.ones((1, 4, 2)))
        sizes.append(calls.function.cache_info().currsize)
    assert len({*sizes}) == 1


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
