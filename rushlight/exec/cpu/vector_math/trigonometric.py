"""sin, cos, tan.

The argument is reduced to |r| <= pi/4 and a quadrant. float32 is reduced in float64 and right for every argument:
x = 2^(24k) y with y an integer below 2^47 (k = 0 takes everything below), and y (2^(24k) 2/pi mod 4) has the same
remainder. float64 is reduced with pi/2 in three parts (159 bits): right up to LARGEST_EXACT; beyond, the result
depends on bits that the product x 2/pi no longer holds, and is only bounded by 1.
"""

from __future__ import annotations

from rushlight.exec.cpu.vector_math.lanes import DOUBLE, SINGLE, Format, Real, Whole, fma, polynomial

LARGEST_EXACT = 2.0 ** 50
PI_2 = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
TWO_OVER_PI = 0.6366197723675814
# 2^(24k) 2/pi mod 4, in two doubles each, for k = 0 … 4
BANDS = (
    (0.6366197723675814, -3.935735335036497e-17),
    (-0.5691182564096516, -9.117048055938418e-18),
    (0.08267188988231296, 2.8658837463471963e-18),
    (0.1536837791107848, 1.1892889840965575e-17),
    (1.9578379245607584, 7.769584704001829e-17),
)
BAND_BITS = 24
# (sin r - r) / r^3 and (cos r - 1 + r^2/2) / r^4 in r^2
SIN_TAIL = {
    SINGLE: (-1.6666655e-01, 8.332189e-03, -1.9518286e-04),
    DOUBLE: (-0.1666666666666663, 0.008333333333322106, -0.00019841269829579832, 2.7557313617914327e-06,
             -2.505074720317812e-08, 1.5896196808709073e-10),
}
COS_TAIL = {
    SINGLE: (4.1666646e-02, -1.3887311e-03, 2.4432564e-05),
    DOUBLE: (0.041666666666666595, -0.001388888888887304, 2.4801587288841214e-05, -2.7557314176191374e-07,
             2.0875700409886573e-09, -1.1358513647183973e-11),
}


def reduced_single(x: Real) -> tuple[Real, Whole]:
    """(r, quadrant) of |x| for a float32 x: r still in float64, the quadrant in the low bits of 32."""
    a = abs(x)
    wide = a
    leading, rest = (x.widened().lift(c) for c in BANDS[0])
    for k, (next_leading, next_rest) in enumerate(BANDS[1:], 1):
        far = a >= 2.0 ** (BAND_BITS * k + 23)
        wide = far.pick(a * 2.0 ** (-BAND_BITS * k), wide)
        leading, rest = far.pick(next_leading, leading), far.pick(next_rest, rest)
    y = wide.widened()
    rounded = fma(y, leading, DOUBLE.magic)
    quarter = fma(y, rest, fma(y, leading, -(rounded - DOUBLE.magic)))
    return quarter * PI_2[0], rounded.pattern.narrowed()


def reduced_double(x: Real) -> tuple[Real, Whole]:
    """(r, quadrant) of |x|; the second part's product and difference are kept exactly."""
    a = abs(x)
    rounded = fma(a, TWO_OVER_PI, DOUBLE.magic)
    n = rounded - DOUBLE.magic
    r = fma(n, -PI_2[0], a)
    product = n * PI_2[1]
    rest = fma(n, PI_2[2], fma(n, PI_2[1], -product))
    total = r - product
    of_product = r - total
    lost = (r - (total + of_product)) + (of_product - product)
    return (total + (lost - rest)).at_least(-1.0).at_most(1.0), rounded.pattern


def sin_and_cos(r: Real, form: Format) -> tuple[Real, Real]:
    """Both for |r| <= pi/4, with the polynomials of the given format."""
    square = r * r
    sine = fma(r * square, polynomial(square, SIN_TAIL[form]), r)
    cosine = polynomial(square, (1.0, -0.5, *COS_TAIL[form]))
    return sine, cosine


def reduced(x: Real) -> tuple[Real, Whole]:
    """(r, quadrant) in the format of x."""
    if not x.single:
        return reduced_double(x)
    r, quadrant = reduced_single(x)
    return r.narrowed(), quadrant


def _signed(magnitude: Real, sign: Whole) -> Real:
    top = 1 << (magnitude.format.bits - 1)
    return (magnitude.pattern ^ (sign & top)).real


def sin(x: Real) -> Real:
    r, quadrant = reduced(x)
    sine, cosine = sin_and_cos(r, x.format)
    sign = (quadrant << (x.format.bits - 2)) ^ x.pattern
    return _signed((quadrant & 1).differs(0).pick(cosine, sine), sign)


def cos(x: Real) -> Real:
    r, quadrant = reduced(x)
    sine, cosine = sin_and_cos(r, x.format)
    sign = (quadrant + 1) << (x.format.bits - 2)
    return _signed((quadrant & 1).differs(0).pick(sine, cosine), sign)


def tan(x: Real) -> Real:
    """sin/cos or -cos/sin; float32 in float64 up to the quotient."""
    r, quadrant = reduced_single(x) if x.single else reduced_double(x)
    sine, cosine = sin_and_cos(r, x.format)
    if x.single:
        sine, cosine = sine.narrowed(), cosine.narrowed()
    odd = (quadrant & 1).differs(0)
    quotient = odd.pick(cosine, sine) / odd.pick(sine, cosine)
    return _signed(quotient, (quadrant << (x.format.bits - 1)) ^ x.pattern)


FUNCTIONS = {"sin": sin, "cos": cos, "tan": tan}
