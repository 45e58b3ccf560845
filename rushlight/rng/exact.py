"""Arithmetic that rounds as PyTorch's compiled kernels do: a·b + c with one rounding, and libm's functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.rng import compiled

SPLIT = 134217729.0  # 2**27 + 1, Dekker's constant
NEAR = 2.0 ** -48  # 16 units in the last place: NumPy's functions in float64 are within four of the C library's
FEW = 16  # numbers of which the C library computes each
HALF_TYPES = ("float16", "bfloat16")


def fma32(a: Any, b: Any, c: Any) -> np.ndarray:
    """a·b + c in float32 with one rounding; float32 arrays or scalars.

    The product is exact in float64. The sum is rounded to 53 bits and then to 24; that goes wrong only where the 53
    bits end exactly halfway between two float32 numbers, and there the lost part of the sum decides.
    """
    product = np.multiply(a, b, dtype=np.float64)
    total = np.atleast_1d(product + np.asarray(c, np.float64))
    halfway = (total.view(np.int64) & 0x1FFFFFFF) == 0x10000000
    if halfway.any():
        _nudge(total, halfway, product, c)
    return total.astype(np.float32)


def _nudge(total: np.ndarray, halfway: np.ndarray, product: np.ndarray, c: Any) -> None:
    """Move the marked sums one float64 step towards their exact values where these are not representable."""
    s = total[halfway]
    p = np.broadcast_to(product, total.shape)[halfway]
    q = np.broadcast_to(np.asarray(c, np.float64), total.shape)[halfway]
    _, lost = two_sum(p, q)
    total[halfway] = np.where(lost == 0, s, np.nextafter(s, np.where(lost > 0, np.inf, -np.inf)))


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """The rounded sum and what rounding lost (Knuth)."""
    s = a + b
    v = s - a
    return s, (a - (s - v)) + (b - v)


def _two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """The rounded product and what rounding lost (Dekker, Veltkamp)."""
    p = a * b
    t = SPLIT * a
    a_high = t - (t - a)
    t = SPLIT * b
    b_high = t - (t - b)
    a_low, b_low = a - a_high, b - b_high
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


def fma64(a: Any, b: Any, c: Any) -> np.ndarray:
    """a·b + c in float64 with one rounding, through rounding to odd (Boldo and Melquiond, 2008)."""
    a, b, c = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (a, b, c)))
    with np.errstate(over="ignore", invalid="ignore"):
        high, low = _two_product(a, b)
        t, t_lost = two_sum(c, low)
        v, v_lost = two_sum(high, t)
        rest, lost = two_sum(t_lost, v_lost)
        rest = np.atleast_1d(rest)
        even = (rest.view(np.int64) & 1) == 0
        toward = np.where(np.atleast_1d(lost) > 0, np.inf, -np.inf)
        rest = np.where(even & (np.atleast_1d(lost) != 0), np.nextafter(rest, toward), rest)
        exact = (v + rest.reshape(np.shape(v))).reshape(a.shape)
        return np.where(np.isfinite(exact), exact, a * b + c)


def libm(function: Callable[[float], float], x: np.ndarray) -> np.ndarray:
    """A function of ``math`` on float64 elements: the C library's bits, which NumPy's vector code does not give."""
    if compiled.wanted_map(x.size) and (address := compiled.c_function(function.__name__)):
        return compiled.mapped(address, np.ascontiguousarray(x, np.float64))
    return np.fromiter(map(function, x.tolist()), np.float64, x.size)


def rounded(function: Callable[[float], float], near: np.ufunc, x: np.ndarray, finish: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """finish(libm(function, x)), where ``finish`` works element by element, never falls (or never rises), and rounds to fewer bits.

    NumPy's function is as near as makes no difference after the rounding, but for one number in many millions: those for which what
    lies a little below and a little above is not rounded to the same get the C library's.
    """
    if x.size <= FEW:
        return finish(libm(function, x))
    value = near(x)
    slack = np.abs(value) * NEAR
    low, high = finish(value - slack), finish(value + slack)
    unsure = np.flatnonzero(~(low == high))  # NaN as well
    if unsure.size > x.size // 2:
        return finish(libm(function, x))
    low[unsure] = finish(libm(function, x[unsure]))
    return low


def to_dtype(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Cast as PyTorch does: half types by way of float32."""
    with np.errstate(over="ignore"):
        if dtype.itemsize == 2 and dtype.name in HALF_TYPES:  # NumPy puts the name together in Python
            x = x.astype(np.float32, copy=False)
        return x.astype(dtype, copy=False)
