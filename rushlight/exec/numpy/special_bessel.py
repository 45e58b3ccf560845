"""Bessel functions. The modified functions of the first kind are ours; the others come from SciPy, imported on use."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np

from rushlight.exec.numpy import special_tables as tables
from rushlight.exec.numpy.special_common import Array, chebyshev, choose, elementwise


def _scaled_i0(a: Array) -> Array:
    """exp(-a) I0(a) for a >= 0."""
    return choose(a, (a <= 8, lambda a: chebyshev(a / 4 - 1, tables.I0_SMALL)),
                  default=lambda a: chebyshev(16 / a - 1, tables.I0_LARGE) / np.sqrt(a))


def _scaled_i1(a: Array) -> Array:
    """exp(-a) I1(a) for a >= 0."""
    return choose(a, (a <= 8, lambda a: a * chebyshev(a / 4 - 1, tables.I1_SMALL)),
                  default=lambda a: chebyshev(16 / a - 1, tables.I1_LARGE) / np.sqrt(a))


def _grown(scaled: Array, a: Array) -> Array:
    """scaled * exp(a) without overflow before the product overflows."""
    half = np.exp(a / 2)
    return np.asarray(np.where(np.isinf(a), np.inf, scaled * half * half))


def _odd(of_abs: Array, x: Array) -> Array:
    return np.where(x < 0, -of_abs, of_abs)


@elementwise
def i0(x: Array) -> Array:
    """The modified Bessel function of the first kind of order 0."""
    a = np.abs(x)
    return _grown(_scaled_i0(a), a)


@elementwise
def i0e(x: Array) -> Array:
    """exp(-|x|) I0(x)."""
    return _scaled_i0(np.abs(x))


@elementwise
def i1(x: Array) -> Array:
    """The modified Bessel function of the first kind of order 1."""
    a = np.abs(x)
    return _odd(_grown(_scaled_i1(a), a), x)


@elementwise
def i1e(x: Array) -> Array:
    """exp(-|x|) I1(x)."""
    return _odd(_scaled_i1(np.abs(x)), x)


@elementwise
def spherical_bessel_j0(x: Array) -> Array:
    """sin(x) / x, 1 at 0 and 0 at infinity."""
    return np.where(x == 0, 1.0, np.where(np.isinf(x), 0.0, np.sin(x) / np.where(x == 0, 1.0, x)))


def from_scipy(name: str, part: int | None = None) -> Callable[..., Array]:
    """A function of scipy.special (or one of its results);
    ImportError with the command to install it where SciPy is absent."""
    def kernel(*operands: Array) -> Array:
        try:
            special = importlib.import_module("scipy.special")
        except ImportError as e:
            raise ImportError(f"the special function {name} needs SciPy: pip install 'rushlight[scipy]'") from e
        out = getattr(special, name)(*operands)
        found: Array = out if part is None else out[part]
        return found
    kernel.__name__ = name
    kernel.__doc__ = f"scipy.special.{name}, elementwise."
    return elementwise(kernel)


bessel_j0, bessel_j1, bessel_y0, bessel_y1 = (from_scipy(n) for n in ("j0", "j1", "y0", "y1"))
airy_ai = from_scipy("airy", 0)
modified_bessel_k0, modified_bessel_k1 = from_scipy("k0"), from_scipy("k1")
scaled_modified_bessel_k0, scaled_modified_bessel_k1 = from_scipy("k0e"), from_scipy("k1e")
