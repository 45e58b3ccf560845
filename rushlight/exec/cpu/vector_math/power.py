"""pow(x, y) = 2^(y log2 |x|), with every special case of IEEE 754.

float32 takes the logarithm and the product in float64; float64 takes them in pairs of doubles.
"""

from __future__ import annotations

import math

from rushlight.exec.cpu.vector_math.exponential import EXP2_RANGE, exp2_of_remainder, held, power_of_two, scale
from rushlight.exec.cpu.vector_math.lanes import DOUBLE, SINGLE, Real, fma, polynomial
from rushlight.exec.cpu.vector_math.logarithm import normalized

# log2(1+f)/f in float64, good to 2^-35
LOG2_SHORT = (1.4426950408687027, -0.7213475208687249, 0.4808983613961031, -0.3606736748301658, 0.2885372934247091,
              -0.24045316550991938, 0.20617536098783212, -0.1803006042372001, 0.15876978088059934, -0.14315640721291087,
              0.14474852689385423, -0.142839654384603, 0.07737061102032244)
# atanh s = s (1 + z/3 + z^2 Q(z)), z = s^2
ATANH_TAIL = (0.20000000000001128, 0.1428571428504969, 0.11111111259978616, 0.09090892182093871, 0.07693378731773189,
              0.06628407361528608, 0.06598178165234353)
THIRD = (1 / 3, 1.850371707708594e-17)
TWO_LOG2_E = (2.8853900817779268, 4.0710547481862066e-17)


def _log2_special(a: Real, inside: Real) -> Real:
    """log2 of |x|, given what the formula says for finite positive numbers."""
    return a.equals(0.0).pick(-math.inf, a.equals(math.inf).pick(math.inf, inside))


def _magnitude_single(a: Real, y: Real) -> Real:
    e, f = normalized(a)
    wide = f.widened()
    logarithm = _log2_special(a.widened(), fma(wide, polynomial(wide, LOG2_SHORT), e.widened()))
    product = held(logarithm * y.widened(), EXP2_RANGE[SINGLE])
    n = product.nearest()
    n_single = n.narrowed()
    base, factor = scale(n_single)
    return exp2_of_remainder((product - n).narrowed()) * power_of_two(n_single + base) * factor


def _log2_pair(a: Real) -> tuple[Real, Real]:
    """log2 a as a sum of two doubles, good to 2^-63 of its value."""
    e, f = normalized(a)
    divisor = f + 2.0
    inverse = 1.0 / divisor
    s = f * inverse
    s_rest = fma(-s, f - (divisor - 2.0), fma(-s, divisor, f)) * inverse
    z = s * s
    z_rest = fma(s + s, s_rest, fma(s, s, -z))
    tail = z * z * polynomial(z, ATANH_TAIL)
    third = z * THIRD[0]
    third_rest = fma(z_rest, THIRD[0], fma(z, THIRD[1], fma(z, THIRD[0], -third)))
    w = third + tail
    w_rest = (third - w) + tail + third_rest
    p = s * w
    p_rest = fma(s, w_rest, fma(s_rest, w, fma(s, w, -p)))
    total = s + p
    total_rest = (s - total) + p + (p_rest + s_rest)
    g = total * TWO_LOG2_E[0]
    g_rest = fma(total_rest, TWO_LOG2_E[0], fma(total, TWO_LOG2_E[1], fma(total, TWO_LOG2_E[0], -g)))
    h = e + g
    return _log2_special(a, h), (e - h) + g + g_rest


def _magnitude_double(a: Real, y: Real) -> Real:
    logarithm, rest = _log2_pair(a)
    product = logarithm * y
    lost = fma(y, rest, fma(logarithm, y, -product))
    lost = (abs(product) < 2048.0).pick(lost, 0.0)
    low, high = EXP2_RANGE[DOUBLE]
    product = held(product, (low, high + 1))  # what was lost may be negative
    base, factor = scale(product)
    rounded = product + base
    return exp2_of_remainder(product - (rounded - base) + lost) * power_of_two(rounded) * factor


def pow(x: Real, y: Real) -> Real:
    a = abs(x)
    magnitude = (_magnitude_single if x.single else _magnitude_double)(a, y)
    half = y * 0.5
    integer, even = y.nearest().equals(y), half.nearest().equals(half)
    magnitude = a.equals(1.0).pick(1.0, magnitude)
    signed = (integer & ~even).pick(magnitude.with_sign_of(x), magnitude)
    undefined = ((x < 0.0) & (x > -math.inf) & ~integer) | x.is_nan() | y.is_nan()
    return (x.equals(1.0) | y.equals(0.0)).pick(1.0, undefined.pick(math.nan, signed))


FUNCTIONS = {"pow": pow}
