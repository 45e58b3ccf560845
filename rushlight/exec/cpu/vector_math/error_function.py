"""erf and erfc."""

from __future__ import annotations

from rushlight.exec.cpu.vector_math.exponential import (
    EXP_TAIL, HALF, exp2_of_remainder, exp_of_remainder, power_of_two, reduced)
from rushlight.exec.cpu.vector_math.lanes import DOUBLE, SINGLE, Format, Real, fma, polynomial

# erf(x)/x - 1 in x^2, for |x| <= 0.9 and (float64) |x| <= 1
NEAR = {
    SINGLE: (1.2837915e-01, -3.7612516e-01, 1.1282085e-01, -2.6777273e-02, 5.0098943e-03, -6.0809095e-04),
    DOUBLE: (0.1283791670955126, -0.3761263890318352, 0.11283791670944185, -0.026866170643111482, 0.005223977606118614,
             -0.000854832592932217, 0.00012055293577152763, -1.4924712307185862e-05, 1.6447131638251906e-06,
             -1.6206314289116082e-07, 1.3710982748688058e-08, -7.779472948444435e-10),
}
ERFC_NEAR_END = 0.9  # below, float64's erfc is 1 - erf
NEAR_END = {SINGLE: 0.9, DOUBLE: 1.0}
# log2(erfc x) for 0.9 <= x <= 3.93, where float32's erf becomes 1
LOG2_ERFC = (-2.401562e-04, -1.6270674e+00, -9.189622e-01, -1.502045e-01, 3.2194253e-02, -4.4226563e-03, 2.8598474e-04)
LOG2_ERFC_END = 3.93
# (x + k) e^(x^2) erfc(x) in (x - k)/(x + k)
ERFCX = {
    SINGLE: (1.074006907767117, -0.8833944864502555, 0.5902282985122814, -0.31046600842130506, 0.1195290683165296,
             -0.026839826653934338, -0.0012264305184314182, 0.0030803285310527766, -0.0004831770190565913,
             -0.00032533362247229736),
    DOUBLE: (1.095995661000491, -0.976548729080882, 0.7732087022652372, -0.5408538313132364, 0.3308515878780056,
             -0.1740109372398757, 0.07638151490956366, -0.02637005334150467, 0.00611205565120043,
             -0.0002809588527944401, -0.0004550526408548115, 0.00017681273733272844, -3.6354228766955563e-06,
             -1.8860561906751488e-05, 4.695362485691827e-06, 1.423362705496033e-06, -8.485584755655283e-07,
             -7.419395182898624e-08, 1.2795505778657648e-07, -3.7301650173425187e-10, -1.9178247623947515e-08,
             6.42646603937325e-10, 2.8906828204152893e-09, 2.8632557507028588e-11, -3.499105272301087e-10,
             -4.0867998065363965e-11, 1.0922098984478004e-11),
}
ERFCX_CENTRE = {SINGLE: 3.0, DOUBLE: 4.0}
ERFC_END = {SINGLE: 10.2, DOUBLE: 27.3}


def _scaled_erfc(a: Real, form: Format) -> Real:
    """e^(a^2) erfc(a) for a >= 0."""
    centre = ERFCX_CENTRE[form]
    if form is DOUBLE:  # a product with the reciprocal would cost two more units of the last place
        total = a + centre
        lost = (a - (total - centre)) / total
        t = (a - centre) / total
        scaled = polynomial(fma(-t, lost, t), ERFCX[form]) / total
        return fma(-scaled, lost, scaled)
    inverse = 1.0 / (a + centre)
    return polynomial((a - centre) * inverse, ERFCX[form]) * inverse


def _erfc_of_magnitude(x: Real) -> Real:
    """erfc |x| in float64: the rounding error of the square goes into the remainder of the exponential."""
    a = abs(x).at_most(ERFC_END[DOUBLE])
    square = a * a
    lost = fma(a, a, -square)
    r, power = reduced(-square, DOUBLE.magic + DOUBLE.bias + HALF[DOUBLE])
    return exp_of_remainder(r - lost) * _scaled_erfc(a, DOUBLE) * power * 2.0 ** -HALF[DOUBLE]


def _erfc_single(x: Real) -> Real:
    """erfc of float32, in float64 (where the square is exact) with float32's polynomials."""
    wide = x.widened()
    a = abs(wide).at_most(ERFC_END[SINGLE])
    r, power = reduced(-(a * a), DOUBLE.magic + DOUBLE.bias)
    y = polynomial(r, (1.0, 1.0, *EXP_TAIL[SINGLE])) * _scaled_erfc(a, SINGLE) * power
    return (wide < 0).pick(2.0 - y, y).narrowed()


def erf(x: Real) -> Real:
    """x (1 + P(x^2)) near zero; beyond, 1 - erfc, which float32 takes from a polynomial in the exponent."""
    form = x.format
    a = abs(x)
    square = a * a
    near = fma(a, polynomial(square, NEAR[form]), a)
    if form is SINGLE:
        exponent = polynomial(a.at_most(LOG2_ERFC_END), LOG2_ERFC)
        base = form.magic + form.bias
        rounded = exponent + base
        far = fma(power_of_two(rounded), -exp2_of_remainder(exponent - (rounded - base)), 1.0)
    else:
        far = 1.0 - _erfc_of_magnitude(x)
    return (a < NEAR_END[form]).pick(near, far).with_sign_of(x)


def erfc(x: Real) -> Real:
    if x.single:
        return _erfc_single(x)
    y = _erfc_of_magnitude(x)
    square = x * x
    near = 1.0 - fma(x, polynomial(square, NEAR[DOUBLE]), x)
    return (abs(x) < ERFC_NEAR_END).pick(near, (x < 0).pick(2.0 - y, y))


FUNCTIONS = {"erf": erf, "erfc": erfc}
