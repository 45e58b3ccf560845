"""Sorting by packed keys, selection of the first few, distinct values and positions against NumPy's own functions."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import rushlight as rl
from rushlight.exec.numpy import ordering, selection
from rushlight.exec.numpy.distinct import distinct
from rushlight.exec.numpy.indexing import positions
from rushlight.exec.numpy.parallel import at_once

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "float16", "float32", "float64", ml_dtypes.bfloat16]
SHAPES = [((4000,), 0), ((40, 50), 1), ((40, 50), 0), ((3, 700, 5), 1), ((2, 3, 400), 2), ((300000,), 0), ((70, 1000), 1), ((2000, 1), 1), ((1, 3000), 0), ((0, 5), 1), ((5, 0), 1)]


def numbers(shape: tuple[int, ...], dtype: object, kind: str) -> np.ndarray:
    """Few different numbers, many, or some with NaN of both signs, infinities and zeros of both signs."""
    rng = np.random.default_rng(0)
    if kind == "wide" and np.dtype(dtype) == np.int64:
        return rng.integers(-2**63, 2**63 - 1, shape)
    x = rng.integers(0, 5, shape).astype(float) if kind == "ties" else rng.standard_normal(shape) * 1e4
    if kind == "special":
        x = rng.standard_normal(shape).round(1)
        for value in (np.nan, -np.nan, -0.0, np.inf, -np.inf):
            x[rng.random(shape) < 0.1] = value
    with np.errstate(all="ignore"):
        return x.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("kind", ["ties", "wide", "special"])
@pytest.mark.parametrize("threads", [1, 3])
def test_order_is_stable(dtype: object, kind: str, threads: int) -> None:
    if kind == "special" and np.dtype(dtype).kind not in "fV":
        kind = "ties"
    before = rl.get_num_threads()
    rl.set_num_threads(threads)
    try:
        for shape, dim in SHAPES:
            x = numbers(shape, dtype, kind)
            keys = x.astype(np.float32) if x.dtype.kind == "V" else x
            for descending in (False, True):
                want = np.argsort(np.flip(keys, dim) if descending else keys, axis=dim, kind="stable")
                want = np.flip(shape[dim] - 1 - want, dim) if descending else want
                have = ordering.order(x, dim, descending)
                assert have.dtype == np.int64
                np.testing.assert_array_equal(have, want)
                assert ordering.taken(x, np.ascontiguousarray(have), dim).tobytes() == np.take_along_axis(x, want, dim).tobytes()
    finally:
        rl.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "float16"])
@pytest.mark.parametrize("kind", ["wide", "near", "special"])
@pytest.mark.parametrize("largest", [False, True])
def test_the_first_few(dtype: str, kind: str, largest: bool) -> None:
    """Values alone, for several places may hold the same one; those must be different places."""
    for shape in ((3000,), (4, 700), (2, 3, 500), (20000,)):
        x = np.round(numbers(shape, "float64", "special" if kind == "special" else "wide") / (500 if kind == "near" else 1))
        with np.errstate(invalid="ignore"):
            x = x.astype(dtype)
        ranked = np.sort(x, -1)
        for k in (1, 2, 10, 50):
            values, places = selection.topk(x, k, -1, largest, True)
            np.testing.assert_array_equal(values, ranked[..., -1:-k - 1:-1] if largest else ranked[..., :k])
            np.testing.assert_array_equal(values, np.take_along_axis(x, places, -1))
            assert (np.diff(np.sort(places, -1)) > 0).all()


@pytest.mark.parametrize("at", [0, 500, 998, 999])
def test_the_first_few_with_one_nan(at: int) -> None:
    """Wherever it stands: the last elements are in no block."""
    x = np.random.default_rng(0).standard_normal((2, 1000)).astype(np.float32)
    x[1, at] = np.nan
    values, places = selection.topk(x, 3, -1, True, True)
    assert places[1, 0] == at and np.isnan(values[1, 0]) and not np.isnan(values[0]).any()
    assert not np.isnan(selection.topk(x, 3, -1, False, True)[0]).any()


def test_an_error_in_a_thread_is_raised() -> None:
    done: list[int] = []

    def fail() -> None:
        raise MemoryError("no memory")
    for calls in ([fail, lambda: done.append(1)], [lambda: done.append(2), fail, fail]):
        with pytest.raises(MemoryError, match="no memory"):
            at_once(calls)
    assert done == [1, 2]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("kind", ["ties", "wide", "special"])
def test_distinct_values(dtype: object, kind: str) -> None:
    if kind == "special" and np.dtype(dtype).kind not in "fV":
        kind = "ties"
    for size in (0, 1, 7, 3000):
        x = numbers((size,), dtype, kind)
        keys = x.astype(np.float32) if x.dtype.kind == "V" else x
        want = np.unique(keys, return_counts=True, equal_nan=False)
        for inverse in (False, True):
            for counts in (False, True):
                values, where, often = distinct(x, inverse, counts)
                assert values.dtype == x.dtype and (where is None) != inverse and (often is None) != counts
                np.testing.assert_array_equal(values.astype(keys.dtype), want[0])
                if where is not None:
                    np.testing.assert_array_equal(values[where].astype(keys.dtype), keys)
                if often is not None:
                    np.testing.assert_array_equal(often, want[1])


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4), (0, 3), (3, 0), (7, 1, 5)])
def test_positions(shape: tuple[int, ...]) -> None:
    x = np.asarray(np.random.default_rng(0).integers(0, 2, shape))
    np.testing.assert_array_equal(positions(x), np.argwhere(x).T)
    np.testing.assert_array_equal(positions(x.T), np.argwhere(x.T).T)


@pytest.mark.parametrize("threads", [1, 3])
def test_searches_in_several_threads(threads: int) -> None:
    rng = np.random.default_rng(0)
    steps, wanted = np.sort(rng.standard_normal((3, 500)), -1), rng.standard_normal((3, 20000))
    before = rl.get_num_threads()
    rl.set_num_threads(threads)
    try:
        for right in (False, True):
            side = "right" if right else "left"
            one = rl.searchsorted(rl.tensor(steps[0]), rl.tensor(wanted), right=right)
            np.testing.assert_array_equal(one.numpy(), np.searchsorted(steps[0], wanted, side))
            each = rl.searchsorted(rl.tensor(steps), rl.tensor(wanted), right=right, out_int32=True)
            assert each.dtype is rl.int32
            np.testing.assert_array_equal(each.numpy(), [np.searchsorted(a, b, side) for a, b in zip(steps, wanted)])
    finally:
        rl.set_num_threads(before)
