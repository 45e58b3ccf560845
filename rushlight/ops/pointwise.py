"""Elementwise primitives. Operands arrive with one dtype (the recorder casts first) and broadcast to one shape."""

from __future__ import annotations

from math import log, pi, sqrt
from typing import Any

from rushlight.ir.dtype import HALF, bfloat16, bool_
from rushlight.ir.spec import broadcast
from rushlight.ops.table import Op, Rule, Types, row

LN2, LN10 = log(2), log(10)


def logaddexp(np: Any, x: Any, y: Any) -> Any:
    """log(exp(x) + exp(y)); of complex numbers with the larger real part taken out, since NumPy's is real."""
    dtype = getattr(x, "dtype", getattr(y, "dtype", None))
    if dtype is None or dtype.kind != "c":
        return np.logaddexp(x, y)
    x, y = np.broadcast_arrays(x, y)
    swap = x.real < y.real
    high, low = np.where(swap, y, x), np.where(swap, x, y)
    return high + np.log1p(np.exp(np.where(np.isneginf(low.real), -np.inf, low - high)))


def joint(*operands: Any) -> tuple[Any, tuple[int, ...]]:
    """dtype and broadcast shape of the operands; numbers have neither."""
    dtype: Any = None
    shape: tuple[int, ...] = ()
    for o in operands:
        if o.dtype is None:
            continue
        dtype = o.dtype
        common = broadcast(shape, o.shape)
        if common is None:
            raise shape_error(shape, o.shape)
        shape = common
    return dtype, shape


def shape_error(a: tuple[int, ...], b: tuple[int, ...]) -> RuntimeError:
    """PyTorch's message for operands that do not broadcast."""
    for back in range(1, min(len(a), len(b)) + 1):
        m, n = a[-back], b[-back]
        if m != n and 1 not in (m, n):
            return RuntimeError(
                f"The size of tensor a ({m}) must match the size of tensor b ({n}) at non-singleton dimension "
                f"{max(len(a), len(b)) - back}. The shapes are {list(a)} and {list(b)}.")
    return RuntimeError(f"shapes {list(a)} and {list(b)} do not broadcast")


def same(*operands: Any) -> Types:
    return (joint(*operands),)


def boolean(*operands: Any) -> Types:
    return ((bool_, joint(*operands)[1]),)


def real(*operands: Any) -> Types:
    dtype, shape = joint(*operands)
    return ((dtype.to_real(), shape),)


def unary(name: str, numpy: Rule | None = None, vjp: Rule | None = None, *, shape: Rule = same, sample: str = "real",
          grad_name: str | None = None, once: frozenset[Any] = frozenset(), holds: str = "") -> Op:
    return row(name, "map", "x", shape, numpy=numpy, vjp={"x": vjp} if vjp else None, sample=sample,
               grad_name=grad_name, once=once, holds=holds)


def binary(name: str, numpy: Rule | None = None, x: Rule | None = None, y: Rule | None = None, *, shape: Rule = same,
           sample: str = "real", grad_name: str | None = None, strides: str = "numbers") -> Op:
    vjp = {k: f for k, f in (("x", x), ("y", y)) if f}
    return row(name, "map", "x y", shape, numpy=numpy, vjp=vjp, sample=sample, grad_name=grad_name, strides=strides)


def zero(F: Any, g: Any) -> Any:
    return F.zeros_like(g)


def first_of_equals(np: Any, choose: Any, x: Any, y: Any) -> Any:
    """The larger or smaller of two; of zeros that differ in sign the first, as in PyTorch's loops over single numbers
    (those over vectors take the second of `maximum` and `minimum`)."""
    out = choose(x, y)
    return out if out.dtype.kind in "iub" else np.where(x == y, x, out)


def direction(np: Any, x: Any) -> Any:
    """x / |x|, 0 where x is 0; NaN for infinite complex numbers."""
    if x.dtype.kind != "c":
        return np.sign(x) if x.dtype.kind != "b" else x.copy()
    return np.where(np.isinf(np.abs(x)), x.dtype.type(complex("nan+nanj")), np.sign(x))


# --- one operand --------------------------------------------------------------------------------------------------
NEG = unary("neg", lambda np, x: np.negative(x), lambda g: -g)
ABS = unary("abs", lambda np, x: np.abs(x), lambda g, x: g * x.sgn(), shape=real)
SIGN = unary("sign", lambda np, x: np.sign(x) if x.dtype.kind != "b" else x.copy(), zero)
SGN = unary("sgn", lambda np, x: direction(np, x),
            lambda F, g, x, out: F.sgn_grad(g, x, out))
FLOOR = unary("floor", lambda np, x: np.floor(x), zero)
CEIL = unary("ceil", lambda np, x: np.ceil(x), zero)
TRUNC = unary("trunc", lambda np, x: np.trunc(x), zero)
ROUND = unary("round", lambda np, x: np.rint(x), zero)
SQRT = unary("sqrt", lambda np, x: np.sqrt(x), lambda g, out: g / (2 * out.conj()), sample="positive")
RSQRT = unary("rsqrt", lambda np, x: 1 / np.sqrt(x), lambda g, out: -0.5 * g * out.conj() ** 3, sample="positive")
RECIPROCAL = unary("reciprocal", lambda np, x: np.divide(1, x, dtype=x.dtype),
                   lambda g, out: -g * (out * out).conj(), sample="positive")
EXP = unary("exp", lambda np, x: np.exp(x), lambda g, out: g * out.conj())
EXP2 = unary("exp2", lambda np, x: np.exp2(x), lambda g, out: g * out.conj() * LN2)
EXPM1 = unary("expm1", lambda np, x: np.expm1(x), lambda g, out: g * (out.conj() + 1))
LOG = unary("log", lambda np, x: np.log(x), lambda g, x: g / x.conj(), sample="positive")
LOG2 = unary("log2", lambda np, x: np.log2(x), lambda g, x: g / (x.conj() * LN2), sample="positive")
LOG10 = unary("log10", lambda np, x: np.log10(x), lambda g, x: g / (x.conj() * LN10), sample="positive")
LOG1P = unary("log1p", lambda np, x: np.log1p(x), lambda g, x: g / (x.conj() + 1), sample="positive")
SIN = unary("sin", lambda np, x: np.sin(x), lambda g, x: g * x.cos().conj())
COS = unary("cos", lambda np, x: np.cos(x), lambda g, x: -g * x.sin().conj())
TAN = unary("tan", lambda np, x: np.tan(x), lambda g, out: g * (1 + out * out).conj())
ASIN = unary("asin", lambda np, x: np.arcsin(x), lambda g, x: g * (1 - x * x).rsqrt().conj(), sample="unit")
ACOS = unary("acos", lambda np, x: np.arccos(x), lambda g, x: -g * (1 - x * x).rsqrt().conj(), sample="unit")
ATAN = unary("atan", lambda np, x: np.arctan(x), lambda g, x: g / (1 + x * x).conj())
SINH = unary("sinh", lambda np, x: np.sinh(x), lambda g, x: g * x.cosh().conj())
COSH = unary("cosh", lambda np, x: np.cosh(x), lambda g, x: g * x.sinh().conj())
TANH = unary("tanh",
             lambda np, x: np.tanh(x, dtype=np.float64).astype(x.dtype) if x.dtype == np.float32 else np.tanh(x),
             lambda F, g, out: g * F.fma(-out, out, 1).conj(), once=HALF)
ASINH = unary("asinh", lambda np, x: np.arcsinh(x), lambda g, x: g * (x * x + 1).rsqrt().conj())
ACOSH = unary("acosh", lambda np, x: np.arccosh(x),
              lambda g, x: g * ((x - 1).rsqrt() * (x + 1).rsqrt()).conj(), sample="above one")
ATANH = unary("atanh", lambda np, x: np.arctanh(x), lambda g, x: g / (1 - x * x).conj(), sample="unit")
SIGMOID = unary("sigmoid", None, lambda g, out: g * (1 - out).conj() * out.conj(), once=frozenset((bfloat16,)))
RELU = unary("relu", lambda np, x: first_of_equals(np, np.maximum, x, 0), lambda F, g, out: F.relu_grad(g, out))
ERF = unary("erf", None, lambda g, x: g * ((-x * x).exp() * (2 / sqrt(pi))))
ERFC = unary("erfc", None, lambda g, x: g * ((-x * x).exp() * (-2 / sqrt(pi))))
ERFINV = unary("erfinv", None, lambda g, out: g * ((out * out).exp() * (sqrt(pi) / 2)), sample="unit", holds="out")
LGAMMA = unary("lgamma", None, lambda g, x: g * x.digamma(), sample="positive")
DIGAMMA = unary("digamma", None, lambda F, g, x: g * F.polygamma(1, x), sample="positive")
I0 = unary("i0", None, lambda F, g, x: g * F.special.i1(x))
I0E = unary("i0e", None, lambda F, g, x, out: g * (F.special.i1e(x) - x.sgn() * out))
I1 = unary("i1", None, lambda F, g, x, out: g * F.bessel_i1_slope(x, out))
I1E = unary("i1e", None, lambda F, g, x, out: g * F.bessel_i1e_slope(x, out))
NDTRI = unary("ndtri", None, lambda g, out: g * ((out * out / 2).exp() * sqrt(2 * pi)), sample="unit positive")
LOG_NDTR = unary("log_ndtr", None, lambda F, g, x: g * F.log_ndtr_slope(x))
ISNAN = unary("isnan", lambda np, x: np.isnan(x), shape=boolean)
ISINF = unary("isinf", lambda np, x: np.isinf(x), shape=boolean)
ISFINITE = unary("isfinite", lambda np, x: np.isfinite(x), shape=boolean)
SIGNBIT = unary("signbit", lambda np, x: np.signbit(x), shape=boolean)
LOGICAL_NOT = unary("logical_not", lambda np, x: np.logical_not(x), shape=boolean)
BITWISE_NOT = unary("bitwise_not", lambda np, x: np.invert(x))
REAL = unary("real", lambda np, x: np.ascontiguousarray(x.real), lambda F, g: F.complex(g, F.zeros_like(g)), shape=real)
IMAG = unary("imag", lambda np, x: np.ascontiguousarray(x.imag), lambda F, g: F.complex(F.zeros_like(g), g), shape=real)
CONJ = unary("conj", lambda np, x: np.conj(x), lambda g: g.conj())
ANGLE = unary("angle", lambda np, x: np.angle(x), lambda F, g, x: F.angle_grad(g, x), shape=real)

# --- two operands -------------------------------------------------------------------------------------------------
ADD = binary("add", lambda np, x, y: np.add(x, y), lambda g: g, lambda g: g)
SUB = binary("sub", lambda np, x, y: np.subtract(x, y), lambda g: g, lambda g: -g)
MUL = binary("mul", lambda np, x, y: np.multiply(x, y), lambda F, g, y: g * F.conjugate(y),
             lambda F, g, x: g * F.conjugate(x))
DIV = binary("div", lambda np, x, y: np.divide(x, y), lambda F, g, y: g / F.conjugate(y),
             lambda F, g, x, y: -g * F.conjugate(x / y / y), sample="positive")
FLOOR_DIVIDE = binary("floor_divide", None, zero, zero, sample="positive")
TRUNC_DIVIDE = binary("trunc_divide", None, zero, zero, sample="positive")
FMOD = binary("fmod", None, lambda g: g, lambda F, g, x, y: -g * F.div(x, y, rounding_mode="trunc"), sample="positive")
REMAINDER = binary("remainder", None, lambda g: g,
                   lambda F, g, x, y: -g * F.div(x, y, rounding_mode="floor"), sample="positive")
POW = binary("pow", None, lambda F, g, x, y: F.pow_grad_base(g, x, y),
             lambda F, g, x, y, out: F.pow_grad_exponent(g, x, y, out), sample="positive", strides="joint")
ATAN2 = binary("atan2", lambda np, x, y: np.arctan2(x, y), lambda F, g, x, y: g * y * F.atan2_scale(x, y),
               lambda F, g, x, y: g * -x * F.atan2_scale(x, y), sample="positive")
MAXIMUM = binary("maximum", lambda np, x, y: first_of_equals(np, np.maximum, x, y),
                 lambda F, g, x, y: F.extremum_grad(g, x > y, x == y),
                 lambda F, g, x, y: F.extremum_grad(g, y > x, x == y))
MINIMUM = binary("minimum", lambda np, x, y: first_of_equals(np, np.minimum, x, y),
                 lambda F, g, x, y: F.extremum_grad(g, x < y, x == y),
                 lambda F, g, x, y: F.extremum_grad(g, y < x, x == y))
FMAX = binary("fmax", lambda np, x, y: np.fmax(x, y), lambda F, g, x, y: F.where((x >= y) | (y != y), g, 0),
              lambda F, g, x, y: F.where((x >= y) | (y != y), 0, g))
FMIN = binary("fmin", lambda np, x, y: np.fmin(x, y), lambda F, g, x, y: F.where((x <= y) | (y != y), g, 0),
              lambda F, g, x, y: F.where((x <= y) | (y != y), 0, g))
CLAMP_MIN = binary("clamp_min", lambda np, x, y: first_of_equals(np, np.maximum, x, y),
                   lambda F, g, x, y: F.where(x >= y, g, 0),
                   lambda F, g, x, y: F.where(x < y, g, 0), strides="joint")
CLAMP_MAX = binary("clamp_max", lambda np, x, y: first_of_equals(np, np.minimum, x, y),
                   lambda F, g, x, y: F.where(x <= y, g, 0),
                   lambda F, g, x, y: F.where(x > y, g, 0), strides="joint")
EQ = binary("eq", lambda np, x, y: np.equal(x, y), shape=boolean)
NE = binary("ne", lambda np, x, y: np.not_equal(x, y), shape=boolean)
LT = binary("lt", lambda np, x, y: np.less(x, y), shape=boolean)
LE = binary("le", lambda np, x, y: np.less_equal(x, y), shape=boolean)
GT = binary("gt", lambda np, x, y: np.greater(x, y), shape=boolean)
GE = binary("ge", lambda np, x, y: np.greater_equal(x, y), shape=boolean)
LOGICAL_AND = binary("logical_and", lambda np, x, y: np.logical_and(x, y), shape=boolean)
LOGICAL_OR = binary("logical_or", lambda np, x, y: np.logical_or(x, y), shape=boolean)
LOGICAL_XOR = binary("logical_xor", lambda np, x, y: np.logical_xor(x, y), shape=boolean)
BITWISE_AND = binary("bitwise_and", lambda np, x, y: np.bitwise_and(x, y))
BITWISE_OR = binary("bitwise_or", lambda np, x, y: np.bitwise_or(x, y))
BITWISE_XOR = binary("bitwise_xor", lambda np, x, y: np.bitwise_xor(x, y))
SHIFT_LEFT = binary("bitwise_left_shift", None)
SHIFT_RIGHT = binary("bitwise_right_shift", None)
COPYSIGN = binary("copysign", lambda np, x, y: np.copysign(x, y), lambda F, g, x, y: F.copysign_grad(g, x, y), zero)
NEXTAFTER = binary("nextafter", lambda np, x, y: np.nextafter(x, y), lambda g: g, zero)
HYPOT = binary("hypot", lambda np, x, y: np.hypot(x, y), lambda g, x, out: g * x / out, lambda g, y, out: g * y / out)
GCD = binary("gcd", lambda np, x, y: np.gcd(x, y))
LCM = binary("lcm", lambda np, x, y: np.abs(np.lcm(x, y)))
LOGADDEXP = binary("logaddexp", logaddexp, lambda g, x, y: g / (1 + (y - x).exp()).conj(),
                   lambda g, x, y: g / (1 + (x - y).exp()).conj())
HEAVISIDE = binary("heaviside",
                   lambda np, x, y: np.heaviside(x, y) if x.dtype.kind == "f"
                   else np.where(x > 0, 1, np.where(x == 0, y, 0)).astype(x.dtype))
ZETA = binary("zeta", None, None, lambda F, g, x, y: -g * x * F.special.zeta(x + 1, y))
IGAMMA = binary("igamma", None, None, lambda F, g, x, y: g * ((x - 1) * y.log() - y - x.lgamma()).exp())
IGAMMAC = binary("igammac", None, None, lambda F, g, x, y: -g * ((x - 1) * y.log() - y - x.lgamma()).exp())
POLYGAMMA = binary("polygamma", None, None, lambda F, g, x, y: g * F.polygamma(x + 1, y), strides="joint")
XLOGY = binary("xlogy", None, lambda F, g, x, y: F.where((x == 0) & (y <= 0), 0, g * y.log()),
               lambda g, x, y: g * x / y)
XLOG1PY = binary("xlog1py", None, lambda F, g, x, y: F.where((x == 0) & (y <= -1), 0, g * y.log1p()),
                 lambda g, x, y: g * x / (y + 1))
COMPLEX = binary("complex", None, lambda g: g.real, lambda g: g.imag,
                 shape=lambda x, y: ((joint(x, y)[0].to_complex(), joint(x, y)[1]),))
RELU_GRAD = binary("relu_grad", lambda np, x, y: np.where(y <= 0, np.zeros((), x.dtype), x),
                   lambda F, g, y: F.relu_grad(g, y), zero, shape=same)

# --- three operands, casts ----------------------------------------------------------------------------------------
WHERE = row("where", "map", "condition x y", lambda c, x, y: ((joint(x, y)[0], joint(c, x, y)[1]),), strides="numbers",
            numpy=lambda np, c, x, y: np.where(c, x, y),
            vjp={"x": lambda F, g, condition: F.where(condition, g, 0),
                 "y": lambda F, g, condition: F.where(condition, 0, g)})
# one kernel each in PyTorch, so that half precision is rounded once
LERP = row("lerp", "map", "x y weight", same, strides="numbers",
           decompose=lambda F, x, y, w: F.where(w.abs() < 0.5, x + w * (y - x), y - (y - x) * (1 - w)),
           vjp={"x": lambda g, weight: g * (1 - weight).conj(), "y": lambda g, weight: g * weight.conj(),
                "weight": lambda g, x, y: g * (y - x).conj()})
ADDCMUL = row("addcmul", "map", "x y z value", same, decompose=lambda F, x, y, z, value: x + y * z * value,
              vjp={"x": lambda g: g, "y": lambda F, g, z, value: g * F.conjugate(z * value),
                   "z": lambda F, g, y, value: g * F.conjugate(y * value)})
ADDCDIV = row("addcdiv", "map", "x y z value", same, decompose=lambda F, x, y, z, value: x + y / z * value,
              vjp={"x": lambda g: g, "y": lambda F, g, z, value: g * F.conjugate(F.div(value, z)),
                   "z": lambda F, g, y, z, value: -g * F.conjugate(y * value / (z * z))})
FMA = row("fma", "map", "x y z", same, strides="numbers",  # x y + z, rounded once
          vjp={"x": lambda F, g, y: g * F.conjugate(y), "y": lambda F, g, x: g * F.conjugate(x), "z": lambda g: g})
# input ± alpha * other, which PyTorch's kernels round once
ADD_SCALED = row("add_scaled", "map", "x y alpha", same, strides="numbers", grad_name="AddBackward0",
                 decompose=lambda F, x, y, alpha: F.fma(y, alpha, x),
                 vjp={"x": lambda g: g, "y": lambda g, alpha: g * alpha})
SUB_SCALED = row("sub_scaled", "map", "x y alpha", same, strides="numbers", grad_name="SubBackward0",
                 decompose=lambda F, x, y, alpha: F.fma(y, -alpha, x),
                 vjp={"x": lambda g: g, "y": lambda g, alpha: -g * alpha})
CAST = row("cast", "map", "x", lambda x, dtype: ((dtype, x.shape),), attrs="dtype", grad_name="ToCopyBackward0",
           strides="same", vjp={"x": lambda F, g, x_spec: F.cast_grad(g, x_spec.dtype)})
NAN_TO_NUM = row("nan_to_num", "map", "x nan posinf neginf", lambda x, *_: ((x.dtype, x.shape),), strides="same",
                 numpy=lambda np, x, nan, posinf, neginf: np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf),
                 vjp={"x": lambda F, g, x: F.where(x.isfinite(), g, 0)})
BITCAST = row("bitcast", "map", "x", lambda x, dtype: ((dtype, x.shape),), attrs="dtype", differentiable=False)
