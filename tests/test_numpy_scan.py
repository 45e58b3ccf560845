"""Scans, sorting and selection of the NumPy executor against PyTorch: values, places, ties and NaNs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight.exec.numpy import scan, selection
from rushlight.ir import dtype as dtypes

torch = pytest.importorskip("torch")
FLOATS = ["float32", "float64", "float16", "bfloat16"]
ORDERED = [*FLOATS, "int64", "int8", "uint8", "bool"]
SHAPES = [((7,), 0), ((4, 9, 3), 1), ((3, 5), 1), ((2, 400), 1), ((500, 2), 0)]


def sample(shape: tuple[int, ...], dtype: str, nan: bool) -> Any:
    rng = np.random.default_rng(len(shape) + shape[0])
    x = torch.tensor(rng.integers(-9 if dtype[0] != "u" else 0, 9, shape)).to(getattr(torch, dtype))
    if nan and x.is_floating_point():
        x[torch.tensor(rng.random(shape) < 0.1)] = float("nan")
    return x


def array(t: Any) -> np.ndarray:
    return t.float().numpy().astype(dtypes.bfloat16.numpy) if t.dtype is torch.bfloat16 else t.numpy()


def same(got: np.ndarray, want: Any) -> None:
    want = array(want)
    assert got.dtype == want.dtype and got.shape == want.shape
    wide = np.float64 if got.dtype.kind in "fV" else got.dtype
    np.testing.assert_array_equal(got.astype(wide), want.astype(wide))


def distinct(shape: tuple[int, ...], dtype: str) -> Any:
    """Elements that differ along every dimension, so that places are determined."""
    n = int(np.prod(shape))
    return torch.tensor(np.random.default_rng(n).permutation(n).reshape(shape) - n // 2).to(getattr(torch, dtype))


@pytest.mark.parametrize("nan", [False, True])
@pytest.mark.parametrize("dtype", ORDERED)
@pytest.mark.parametrize("shape,dim", SHAPES)
def test_running_extrema_and_sorting(shape: Any, dim: int, dtype: str, nan: bool) -> None:
    t = sample(shape, dtype, nan)
    x = array(t)
    for name in ("cummax", "cummin"):
        for got, want in zip(getattr(scan, name)(x, dim), getattr(torch, name)(t, dim)):
            same(got, want)
    for descending in (False, True):
        for got, want in zip(selection.sort(x, dim, descending),
                             torch.sort(t, dim=dim, descending=descending, stable=True)):
            same(got, want)
    for name in ("max", "min"):
        for keepdim in (False, True):
            for got, want in zip(getattr(selection, f"{name}_dim")(x, dim, keepdim),
                                 getattr(torch, name)(t, dim, keepdim)):
                same(got, want)


@pytest.mark.parametrize("nan", [False, True])
@pytest.mark.parametrize("dtype", [d for d in ORDERED if d != "bool"])
@pytest.mark.parametrize("shape,dim", SHAPES)
def test_selection(shape: Any, dim: int, dtype: str, nan: bool) -> None:
    t = sample(shape, dtype, nan)
    x = array(t)
    for k in (1, 2, shape[dim]):
        for largest in (True, False):
            check(x, selection.topk(x, k, dim, largest, True), torch.topk(t, k, dim, largest), dim, True)
        check(x, selection.kthvalue(x, k, dim, False), torch.kthvalue(t, k, dim), dim, False)
    for name in ("median", "nanmedian"):
        for keepdim in (True, False):
            check(x, getattr(selection, name)(x, dim, keepdim), getattr(torch, name)(t, dim, keepdim), dim, keepdim)
    if not nan:
        got, want = selection.mode(x, dim, False), torch.mode(t, dim)
        check(x, got, want, dim, False)
        if shape[dim] <= 16:  # beyond that PyTorch's sort is not stable
            same(got[1], want[1])


def check(x: np.ndarray, got: Any, want: Any, dim: int, keepdim: bool) -> None:
    """Equal values; the place may be any at which that value stands."""
    values, places = got
    same(values, want[0])
    assert places.dtype == np.int64 and places.shape == tuple(want[1].shape)
    index = places if keepdim else np.expand_dims(places, dim)
    found = np.take_along_axis(x, index, dim)
    same(found if keepdim else found.squeeze(dim), want[0])


@pytest.mark.parametrize("shape,dim", SHAPES)
def test_places_of_distinct_elements(shape: Any, dim: int) -> None:
    t = distinct(shape, "float32")
    x = t.numpy()
    for k in (1, 3, shape[dim]):
        for largest in (True, False):
            for got, want in zip(selection.topk(x, k, dim, largest, True), torch.topk(t, k, dim, largest)):
                same(got, want)
        for got, want in zip(selection.kthvalue(x, k, dim, True), torch.kthvalue(t, k, dim, True)):
            same(got, want)
    for got, want in zip(selection.median(x, dim, False), torch.median(t, dim)):
        same(got, want)


def test_median_of_nothing_but_nan_and_mode_of_ties() -> None:
    x = np.full((2, 3), np.nan, np.float32)
    assert np.isnan(selection.nanmedian(x, 1, False)[0]).all()
    values, places = selection.mode(np.array([[3, 1, 3, 1, 2]]), 1, False)
    assert values[0] == 1 and places[0] == 3


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int64", "int32"])
def test_sums_and_products(dtype: str) -> None:
    rng = np.random.default_rng(0)
    t = torch.tensor(rng.normal(size=(3, 2000))).to(getattr(torch, dtype))
    if t.is_complex():
        t = t + 1j * t.flip(1)
        t = t / t.abs() * 1.001
    x = t.numpy()
    for name in ("cumsum", "cumprod"):
        for dim in (0, 1):
            got, want = getattr(scan, name)(x, dim), getattr(torch, name)(t, dim, dtype=t.dtype).numpy()
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=1e-6 if dtype in ("float32", "complex64") else 1e-11, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_logcumsumexp(dtype: str) -> None:
    t = torch.tensor(np.random.default_rng(1).normal(size=(4, 50)) * 30).to(getattr(torch, dtype))
    if t.is_complex():
        t = t + 1j * t.flip(1) / 10
    t[0, :3] = float("-inf")
    got, want = scan.logcumsumexp(t.numpy(), 1), torch.logcumsumexp(t, 1).numpy()
    assert got.dtype == want.dtype
    turns = np.exp(1j * (got.imag - want.imag)) if t.is_complex() else np.ones(1)
    np.testing.assert_allclose(got.real, want.real, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(turns, 1, atol=1e-4)


def test_scalars_and_empty() -> None:
    assert scan.cumsum(np.float32([]), 0).shape == (0,) and scan.cummax(np.array(2.0), 0)[1] == 0
    assert selection.sort(np.array(2.0), 0, False)[0] == 2
    assert selection.topk(np.arange(200.0), 0, 0, True, True)[0].shape == (0,)
