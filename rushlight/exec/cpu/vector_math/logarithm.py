"""log, log2, log10, log1p, and the inverse hyperbolic functions.

x = 2^e (1 + f) with 1 + f between sqrt(1/2) and sqrt(2). In float32, log(1 + f) is a polynomial in f; in float64,
where that would need twenty terms, it is 2 atanh(f / (2 + f)), arranged so that only small terms are rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from rushlight.exec.cpu.vector_math.exponential import LN_2, LOG2_E
from rushlight.exec.cpu.vector_math.lanes import DOUBLE, SINGLE, Real, fma, polynomial, two_parts

LOG10_2 = (0.3010299956639812, -2.8037281277851704e-18)
LOG10_E = 0.4342944819032518
# float32: (log(1+f) - f + f^2/2) / f^3; float64: (2 atanh s - 2 s) / s^3 in s^2
TAIL = {
    SINGLE: (3.333333e-01, -2.5000823e-01, 2.0001243e-01, -1.6623318e-01, 1.4201571e-01, -1.3160464e-01, 1.2762171e-01,
             -7.633828e-02),
    DOUBLE: (0.6666666666666734, 0.39999999999416375, 0.28571428742016686, 0.2222219861059886, 0.18183562417108529,
             0.15314098476333635, 0.14795479258702293),
}
ROOT_HALF = math.sqrt(0.5)


def decomposed(x: Real) -> tuple[Real, Real, Real]:
    """(e, 1 + f, 2^-e) of a positive normal x; anything without meaning otherwise, but never a trap."""
    form = x.format
    one = form.pattern(1.0)
    shifted = x.pattern + (one - form.pattern(ROOT_HALF))
    biased = shifted >> form.fraction
    exponent_field = biased << form.fraction
    e = (biased | form.pattern(form.magic)).real - (form.magic + form.bias)
    return e, (x.pattern - exponent_field + one).real, (2 * one - exponent_field).real


def normalized(x: Real) -> tuple[Real, Real]:
    """(e, f), subnormal numbers included."""
    form = x.format
    tiny = x < form.smallest_normal
    lift = form.fraction + 1
    e, m, _ = decomposed(tiny.pick(x * 2.0 ** lift, x))
    return tiny.pick(e - lift, e), m - 1.0


def log_of_one_plus(f: Real, e: Real | None = None) -> Real:
    """log(1 + f) for f inside the reduced range, plus e log 2."""
    leading, rest = two_parts(f.format, *LN_2)
    if f.single:
        near = fma(f * f, fma(f, polynomial(f, TAIL[SINGLE]), -0.5), f)
        return near if e is None else fma(e, leading, near)
    s = f / (f + 2.0)
    z = s * s
    half = f * f * 0.5
    small = s * fma(z, polynomial(z, TAIL[DOUBLE]), half)
    if e is None:
        return f - (half - small)
    return fma(e, leading, f - (half - fma(e, rest, small)))


def completed(x: Real, inside: Real, pole: float) -> Real:
    """The result where x is above the pole and finite; -inf at it, NaN below and for NaN, inf at inf."""
    outside = x.equals(pole).pick(-math.inf, (x < pole).pick(math.nan, x))
    return ((x > pole) & (x < math.inf)).pick(inside, outside)


def log(x: Real) -> Real:
    e, f = normalized(x)
    return completed(x, log_of_one_plus(f, e), 0.0)


def log2(x: Real) -> Real:
    e, f = normalized(x)
    return completed(x, fma(log_of_one_plus(f), LOG2_E, e), 0.0)


def log10(x: Real) -> Real:
    e, f = normalized(x)
    leading, rest = two_parts(x.format, *LOG10_2)
    return completed(x, fma(e, leading, fma(e, rest, log_of_one_plus(f) * LOG10_E)), 0.0)


def log1p_finite(x: Real, extra: Real | float = 0.0) -> Real:
    """log(1 + x) + extra log 2 for -1 < x < inf, without regard to the sign of zero.

    With 1 + x ~ 2^e m, f = 2^-e x + (2^-e - 1) loses nothing of a small x; a huge x is scaled down first.
    """
    form = x.format
    down = form.fraction + 7
    huge = x > 2.0 ** (form.bias - 23)
    x = huge.pick(x * 2.0 ** -down, x)
    e, _, inverse = decomposed(x + 1.0)
    f = fma(x, inverse, inverse - 1.0)
    return log_of_one_plus(f, e + x.choose(huge, float(down), 0.0) + extra)


def log1p(x: Real) -> Real:
    return completed(x, log1p_finite(x), -1.0).with_sign_of(x)


def in_double(function: Callable[[Real], Real]) -> Callable[[Real], Real]:
    """float32 by way of float64."""
    def widening(x: Real) -> Real:
        return function(x.widened()).narrowed() if x.single else function(x)
    return widening


@in_double
def asinh(x: Real) -> Real:
    """log1p(a + a^2 / (1 + sqrt(1 + a^2))) with a = |x|; log(2 a) where a^2 would overflow."""
    a = abs(x)
    huge = a > 2.0 ** 60
    square = a * a
    argument = huge.pick(a, a + square / ((square + 1.0).sqrt() + 1.0))
    inside = log1p_finite(argument, x.choose(huge, 1.0, 0.0))
    return (a < math.inf).pick(inside, a).with_sign_of(x)


@in_double
def acosh(x: Real) -> Real:
    """log1p(t + sqrt(2 t + t^2)) with t = x - 1."""
    t = x - 1.0
    huge = x > 2.0 ** 60
    argument = huge.pick(x, t + fma(t, t, t + t).sqrt())
    inside = log1p_finite(argument, x.choose(huge, 1.0, 0.0))
    return (x < math.inf).pick((x >= 1.0).pick(inside, math.nan), x)


@in_double
def atanh(x: Real) -> Real:
    """log1p(2 a / (1 - a)) / 2 with a = |x|."""
    a = abs(x)
    inside = 0.5 * log1p_finite((a + a) / (1.0 - a))
    return (a < 1.0).pick(inside, x.choose(a.equals(1.0), math.inf, math.nan)).with_sign_of(x)


FUNCTIONS = {"log": log, "log2": log2, "log10": log10, "log1p": log1p, "asinh": asinh, "acosh": acosh, "atanh": atanh}
