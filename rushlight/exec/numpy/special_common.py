"""What the special functions share: types in and out, blocks that stay in cache, branches, polynomials."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
BLOCK = 1 << 14  # elements per block: the temporaries of a block stay in the second-level cache
SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def result_type(operands: Sequence[Any]) -> np.dtype[Any]:
    """The float type of the result: that of the arrays, float32 for integers; Python numbers do not count."""
    floats = [o.dtype for o in operands if hasattr(o, "dtype") and o.dtype.kind not in "iub"]
    if not floats:
        return SINGLE if any(hasattr(o, "dtype") for o in operands) else DOUBLE
    return max(floats, key=lambda d: d.itemsize)


def over_blocks(f: Callable[..., Array], single: bool) -> Callable[..., Array]:
    """f, written for flat float arrays of one type, as a function of any arrays and numbers that broadcast."""
    @functools.wraps(f)
    def wrapper(*operands: Any) -> Array:
        out_type = result_type(operands)
        inner = SINGLE if single and out_type != DOUBLE else DOUBLE
        arrays = np.broadcast_arrays(*[np.asarray(o) for o in operands])
        flat = [a.reshape(-1) for a in arrays]
        out = np.empty(flat[0].size, out_type)
        with np.errstate(all="ignore"):
            for at in range(0, out.size, BLOCK):
                part = slice(at, at + BLOCK)
                out[part] = f(*[a[part].astype(inner) for a in flat])
        return out.reshape(arrays[0].shape)
    return wrapper


def elementwise(f: Callable[..., Array]) -> Callable[..., Array]:
    """Decorates a function of flat float64 arrays: float32 and half are computed in float64 and rounded once."""
    return over_blocks(f, single=False)


def elementwise_single(f: Callable[..., Array]) -> Callable[..., Array]:
    """As `elementwise` for functions that also compute in float32, which half precision then uses too."""
    return over_blocks(f, single=True)


def choose(x: Array, *cases: tuple[Array, Callable[[Array], Array]], default: Callable[[Array], Array]) -> Array:
    """default(x), but f(x) where the mask of a case (mask, f) is set; a branch sees only its own elements."""
    rest = np.ones(x.shape, bool)
    parts = []
    for mask, f in cases:
        mask = mask & rest
        rest &= ~mask
        parts.append((mask, f))
    parts.append((rest, default))
    out = np.empty_like(x)
    for mask, f in parts:
        if mask.all():
            return f(x)
        if mask.any():
            out[mask] = f(x[mask])
    return out


def polynomial(x: Array, coefficients: Sequence[float]) -> Array:
    """c[0] + c[1] x + c[2] x² + … by Horner's rule."""
    out = x * coefficients[-1]
    out += coefficients[-2]
    for c in coefficients[-3::-1]:
        out *= x
        out += c
    return out


def chebyshev(t: Array, coefficients: Sequence[float]) -> Array:
    """c[0] T0(t) + c[1] T1(t) + … by Clenshaw's rule."""
    twice = 2 * t
    b0, b1 = np.zeros_like(t), np.zeros_like(t)
    for c in coefficients[:0:-1]:
        b0, b1 = twice * b0 - b1 + c, b0
    return np.asarray(t * b0 - b1 + coefficients[0])


def sin_pi(x: Array) -> Array:
    """sin(pi x), exact zeros at the integers."""
    r = x - 2 * np.floor(x / 2)  # in [0, 2), exact
    folded = np.where(r > 1.5, r - 2, np.where(r > 0.5, 1 - r, r))
    return np.asarray(np.sin(np.pi * folded))


def tan_pi(x: Array) -> Array:
    """tan(pi x), the argument reduced exactly first."""
    return np.asarray(np.tan(np.pi * (x - np.rint(x))))
