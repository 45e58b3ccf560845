"""Special functions, elementwise over float arrays: float64 to about 1e-14, float32 and half to the last bit or two."""

from __future__ import annotations

import numpy as np

from rushlight.exec.numpy.special_bessel import (airy_ai, bessel_j0, bessel_j1, bessel_y0, bessel_y1, i0, i0e, i1, i1e,
                                                 modified_bessel_k0, modified_bessel_k1, scaled_modified_bessel_k0,
                                                 scaled_modified_bessel_k1, spherical_bessel_j0)
from rushlight.exec.numpy.special_common import Array, elementwise, elementwise_single, sin_pi
from rushlight.exec.numpy.special_erf import erf, erfc, erfcx, erfinv, log_ndtr, ndtr, ndtri
from rushlight.exec.numpy.special_gamma import digamma, igamma, igammac, lgamma, polygamma, zeta

__all__ = ["airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "digamma", "entr", "erf", "erfc", "erfcx",
           "erfinv", "i0", "i0e", "i1", "i1e", "igamma", "igammac", "lgamma", "log_ndtr", "modified_bessel_k0",
           "modified_bessel_k1", "ndtr", "ndtri", "polygamma", "scaled_modified_bessel_k0",
           "scaled_modified_bessel_k1", "sinc", "spherical_bessel_j0", "xlog1py", "xlogy", "zeta"]


@elementwise
def sinc(x: Array) -> Array:
    """sin(pi x) / (pi x), 1 at 0."""
    return np.where(x == 0, 1.0, sin_pi(x) / (np.pi * x))


@elementwise_single
def xlogy(x: Array, y: Array) -> Array:
    """x log(y); 0 where x is 0 and y is not NaN."""
    return np.where((x == 0) & ~np.isnan(y), x.dtype.type(0), x * np.log(y))


@elementwise_single
def xlog1py(x: Array, y: Array) -> Array:
    """x log(1 + y); 0 where x is 0 and y is not NaN."""
    return np.where((x == 0) & ~np.isnan(y), x.dtype.type(0), x * np.log1p(y))


@elementwise_single
def entr(x: Array) -> Array:
    """-x log(x); 0 at 0, -inf below."""
    return np.where(x == 0, x.dtype.type(0), np.where(x < 0, x.dtype.type(-np.inf), -x * np.log(x)))
