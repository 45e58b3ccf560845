"""The gamma family: lgamma, digamma, polygamma, the Hurwitz zeta function and the incomplete gamma functions."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi

import numpy as np

from rushlight.exec.numpy import special_tables as tables
from rushlight.exec.numpy.special_common import Array, choose, elementwise, polynomial, sin_pi, tan_pi

# B2, B4 …
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)
STIRLING = tuple(b / (2 * k * (2 * k - 1)) for k, b in enumerate(BERNOULLI, 1))
DIGAMMA = tuple(b / (2 * k) for k, b in enumerate(BERNOULLI, 1))
SHIFT = 10  # asymptotic series start here
DIRECT = 10  # terms of the zeta series that are added one by one
ITERATIONS = 10_000


# --- lgamma -------------------------------------------------------------------------------------------------------
def _lgamma_middle(x: Array) -> Array:
    return np.asarray((x - 1) * (x - 2) * polynomial(x - 2, tables.LGAMMA) + 0.0)  # never -0


def _stirling(x: Array) -> Array:
    return np.asarray((x - 0.5) * np.log(x) - x + 0.5 * log(2 * pi) + polynomial(1 / (x * x), STIRLING) / x)


def _lgamma_above_three(x: Array) -> Array:
    """lgamma(x) = lgamma(x - k) + log((x - 1) … (x - k)) with x - k in [2, 3]."""
    product, low = np.ones_like(x), x
    for _ in range(SHIFT - 3):
        more = low > 3
        low = np.where(more, low - 1, low)
        product = np.where(more, product * low, product)
    return _lgamma_middle(low) + np.log(product)


def _lgamma_positive(x: Array) -> Array:
    return choose(x, (x < 1, lambda x: _lgamma_middle(x + 1) - np.log(x)), (x <= 3, _lgamma_middle),
                  (x < SHIFT, _lgamma_above_three), default=_stirling)


@elementwise
def lgamma(x: Array) -> Array:
    """log |Gamma(x)|; infinite at 0, -1, -2 …"""
    def reflected(x: Array) -> Array:
        return np.asarray(np.where(np.isinf(x), np.inf, log(pi) - np.log(np.abs(sin_pi(x))) - _lgamma_positive(1 - x)))
    return choose(x, (x == np.inf, lambda x: x), (x <= 0, reflected), default=_lgamma_positive)


# --- digamma and polygamma ----------------------------------------------------------------------------------------
def _digamma_positive(x: Array) -> Array:
    low = np.zeros_like(x)
    for _ in range(SHIFT):
        small = x < SHIFT
        low = np.where(small, low - 1 / x, low)
        x = np.where(small, x + 1, x)
    u = 1 / (x * x)
    return low + np.log(x) - 0.5 / x - u * polynomial(u, DIGAMMA)


@elementwise
def digamma(x: Array) -> Array:
    """The slope of log Gamma(x); ∓inf at ±0, NaN at the negative integers."""
    def reflected(x: Array) -> Array:
        return np.asarray(np.where(x == np.floor(x), np.nan, _digamma_positive(1 - x) - pi / tan_pi(x)))
    return choose(x, (x == 0, lambda x: -1 / x), (x == np.inf, lambda x: x), (x < 0, reflected),
                  default=_digamma_positive)


@elementwise
def polygamma(n: Array, x: Array) -> Array:
    """The n-th derivative of digamma: (-1)^(n+1) n! zeta(n + 1, x) for n >= 1."""
    sign = np.where(n % 2 == 1, 1.0, -1.0)
    # n! and zeta may overflow and underflow where their product does not, so n! joins as an exponential only where it
    # is large
    with np.errstate(all="ignore"):
        out = sign * np.exp(_lgamma_positive(n + 1)) * _zeta(n + 1, x)
        exact = sign * _factorial(n) * _zeta(n + 1, x)
    return np.where(n == 0, digamma(x), np.where(n <= 20, exact, out))


def _factorial(n: Array) -> Array:
    table = np.cumprod(np.r_[1.0, np.arange(1.0, 21.0)])
    return np.asarray(table[np.clip(np.nan_to_num(n), 0, 20).astype(np.int64)])


# --- zeta ---------------------------------------------------------------------------------------------------------
def _zeta_positive(s: Array, q: Array) -> Array:
    """Euler-Maclaurin summation of (q + k)^-s over k >= 0, for q > 0."""
    total = np.zeros_like(q)
    for k in range(DIRECT):
        total += (q + k) ** -s
    a = q + DIRECT
    power = a ** -s
    total += power * (a / (s - 1) + 0.5)
    term = power / a * s / 2
    for k, b in enumerate(BERNOULLI, 1):
        total += term * b
        term = term * (s + 2 * k - 1) * (s + 2 * k) / ((2 * k + 1) * (2 * k + 2) * a * a)
    return np.where(np.isinf(q), 0.0, total)


def _zeta_negative(s: Array, q: Array) -> Array:
    """zeta(s, q) for q < 0 and integer s: the finitely many terms on the
    negative side are a difference of two zetas."""
    above = q - np.floor(q)
    negative = _zeta_positive(s, 1 - above) - _zeta_positive(s, 1 - q)
    out = _zeta_positive(s, above) + np.where(s % 2 == 0, 1, -1) * negative
    return np.where(above == 0, np.inf, np.where(s != np.floor(s), np.nan, out))


def _zeta(s: Array, q: Array) -> Array:
    out = np.empty_like(q)
    positive = q > 0
    for mask, f in ((positive, _zeta_positive), (~positive, _zeta_negative)):
        if mask.any():
            out[mask] = f(s[mask], q[mask])
    return np.where(np.isnan(q) | ~(s >= 1), np.nan, np.where(s == 1, np.inf, out))


@elementwise
def zeta(s: Array, q: Array) -> Array:
    """The Hurwitz zeta function, the sum of (q + k)^-s over k >= 0;
    infinite for s = 1 and q = 0, -1 …, NaN for s < 1."""
    return _zeta(s, q)


# --- incomplete gamma ---------------------------------------------------------------------------------------------
def _log1p_minus(x: Array) -> Array:
    """log(1 + x) - x, by atanh's series near 0: log1p(x) = 2 atanh(x / (2 + x))."""
    z = x / (2 + x)
    series = polynomial(z * z, tuple(2 / (2 * k + 3) for k in range(12)))
    near = z * z * (z * series) - x * z  # 2z - x = -x z
    return np.asarray(np.where(np.abs(x) < 0.3, near, np.log1p(x) - x))


def _prefactor(a: Array, x: Array) -> Array:
    """x^a exp(-x) / Gamma(a + 1); for large a through Stirling's series, so that nothing large cancels."""
    direct = np.exp(a * np.log(x) - x - _lgamma_positive(a + 1))
    stirling = np.exp(a * _log1p_minus((x - a) / a) - polynomial(1 / (a * a), STIRLING) / a) / np.sqrt(2 * pi * a)
    return np.asarray(np.where(a < SHIFT, direct, stirling))


def _series(a: Array, x: Array) -> Array:
    """P(a, x) = x^a e^-x / Gamma(a + 1) (1 + x/(a+1) + x²/((a+1)(a+2)) + …)."""
    term, total = np.ones_like(x), np.ones_like(x)
    for n in range(1, ITERATIONS):
        term = term * (x / (a + n))
        total += term
        if not np.any(term > total * 1e-17):
            break
    return total * _prefactor(a, x)


def _fraction(a: Array, x: Array) -> Array:
    """Q(a, x) by Legendre's continued fraction, evaluated with the modified Lentz method."""
    b = x + 1 - a
    c, d = np.full_like(x, 1e300), 1 / b
    h = d.copy()
    for n in range(1, ITERATIONS):
        an = n * (a - n)
        b += 2
        d = 1 / (an * d + b)
        c = b + an / c
        step = c * d
        h *= step
        if not np.any(np.abs(step - 1) > 2e-16):
            break
    return h * _prefactor(a, x) * a


def _small_upper(a: Array, x: Array) -> Array:
    """Q(a, x) for small a and x, where 1 - P would cancel: 1 - x^a / Gamma(1 + a) - (x^a / Gamma(a)) sum of (-x)^n /
    (n! (a + n))."""
    term, total = np.ones_like(x), np.zeros_like(x)
    for n in range(1, 40):
        term = term * (-x / n)
        total += term / (a + n)
    log_first = a * np.log(x) - _lgamma_positive(a + 1)
    return np.asarray(-np.expm1(log_first) - a * np.exp(log_first) * total)


def _both(a: Array, x: Array, upper: bool) -> Array:
    """P or Q by the method that suits (a, x)."""
    def take(f: Callable[[Array, Array], Array], mask: Array, flip: bool) -> None:
        if mask.any():
            part = f(a[mask], x[mask])
            out[mask] = 1 - part if flip else part

    out = np.full(x.shape, np.nan)
    regular = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    tiny = regular & (a < 1) & (x <= 1.1) & upper
    low = regular & ~tiny & (x <= a + 1)
    take(_small_upper, tiny, False)
    take(_series, low, upper)
    take(_fraction, regular & ~tiny & ~low, not upper)
    one, zero = (0.0, 1.0) if upper else (1.0, 0.0)
    # limits: P(0, x) = 1, P(a, 0) = 0, P(inf, x) = 0, P(a, inf) = 1
    edges = (((x == 0) & (a > 0), zero),
             ((a == 0) & (x > 0), one),
             (np.isinf(a) & (a > 0) & (x >= 0) & np.isfinite(x), zero),
             ((x == np.inf) & (a >= 0) & np.isfinite(a), one))
    for mask, value in edges:
        out[mask] = value
    return out


@elementwise
def igamma(a: Array, x: Array) -> Array:
    """The regularised lower incomplete gamma function P(a, x); NaN for negative arguments."""
    return _both(a, x, upper=False)


@elementwise
def igammac(a: Array, x: Array) -> Array:
    """The regularised upper incomplete gamma function Q(a, x) = 1 - P(a, x); NaN for negative arguments."""
    return _both(a, x, upper=True)
