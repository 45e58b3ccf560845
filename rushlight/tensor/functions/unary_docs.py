"""The docstrings of elementwise functions of one tensor."""

from __future__ import annotations

# function -> what it is of each element, and what it gives for [0.25, 0.5]
SHOWN = {
    "exp": ("e to the power of", "[1.2840, 1.6487]"),
    "exp2": ("2 to the power of", "[1.1892, 1.4142]"),
    "expm1": ("exp(x) - 1, exact near 0, of", "[0.2840, 0.6487]"),
    "log": ("The natural logarithm of", "[-1.3863, -0.6931]"),
    "log2": ("The logarithm to base 2 of", "[-2., -1.]"),
    "log10": ("The logarithm to base 10 of", "[-0.6021, -0.3010]"),
    "log1p": ("log(1 + x), exact near 0, of", "[0.2231, 0.4055]"),
    "sin": ("The sine of", "[0.2474, 0.4794]"),
    "cos": ("The cosine of", "[0.9689, 0.8776]"),
    "tan": ("The tangent of", "[0.2553, 0.5463]"),
    "sinh": ("The hyperbolic sine of", "[0.2526, 0.5211]"),
    "cosh": ("The hyperbolic cosine of", "[1.0314, 1.1276]"),
    "tanh": ("The hyperbolic tangent of", "[0.2449, 0.4621]"),
    "asin": ("The arc sine of", "[0.2527, 0.5236]"),
    "acos": ("The arc cosine of", "[1.3181, 1.0472]"),
    "atan": ("The arc tangent of", "[0.2450, 0.4636]"),
    "asinh": ("The inverse hyperbolic sine of", "[0.2475, 0.4812]"),
    "atanh": ("The inverse hyperbolic tangent of", "[0.2554, 0.5493]"),
    "sqrt": ("The square root of", "[0.5000, 0.7071]"),
    "reciprocal": ("1 / x of", "[4., 2.]"),
    "sigmoid": ("1 / (1 + exp(-x)) of", "[0.5622, 0.6225]"),
    "erf": ("The error function of", "[0.2763, 0.5205]"),
    "erfc": ("1 - erf(x) of", "[0.7237, 0.4795]"),
    "lgamma": ("The logarithm of the gamma function's absolute value of", "[1.2880, 0.5724]"),
    "digamma": ("The derivative of lgamma of", "[-4.2275, -1.9635]"),
    "i0": ("The modified Bessel function of order 0 of", "[1.0157, 1.0635]"),
    "floor": ("The largest integer not above", "[0., 0.]"),
    "ceil": ("The smallest integer not below", "[1., 1.]"),
    "trunc": ("The integer part of", "[0., 0.]"),
    "sign": ("-1, 0 or 1 by the sign of", "[1., 1.]"),
    "isnan": ("Whether it is NaN, of", "[False, False]"),
}
EXAMPLE = """{0} each element of ``input``, in its shape.

>>> import rushlight as rl
>>> rl.{1}(rl.tensor([0.25, 0.5]))
tensor({2})
"""


def unary_doc(name: str) -> str:
    """What the function of that name says of itself."""
    if name not in SHOWN:
        return f"{name} of each element of ``input``, in its shape."
    what, result = SHOWN[name]
    return EXAMPLE.format(what, name, result)
