"""Running sums, products and extrema along one dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
# PyTorch adds and multiplies float32 in double precision on the CPU; half precision in float32
ACCUMULATOR: dict[str, str] = {"float32": "float64", "complex64": "complex128", "float16": "float32",
                               "bfloat16": "float32"}


def _accumulate(ufunc: Any, x: Array, dim: int) -> Array:
    if x.ndim == 0:
        return x.copy()
    wide = np.dtype(ACCUMULATOR.get(x.dtype.name, x.dtype))
    with np.errstate(all="ignore"):
        return np.asarray(ufunc.accumulate(x.astype(wide, copy=False), axis=dim,
                                           dtype=wide).astype(x.dtype, copy=False))


def cumsum(x: Array, dim: int) -> Array:
    """The running sum along dim, in the type of x."""
    sums = _accumulate(np.add, x, dim)
    return sums if x.dtype.kind in "iub" else np.asarray(sums + x.dtype.type(0))  # which start at 0, so that none is -0


def cumprod(x: Array, dim: int) -> Array:
    """The running product along dim, in the type of x."""
    return _accumulate(np.multiply, x, dim)


def logcumsumexp(x: Array, dim: int) -> Array:
    """log of the running sum of exp(x) along dim."""
    return _accumulate(np.logaddexp, x, dim) if x.dtype.kind != "c" else _complex_logcumsumexp(x, dim)


def _complex_logcumsumexp(x: Array, dim: int) -> Array:
    """Element by element along dim, with the larger real part taken out of
    each sum, since NumPy's logaddexp is real."""
    if x.ndim == 0 or x.size == 0:
        return x.copy()
    moved = np.moveaxis(x, dim, 0)
    out = np.empty_like(moved)
    total = out[0] = moved[0]
    with np.errstate(all="ignore"):
        for i in range(1, len(moved)):
            new = moved[i]
            swap = new.real > total.real
            high, low = np.where(swap, new, total), np.where(swap, total, new)
            difference = np.where(np.isneginf(low.real), -np.inf, low - high)
            total = out[i] = high + np.log1p(np.exp(difference))
    return np.moveaxis(out, 0, dim)


def _extreme(ufunc: Any, x: Array, dim: int) -> tuple[Array, Array]:
    """The running extremum and the last place so far where it stands; after a NaN, the last NaN."""
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    with np.errstate(all="ignore"):  # ml_dtypes warns of NaN
        values = ufunc.accumulate(x, axis=dim)
        here = (x == values) | np.isnan(x) if x.dtype.kind in "fV" else x == values
    position = np.arange(x.shape[dim]).reshape(-1, *(1,) * (x.ndim - dim - 1))
    return values, np.maximum.accumulate(np.where(here, position, 0), axis=dim)


def cummax(x: Array, dim: int) -> tuple[Array, Array]:
    """The running maximum along dim and its place (int64)."""
    return _extreme(np.maximum, x, dim)


def cummin(x: Array, dim: int) -> tuple[Array, Array]:
    """The running minimum along dim and its place (int64)."""
    return _extreme(np.minimum, x, dim)
