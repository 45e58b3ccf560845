"""Elementwise rows of torch.special beyond those that other families need. Their kernels are NumPy's or SciPy's."""

from __future__ import annotations

from math import pi, sqrt

from rushlight.ops.pointwise import binary, unary

ERFCX = unary("erfcx", None, lambda g, x, out: g * (2 * x * out - 2 / sqrt(pi)))
NDTR = unary("ndtr", None, lambda g, x: g * ((x * x * -0.5).exp() * (1 / sqrt(2 * pi))))
ENTR = unary("entr", None, lambda g, x: g * (-1 - x.log()), sample="positive")
SPHERICAL_J0 = unary("spherical_bessel_j0", None,
                     lambda F, g, x, out: g * F.where(x == 0, 0, (x.cos() - out) / F.where(x == 0, 1, x)))
AIRY = unary("airy_ai")
J0 = unary("bessel_j0", None, lambda F, g, x: -g * F.special.bessel_j1(x))
J1 = unary("bessel_j1", None,
           lambda F, g, x, out: g * F.where(x == 0, 0.5, F.special.bessel_j0(x) - out / F.where(x == 0, 1, x)))
Y0 = unary("bessel_y0", None, lambda F, g, x: -g * F.special.bessel_y1(x), sample="positive")
Y1 = unary("bessel_y1", None, lambda F, g, x, out: g * (F.special.bessel_y0(x) - out / x), sample="positive")
K0 = unary("modified_bessel_k0", None, lambda F, g, x: -g * F.special.modified_bessel_k1(x), sample="positive")
K1 = unary("modified_bessel_k1", None,
           lambda F, g, x, out: -g * (F.special.modified_bessel_k0(x) + out / x), sample="positive")
K0E = unary("scaled_modified_bessel_k0", None,
            lambda F, g, x, out: g * (out - F.special.scaled_modified_bessel_k1(x)), sample="positive")
K1E = unary("scaled_modified_bessel_k1", None,
            lambda F, g, x, out: g * (out - F.special.scaled_modified_bessel_k0(x) - out / x), sample="positive")

# p_n(x) of an order n, which has no derivative
POLYNOMIALS = """chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w
    shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v
    shifted_chebyshev_polynomial_w hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l
    legendre_polynomial_p""".split()
for _name in POLYNOMIALS:
    binary(_name)
