"""asin, acos, atan, atan2."""

from __future__ import annotations

import math

from rushlight.exec.cpu.vector_math.lanes import DOUBLE, SINGLE, Real, fma, polynomial, two_parts

PI_2 = (1.5707963267948966, 6.123233995736766e-17)
PI_4 = (0.7853981633974483, 3.061616997868383e-17)
# (asin x - x) / x^3 in x^2, for |x| <= 1/2
ASIN_TAIL = {
    SINGLE: (1.666666e-01, 7.500517e-02, 4.451487e-02, 3.1822536e-02, 1.4389789e-02, 3.75773e-02),
    DOUBLE: (0.1666666666666676, 0.07499999999970756, 0.0446428571746547, 0.03038194270564554, 0.022372215050174855,
             0.017351610850746775, 0.013980834950030193, 0.0113987906791091, 0.010780954502293596, 0.003703682060586408,
             0.021714263486126716, -0.021008962042536654, 0.03263497030141338),
}
# (atan x - x) / x^3 in x^2, for |x| <= 1/2
ATAN_TAIL = {
    SINGLE: (-3.3333233e-01, 1.9994177e-01, -1.4174423e-01, 1.01572596e-01, -5.128122e-02),
    DOUBLE: (-0.3333333333333298, 0.1999999999990307, -0.14285714276382028, 0.11111110659452927, -0.09090896239782456,
             0.07692073830167115, -0.06663809734289794, 0.05858292708308602, -0.0512197730888825, 0.04186422239915407,
             -0.027433601473156072, 0.010115884997135123),
}


def _asin_parts(x: Real) -> tuple[Real, Real]:
    """(a, t) with asin a = a + t, where a is |x| or, beyond one half, sqrt((1 - |x|)/2)."""
    a = abs(x)
    far = a > 0.5
    square = far.pick(fma(a, -0.5, 0.5), a * a)
    argument = far.pick(square.sqrt(), a)
    return argument, argument * square * polynomial(square, ASIN_TAIL[x.format])


def asin(x: Real) -> Real:
    """a + t, or pi/2 - 2 (a + t), where pi/2 - 2 a is the large part."""
    a, t = _asin_parts(x)
    leading, rest = two_parts(x.format, *PI_2)
    far = (leading - (a + a)) + (rest - (t + t))
    return (abs(x) > 0.5).pick(far, a + t).with_sign_of(x)


def acos(x: Real) -> Real:
    """pi/2 -+ (a + t) for small |x|, 2 (a + t) near 1, pi - 2 (a + t) near -1."""
    a, t = _asin_parts(x)
    near = a + t
    leading, rest = two_parts(x.format, *PI_2)
    inner = leading - (near.with_sign_of(x) - rest)
    double = near + near
    outer = (x < 0).pick(2 * leading - (double - 2 * rest), double)
    return (abs(x) > 0.5).pick(outer, inner)


def atan_of_quotient(y: Real, x: Real) -> Real:
    """atan(y/x) for 0 <= y <= x, x > 0: pi/4 + atan((y - x)/(y + x)) where y/x is above one half."""
    far = y > x * 0.5
    t = far.pick(y - x, y) / far.pick(y + x, x)
    square = t * t
    leading, rest = two_parts(x.format, *PI_4)
    tail = fma(t * square, polynomial(square, ATAN_TAIL[x.format]), x.choose(far, rest, 0.0))
    return x.choose(far, leading, 0.0) + (t + tail)


def atan(x: Real) -> Real:
    a = abs(x)
    steep = a > 1.0
    first = atan_of_quotient(steep.pick(1.0, a), steep.pick(a, 1.0))
    leading, rest = two_parts(x.format, *PI_2)
    return steep.pick(leading - (first - rest), first).with_sign_of(x)


def atan2(y: Real, x: Real) -> Real:
    """The angle of (x, y): c + s atan(min/max) with c one of 0, pi/2, pi and s a sign.

    0/0 counts as 0 and inf/inf as 1; lengths near overflow are halved twice, so that their sum is finite.
    """
    form = x.format
    across, up = abs(x), abs(y)
    steep = up > across
    small, large = steep.pick(across, up), steep.pick(up, across)
    shrink = x.choose(large > 2.0 ** (form.bias - 1), 0.25, 1.0)
    both_infinite = small.equals(math.inf)
    first = atan_of_quotient(both_infinite.pick(1.0, small * shrink),
                             (both_infinite | large.equals(0.0)).pick(1.0, large * shrink))
    left = x.lift(1.0).with_sign_of(x) < 0.0
    leading, rest = two_parts(form, *PI_2)
    quarters = steep.pick(1.0, x.choose(left, 2.0, 0.0))
    turned = (steep ^ left).pick(-first, first)
    angle = quarters * leading + fma(quarters, rest, turned)
    return (x.is_nan() | y.is_nan()).pick(math.nan, angle.with_sign_of(y))


FUNCTIONS = {"asin": asin, "acos": acos, "atan": atan, "atan2": atan2}
