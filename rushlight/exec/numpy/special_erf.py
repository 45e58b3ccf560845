"""The error function and the normal distribution."""

from __future__ import annotations

from math import factorial, log, pi, sqrt

import numpy as np

from rushlight.exec.numpy import special_tables as tables
from rushlight.exec.numpy.special_common import Array, choose, elementwise, elementwise_single, polynomial

# erf(x) / x in powers of x², used up to |x| = 1
ERF_SERIES = tuple((-1) ** k * 2 / (sqrt(pi) * factorial(k) * (2 * k + 1)) for k in range(19))
LIMIT32 = 3.92  # from here on erf is 1 in float32
ROOT2 = sqrt(2)


def exp_minus_square(x: Array, factor: float = 1.0) -> Array:
    """exp(-factor x²); x is split so that the rounding of x² does not grow with x."""
    head = np.rint(x * 16) / 16
    head = np.where(np.isfinite(head), head, 0)
    return np.asarray(np.exp(-factor * head * head) * np.exp(-factor * (x - head) * (x + head)))


def scaled(x: Array) -> Array:
    """exp(x²) erfc(x) for x >= 0, from one polynomial (after Shepherd and Laframboise, 1981)."""
    y = 1 - 7.5 / (x + 3.75)
    return np.asarray(polynomial(y, tables.ERFCX) / (1 + 2 * x))


def _erf_near(x: Array) -> Array:
    return x * polynomial(x * x, ERF_SERIES)


def _erf_far(x: Array) -> Array:
    a = np.abs(x)
    return np.asarray(np.copysign(1 - exp_minus_square(a) * scaled(a), x))


def _erf32(x: Array) -> Array:
    clipped = np.clip(x, -LIMIT32, LIMIT32)
    u = clipped * clipped
    out = polynomial(u, tables.ERF32_TOP)
    out /= polynomial(u, tables.ERF32_BOTTOM)
    out *= clipped
    return np.asarray(np.clip(out, -1, 1, out=out))


@elementwise_single
def erf(x: Array) -> Array:
    """2/sqrt(pi) times the integral of exp(-t²) from 0 to x."""
    if x.dtype == np.float32:
        return _erf32(x)
    return choose(x, (np.abs(x) <= 1, _erf_near), default=_erf_far)


@elementwise
def erfc(x: Array) -> Array:
    """1 - erf(x), accurate where erf(x) is close to 1."""
    return choose(x, (np.abs(x) <= 0.5, lambda x: 1 - _erf_near(x)),
                  (x < 0, lambda x: 2 - exp_minus_square(x) * scaled(-x)),
                  default=lambda x: exp_minus_square(x) * scaled(x))


@elementwise
def erfcx(x: Array) -> Array:
    """exp(x²) erfc(x)."""
    return choose(x, (x < 0, lambda x: 2 / exp_minus_square(x) - scaled(-x)), default=scaled)


def _normal_quantile(q: Array, tail: Array) -> Array:
    """The x with Phi(x) = p, given q = p - 1/2 and tail = min(p, 1 - p), both exact."""
    def central(q: Array) -> Array:
        r = 0.180625 - q * q
        return q * polynomial(r, tables.NDTRI_CENTRAL_TOP) / polynomial(r, tables.NDTRI_CENTRAL_BOTTOM)

    def middle(r: Array) -> Array:
        return polynomial(r - 1.6, tables.NDTRI_MIDDLE_TOP) / polynomial(r - 1.6, tables.NDTRI_MIDDLE_BOTTOM)

    def far(r: Array) -> Array:
        return polynomial(r - 5, tables.NDTRI_FAR_TOP) / polynomial(r - 5, tables.NDTRI_FAR_BOTTOM)

    out = central(q)
    outside = ~(np.abs(q) <= 0.425)
    if outside.any():
        r = np.sqrt(-np.log(tail[outside]))
        out[outside] = np.copysign(choose(r, (r <= 5, middle), (np.isinf(r), lambda r: r), default=far), q[outside])
    return out


@elementwise
def ndtri(p: Array) -> Array:
    """The quantile function of the standard normal distribution; NaN outside [0, 1]."""
    return np.where((p >= 0) & (p <= 1), _normal_quantile(p - 0.5, np.minimum(p, 1 - p)), np.nan)


@elementwise
def erfinv(x: Array) -> Array:
    """The inverse of erf; NaN outside [-1, 1]."""
    return np.where(np.abs(x) <= 1, _normal_quantile(x / 2, (1 - np.abs(x)) / 2) / ROOT2, np.nan)


@elementwise
def ndtr(x: Array) -> Array:
    """The standard normal distribution function, erfc(-x / sqrt(2)) / 2."""
    return choose(x, (x < -1, lambda x: exp_minus_square(x, 0.5) * scaled(-x / ROOT2) / 2),
                  default=lambda x: erfc(-x / ROOT2) / 2)


@elementwise
def log_ndtr(x: Array) -> Array:
    """The logarithm of the standard normal distribution function."""
    return choose(x, (x < -1, lambda x: np.log(scaled(-x / ROOT2)) - log(2) - x * x / 2),
                  default=lambda x: np.log1p(-0.5 * erfc(x / ROOT2)))
