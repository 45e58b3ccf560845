"""exp and what follows from it: exp2, expm1, sigmoid, tanh, sinh, cosh.

e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln 2 / 2. n comes from adding a large constant, so that its bits
need one shift to become the exponent field of 2^n; e^r is a minimax polynomial (weighted Remez exchange in 50 digits,
coefficients then rounded to the format; its error is below a tenth of an ulp).
"""

from __future__ import annotations

import math

from rushlight.exec.cpu.vector_math.lanes import DOUBLE, SINGLE, Number, Real, fma, polynomial, two_parts

LOG2_E = 1.4426950408889634
LN_2 = (0.6931471805599453, 2.3190468138462996e-17)
# (e^r - 1 - r) / r^2, relative to e^r - 1, for |r| <= ln 2 / 2
EXP_TAIL = {
    SINGLE: (4.9999997e-01, 1.6666543e-01, 4.1667543e-02, 8.36655e-03, 1.386083e-03),
    DOUBLE: (0.5000000000000006, 0.16666666666666588, 0.041666666666576105, 0.00833333333338994, 0.0013888888931796253,
             0.00019841269718390715, 2.480150497760689e-05, 2.755740781540085e-06, 2.7626161871627415e-07,
             2.505379369723067e-08),
}
# (2^r - 1) / r, relative to 2^r, for |r| <= 1/2
EXP2_TAIL = {
    SINGLE: (6.931472e-01, 2.4022648e-01, 5.5503592e-02, 9.618499e-03, 1.3391188e-03, 1.532959e-04),
    DOUBLE: (0.6931471805599453, 0.24022650695910133, 0.05550410866482005, 0.009618129107593567, 0.0013333558146780228,
             0.0001540353045787886, 1.5252733489355077e-05, 1.3215434869776066e-06, 1.0178200490853309e-07,
             7.073858721955259e-09, 4.4347271956677867e-10),
}
# (sinh x - x) / x^3 as a polynomial in x^2, relative to sinh x, for |x| <= 1
SINH_TAIL = {
    SINGLE: (1.6666667e-01, 8.3333105e-03, 1.9842894e-04, 2.7822307e-06),
    DOUBLE: (0.16666666666666669, 0.008333333333333148, 0.00019841269841431878, 2.7557319157070243e-06,
             2.5052123136964352e-08, 1.6057259750991633e-10, 7.75874931490982e-13),
}
# (tanh x - x) / x^3 in x^2, relative to tanh x, for |x| <= 0.55
TANH_TAIL = {
    SINGLE: (-3.3333316e-01, 1.3332555e-01, -5.3849425e-02, 2.1060985e-02, -6.2603625e-03),
    DOUBLE: (-0.33333333333332316, 0.1333333333316871, -0.05396825387608002, 0.021869485974824455,
             -0.008863194504392923, 0.0035917196998063745, -0.0014532167670770928, 0.000579137042824959,
             -0.00021030243768129314, 5.102150069241373e-05),
}
# (e^r - 1 - r) / r^2, relative to e^r - 1 up to 2^-42, for |r| <= ln 2 / 2: enough for float32 in float64
EXPM1_SHORT = (0.49999999999955071, 0.16666666666662583, 0.041666666786337555, 0.008333333344209507, 0.0013888839090641379, 0.00019841224581544105,
               2.4867883453521804e-05, 2.7617576848354133e-06)
TANH_ONE = 9.5  # from here on, and a little before, tanh is one in float32
TANH_NEAR = 0.55  # where tanh passes one half
# Beyond these, e^x is zero and infinite: the argument is held inside, and rounding does the rest.
EXP_RANGE = {SINGLE: (-104.0, 89.0), DOUBLE: (-746.0, 710.0)}
EXP2_RANGE = {SINGLE: (-151.0, 128.0), DOUBLE: (-1076.0, 1024.0)}
# 2^n has no exponent for n = 128 or below -126; it is built as 2^(n -+ HALF) and multiplied by 2^+-HALF.
HALF = {SINGLE: 64, DOUBLE: 512}


def held(x: Real, bounds: tuple[float, float]) -> Real:
    return x.at_least(bounds[0]).at_most(bounds[1])


def power_of_two(rounded: Real) -> Real:
    """2^n from a sum of n, `magic`, the bias and perhaps a shift: its low bits are the exponent field."""
    return (rounded.pattern << rounded.format.fraction).real


def scale(sign_of: Real) -> tuple[Real, Real]:
    """What to add to n to round it, and what to multiply by at the end, for results over the whole range."""
    form = sign_of.format
    half, base = HALF[form], form.magic + form.bias
    negative = sign_of < 0
    return sign_of.choose(negative, base + half, base - half), sign_of.choose(negative, 2.0 ** -half, 2.0 ** half)


def reduced(x: Real, base: Real | Number) -> tuple[Real, Real]:
    """(r, 2^(n + shift)) with e^x = 2^n e^r; `base` is magic + bias + shift."""
    rounded = fma(x, LOG2_E, base)
    n = rounded - base
    leading, rest = two_parts(x.format, *LN_2)
    return fma(n, -rest, fma(n, -leading, x)), power_of_two(rounded)


def exp_of_remainder(r: Real) -> Real:
    return polynomial(r, (1.0, 1.0, *EXP_TAIL[r.format]))


def exp2_of_remainder(r: Real) -> Real:
    return polynomial(r, (1.0, *EXP2_TAIL[r.format]))


def expm1_of_remainder(r: Real) -> Real:
    return fma(r * r, polynomial(r, EXP_TAIL[r.format]), r)


def exp(x: Real) -> Real:
    x = held(x, EXP_RANGE[x.format])
    base, factor = scale(x)
    r, power = reduced(x, base)
    return exp_of_remainder(r) * power * factor


def exp2(x: Real) -> Real:
    x = held(x, EXP2_RANGE[x.format])
    base, factor = scale(x)
    rounded = x + base
    return exp2_of_remainder(x - (rounded - base)) * power_of_two(rounded) * factor


def expm1(x: Real) -> Real:
    """2 (2^(n-1) (e^r - 1) + 2^(n-1) - 1/2); numbers too small for that are their own result, sign of zero included."""
    form = x.format
    inner = held(x, (-math.log(2) * (form.fraction + 3), EXP_RANGE[form][1]))
    r, half = reduced(inner, form.magic + form.bias - 1)
    sum_ = fma(half, expm1_of_remainder(r), half - 0.5)
    return (abs(x) < 2.0 ** (-form.fraction - 2)).pick(x, sum_ + sum_)


def sigmoid(x: Real) -> Real:
    """1/(1+e) for x >= 0 and e/(1+e) for x < 0, with e = e^-|x|: no overflow, and subnormal results are right.

    e = s + s t with s a power of two and t < 1/2, so that s/(1+e) (1 + t) has one rounding less than e/(1+e).
    """
    form = x.format
    r, power = reduced((-abs(x)).at_least(EXP_RANGE[form][0]), form.magic + form.bias + HALF[form])
    t = expm1_of_remainder(r)
    down = 2.0 ** -HALF[form]
    s = power * down
    inverse = 1.0 / fma(s, t, s + 1.0)
    lifted = power * inverse
    return (x < 0).pick(fma(lifted, t, lifted) * down, inverse)


def tanh(x: Real) -> Real:
    """m / (m + 2) with m = e^2|x| - 1. float32 is computed in float64, and so rounded correctly but for one number in 2^14:
    that is what PyTorch gives, whose own misses one in 2^10."""
    if not x.single:
        return quick_tanh(x)
    a = abs(x).at_most(TANH_ONE).widened()
    base = DOUBLE.magic + DOUBLE.bias
    twice = a + a
    rounded = fma(twice, LOG2_E, base)
    r, power = fma(rounded - base, -LN_2[0], twice), power_of_two(rounded)
    m = fma(power, fma(r * r, polynomial(r, EXPM1_SHORT), r), power - 1.0)
    return (m / (m + 2.0)).narrowed().with_sign_of(x)


def quick_tanh(x: Real) -> Real:
    """Odd polynomial where tanh is below one half, 1 - 2/(e^2|x| + 1) above: half the time of `tanh`, within 2 ulp."""
    form = x.format
    a = abs(x)
    twice = (a + a).at_most(2.0 * form.fraction)
    r, power = reduced(twice, form.magic + form.bias)
    far = 1.0 - 2.0 / fma(power, exp_of_remainder(r), 1.0)
    square = a * a
    near = fma(a * square, polynomial(square, TANH_TAIL[form]), a)
    return (a < TANH_NEAR).pick(near, far).with_sign_of(x)


def half_exp(x: Real) -> Real:
    """e^|x| / 2, finite as long as sinh and cosh are."""
    form = x.format
    r, quarter = reduced(abs(x).at_most(EXP_RANGE[form][1] + 1), form.magic + form.bias - 2)
    e = exp_of_remainder(r) * quarter
    return e + e


def sinh(x: Real) -> Real:
    """Odd polynomial below 1, e^|x|/2 - 1/(4 e^|x|/2) above."""
    e = half_exp(x)
    square = x * x
    near = fma(x * square, polynomial(square, SINH_TAIL[x.format]), x)
    return (abs(x) < 1.0).pick(near, (e - 0.25 / e).with_sign_of(x))


def cosh(x: Real) -> Real:
    e = half_exp(x)
    return e + 0.25 / e


FUNCTIONS = {"exp": exp, "exp2": exp2, "expm1": expm1, "sigmoid": sigmoid, "tanh": tanh, "sinh": sinh, "cosh": cosh}
