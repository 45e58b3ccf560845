"""Special functions (torch.special): a row each, or another name of a function that torch has too."""

from __future__ import annotations

from typing import Any

from rushlight.tensor.core import Tensor
from rushlight.tensor.functions.combined import mvlgamma as multigammaln
from rushlight.tensor.functions.common import give
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.functions.composites import logit, polygamma, sinc
from rushlight.tensor.functions.pointwise import (binary, digamma, erf, erfc, erfinv, exp2,
                                                  expm1, i0, log1p, round, unary, xlogy)
from rushlight.tensor.functions.pointwise import igamma as gammainc
from rushlight.tensor.functions.pointwise import igammac as gammaincc
from rushlight.tensor.functions.pointwise import lgamma as gammaln
from rushlight.tensor.functions.pointwise import sigmoid as expit
from rushlight.tensor.functions.reduction import log_softmax as _log_softmax
from rushlight.tensor.functions.reduction import logsumexp
from rushlight.tensor.functions.reduction import softmax as _softmax

psi = digamma
FORM = """{text}

    Integers are computed in the default float type; half precision is widened.{errors}

    >>> import rushlight as rl
    >>> {example}
    """
SCIPY = "\n    ImportError without SciPy, which brings it: pip install 'rushlight[scipy]'."


def _one(name: str, text: str, example: str, scipy: bool = False, row: str | None = None) -> Any:
    f = unary(row or name, floating=True,
              doc=FORM.format(text=text, errors=SCIPY if scipy else "", example=f"rl.special.{name}({example}"))
    f.__name__ = f.__qualname__ = name
    return f


i0e = _one("i0e", "exp(-|x|) I0(x).", "rl.zeros(1))\n    tensor([1.])")
i1 = _one("i1", "The modified Bessel function of the first kind of order 1.", "rl.zeros(1))\n    tensor([0.])")
i1e = _one("i1e", "exp(-|x|) I1(x).", "rl.zeros(1))\n    tensor([0.])")
ndtr = _one("ndtr", "The normal distribution function Φ(x) = (1 + erf(x / √2)) / 2.",
            "rl.zeros(1))\n    tensor([0.5000])")
ndtri = _one("ndtri", "The inverse of `ndtr`.", "rl.tensor([0.5]))\n    tensor([0.])")
log_ndtr = _one("log_ndtr", "log Φ(x), exact far below 0.", "rl.zeros(1))\n    tensor([-0.6931])")
erfcx = _one("erfcx", "exp(x²) erfc(x), which does not underflow.", "rl.zeros(1))\n    tensor([1.])")
entr = _one("entr", "-x log(x), 0 at 0 and -inf below.", "rl.ones(1))\n    tensor([-0.])")
airy_ai = _one("airy_ai", "The Airy function Ai(x). It has no gradient.", "rl.zeros(1))\n    tensor([0.3550])", True)
bessel_j0 = _one("bessel_j0", "The Bessel function of the first kind J0(x).", "rl.zeros(1))\n    tensor([1.])", True)
bessel_j1 = _one("bessel_j1", "The Bessel function of the first kind J1(x).", "rl.zeros(1))\n    tensor([0.])", True)
bessel_y0 = _one("bessel_y0", "The Bessel function of the second kind Y0(x).", "rl.zeros(1))\n    tensor([-inf])", True)
bessel_y1 = _one("bessel_y1", "The Bessel function of the second kind Y1(x).", "rl.zeros(1))\n    tensor([-inf])", True)
modified_bessel_i0 = _one("modified_bessel_i0", "The modified Bessel function of the first kind I0(x).",
                          "rl.zeros(1))\n    tensor([1.])", row="i0")
modified_bessel_i1 = _one("modified_bessel_i1", "The modified Bessel function of the first kind I1(x).",
                          "rl.zeros(1))\n    tensor([0.])", row="i1")
modified_bessel_k0 = _one("modified_bessel_k0", "The modified Bessel function of the second kind K0(x).",
                          "rl.zeros(1))\n    tensor([inf])", True)
modified_bessel_k1 = _one("modified_bessel_k1", "The modified Bessel function of the second kind K1(x).",
                          "rl.zeros(1))\n    tensor([inf])", True)
scaled_modified_bessel_k0 = _one("scaled_modified_bessel_k0", "exp(x) K0(x).", "rl.zeros(1))\n    tensor([inf])", True)
scaled_modified_bessel_k1 = _one("scaled_modified_bessel_k1", "exp(x) K1(x).", "rl.zeros(1))\n    tensor([inf])", True)
spherical_bessel_j0 = _one("spherical_bessel_j0", "The spherical Bessel function sin(x) / x.",
                           "rl.zeros(1))\n    tensor([1.])")


def _two(name: str, text: str, example: str) -> Any:
    return binary(name, floating=True, doc=FORM.format(text=text, errors=" TypeError where both operands are numbers.",
                                                       example=f"rl.special.{name}({example}"))


xlog1py = _two("xlog1py", "x log(1 + y), 0 where x is 0.", "rl.zeros(1), -1)\n    tensor([0.])")
zeta = _two("zeta", "Hurwitz' zeta function Σ_k (k + q)^-x; its gradient is that of q.",
            "rl.tensor([2.]), 1)\n    tensor([1.6449])")
POLYNOMIAL = "{} of order n, an operand that is cut to an integer (negative: 0). It has no gradient."


def _order(name: str, title: str, value: str) -> Any:
    compute = _two(name, POLYNOMIAL.format(title), f"rl.tensor([2.]), 2)\n    tensor([{value}])")

    def polynomial(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
        return compute(input, n, out=out)  # type: ignore[no-any-return]
    polynomial.__name__ = polynomial.__qualname__ = name
    polynomial.__doc__ = compute.__doc__
    return polynomial


chebyshev_polynomial_t = _order("chebyshev_polynomial_t",
                                "The Chebyshev polynomial of the first kind T_n(cos θ) = cos nθ", "7.")
chebyshev_polynomial_u = _order("chebyshev_polynomial_u",
                                "The Chebyshev polynomial of the second kind U_n(cos θ) = sin (n+1)θ / sin θ", "15.")
chebyshev_polynomial_v = _order("chebyshev_polynomial_v",
                                "The Chebyshev polynomial of the third kind V_n(cos θ) = cos (n+½)θ / cos θ/2", "11.")
chebyshev_polynomial_w = _order("chebyshev_polynomial_w",
                                "The Chebyshev polynomial of the fourth kind W_n(cos θ) = sin (n+½)θ / sin θ/2", "19.")
shifted_chebyshev_polynomial_t = _order("shifted_chebyshev_polynomial_t", "T_n(2x - 1)", "17.")
shifted_chebyshev_polynomial_u = _order("shifted_chebyshev_polynomial_u", "U_n(2x - 1)", "35.")
shifted_chebyshev_polynomial_v = _order("shifted_chebyshev_polynomial_v", "V_n(2x - 1)", "29.")
shifted_chebyshev_polynomial_w = _order("shifted_chebyshev_polynomial_w", "W_n(2x - 1)", "41.")
hermite_polynomial_h = _order("hermite_polynomial_h",
                              "The physicists' Hermite polynomial H_n, orthogonal under exp(-x²),", "14.")
hermite_polynomial_he = _order("hermite_polynomial_he",
                               "The probabilists' Hermite polynomial He_n, orthogonal under exp(-x²/2),", "3.")
laguerre_polynomial_l = _order("laguerre_polynomial_l",
                               "The Laguerre polynomial L_n, orthogonal under exp(-x) for x > 0,", "-1.")
legendre_polynomial_p = _order("legendre_polynomial_p", "The Legendre polynomial P_n, orthogonal on [-1, 1],", "5.5000")


def softmax(input: Tensor, dim: int, *, dtype: Any = None, out: Any = None) -> Tensor:
    """exp(x) / Σ exp(x) along dim, in `dtype` where it is given. IndexError for a wrong dim.

    >>> import rushlight as rl
    >>> rl.special.softmax(rl.zeros(2), 0)
    tensor([0.5000, 0.5000])
    """
    return give(out, _softmax(input, dim, dtype))


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None, out: Any = None) -> Tensor:
    """log(softmax(x)) along dim, in `dtype` where it is given. IndexError for a wrong dim.

    >>> import rushlight as rl
    >>> rl.special.log_softmax(rl.zeros(2), 0)
    tensor([-0.6931, -0.6931])
    """
    return give(out, _log_softmax(input, dim, dtype))


__all__ = ["digamma", "erf", "erfc", "erfinv", "exp2", "expm1", "i0", "log1p", "logit", "logsumexp", "polygamma",
           "round", "sinc", "xlogy", "psi", "expit", "gammainc", "gammaincc", "gammaln", "multigammaln",
           "softmax", "log_softmax", "i0e", "i1", "i1e", "ndtr", "ndtri", "log_ndtr", "erfcx", "entr",
           "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "modified_bessel_i0", "modified_bessel_i1",
           "modified_bessel_k0", "modified_bessel_k1", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1",
           "spherical_bessel_j0", "xlog1py", "zeta", "chebyshev_polynomial_t", "chebyshev_polynomial_u",
           "chebyshev_polynomial_v", "chebyshev_polynomial_w", "shifted_chebyshev_polynomial_t",
           "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v", "shifted_chebyshev_polynomial_w",
           "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p"]
take_numpy_names(globals(), ("softmax", "log_softmax"))
