"""Rules of operations on one operand."""

from __future__ import annotations

import math
from typing import Any

from rushlight.ir import dtype as dtypes
from rushlight.onnx.builder import Builder, Value
from rushlight.onnx.rules import RULES, rule

# an ONNX operator of the same name and meaning
DIRECT = {
    "abs": "Abs",
    "neg": "Neg",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "floor": "Floor",
    "ceil": "Ceil",
    "sin": "Sin",
    "cos": "Cos",
    "tan": "Tan",
    "asin": "Asin",
    "acos": "Acos",
    "atan": "Atan",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "tanh": "Tanh",
    "asinh": "Asinh",
    "acosh": "Acosh",
    "atanh": "Atanh",
    "sigmoid": "Sigmoid",
    "erf": "Erf",
    "sign": "Sign",
    "sgn": "Sign",
    "reciprocal": "Reciprocal",
    "relu": "Relu",
    "det": "Det",
    "linalg_det": "Det",
    "softsign": "Softsign",
    "hardswish": "HardSwish",
    "logical_not": "Not",
    "positive": "Identity",
    "isnan": "IsNaN",
    "isinf": "IsInf",
    "negative": "Neg",
    "absolute": "Abs",
    "arcsin": "Asin",
    "arccos": "Acos",
    "arctan": "Atan",
    "arcsinh": "Asinh",
    "arccosh": "Acosh",
    "arctanh": "Atanh",
    "special_erf": "Erf",
    "special_expit": "Sigmoid",
}
TAKES_BOOLEANS = ("logical_not",)
TAKES_ANY = ("isnan", "isinf")
# formulas, in terms of the operand (in the result's dtype) and the operators above
FORMULAS: dict[str, Any] = {
    "exp2": lambda g, x: g.const(2, x.dtype) ** x,
    "expm1": lambda g, x: g.op("Exp", x, dtype=x.dtype, shape=x.shape) - 1,
    "log2": lambda g, x: g.op("Log", x, dtype=x.dtype, shape=x.shape) / math.log(2),
    "log10": lambda g, x: g.op("Log", x, dtype=x.dtype, shape=x.shape) / math.log(10),
    "log1p": lambda g, x: g.op("Log", x + 1),
    "rsqrt": lambda g, x: g.op("Reciprocal", g.op("Sqrt", x)),
    "square": lambda g, x: x * x,
    "sinc": lambda g, x: _sinc(g, x * math.pi),
    "trunc": lambda g, x: g.op("Mul", g.op("Sign", x), g.op("Floor", g.op("Abs", x))),
    "fix": lambda g, x: FORMULAS["trunc"](g, x),
    "frac": lambda g, x: x - FORMULAS["trunc"](g, x),
    "erfc": lambda g, x: 1 - g.op("Erf", x, dtype=x.dtype, shape=x.shape),
    "silu": lambda g, x: x * g.op("Sigmoid", x),
    "mish": lambda g, x: g.op("Mish", x) if g.opset >= 18 else x * g.op("Tanh", g.op("Softplus", x)),
    "relu6": lambda g, x: clip(g, x, 0, 6),
    "selu": lambda g, x: g.op("Selu", x),
    "hardsigmoid": lambda g, x: g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    "tanhshrink": lambda g, x: x - g.op("Tanh", x),
    "logsigmoid": lambda g, x: -g.op("Softplus", -x),
    "rad2deg": lambda g, x: x * (180 / math.pi),
    "deg2rad": lambda g, x: x * (math.pi / 180),
}


def _sinc(g: Builder, x: Value) -> Any:
    """sin(x) / x, and 1 at 0."""
    zero = g.op("Equal", x, g.const(0, x.dtype))
    return g.where(zero, 1.0, g.op("Sin", x) / g.where(zero, 1.0, x, x.dtype), x.dtype)


def clip(g: Builder, x: Value, low: Any, high: Any) -> Value:
    """x between two bounds, each a number, a scalar value or None."""
    bounds = [None if b is None else g.const(b, x.dtype) for b in (low, high)]
    return g.op("Clip", x, *bounds, dtype=x.dtype, shape=x.shape)


def _direct(name: str, kind: str) -> None:
    def write(g: Builder, input: Value, inplace: bool = False) -> Any:
        if name in TAKES_BOOLEANS:
            return g.op(kind, input.cast(dtypes.bool_))
        return g.op(
            kind,
            input.cast(dtypes.float32)
            if name in TAKES_ANY and input.dtype.kind not in "f"
            else input
            if name in TAKES_ANY
            else input.cast(g.outs[0].dtype),
        )

    RULES[name] = write


def _formula(name: str, f: Any) -> None:
    RULES[name] = lambda g, input, inplace=False: f(g, input.cast(g.outs[0].dtype))


for _name, _kind in DIRECT.items():
    _direct(_name, _kind)
for _name, _f in FORMULAS.items():
    _formula(_name, _f)


@rule(
    "identity",
    "clone",
    "contiguous",
    "detach",
    "requires_grad_",
    "alias",
    "lift_fresh",
    "resolve_conj",
    "resolve_neg",
    "data",
    "conj",
    "conj_physical",
    "real",
    "cpu",
    "broadcast_tensors_one",
)
def identity(g: Builder, input: Value, *_: Any, **__: Any) -> Value:
    return input


@rule("round")
def round_(g: Builder, input: Value, *, decimals: int = 0) -> Any:
    if decimals:
        return g.op("Round", input * 10.0**decimals, dtype=input.dtype, shape=input.shape) / 10.0**decimals
    return g.op("Round", input) if input.dtype.kind == "f" else input


@rule("isfinite")
def isfinite(g: Builder, input: Value) -> Any:
    x = input if input.dtype.kind == "f" else input.cast(dtypes.float32)
    return g.op("Not", g.op("Or", g.op("IsNaN", x), g.op("IsInf", x)))


@rule("nan_to_num")
def nan_to_num(
    g: Builder, input: Value, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Any:
    import numpy as np

    most = float(np.finfo(input.dtype.numpy).max)
    x = g.where(g.op("IsNaN", input, shape=input.shape), nan or 0.0, input, input.dtype)
    x = g.where(
        g.op("IsInf", input, detect_negative=0, shape=input.shape), most if posinf is None else posinf, x, input.dtype
    )
    return g.where(
        g.op("IsInf", input, detect_positive=0, shape=input.shape), -most if neginf is None else neginf, x, input.dtype
    )


@rule("bitwise_not", "invert")
def bitwise_not(g: Builder, input: Value) -> Any:
    return g.op("Not", input) if input.dtype is dtypes.bool_ else g.op("BitwiseNot", input)


@rule("logit")
def logit(g: Builder, input: Value, eps: float | None = None) -> Any:
    x = input if eps is None else clip(g, input, eps, 1 - eps)
    return g.op("Log", x / (1 - x))


@rule("clamp", "clip")
def clamp(g: Builder, input: Value, min: Any = None, max: Any = None) -> Any:
    x = input.cast(g.outs[0].dtype)
    if any(isinstance(b, Value) and b.rank for b in (min, max)):
        x = x if min is None else g.op("Max", x, g.const(min, x.dtype), dtype=x.dtype)
        return x if max is None else g.op("Min", x, g.const(max, x.dtype))
    return clip(g, x, min, max)


@rule("clamp_min")
def clamp_min(g: Builder, input: Value, min: Any) -> Any:
    return clamp(g, input, min)


@rule("clamp_max")
def clamp_max(g: Builder, input: Value, max: Any) -> Any:
    return clamp(g, input, None, max)


@rule("hardtanh")
def hardtanh(g: Builder, input: Value, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    return clip(g, input, min_val, max_val)


@rule("elu")
def elu(g: Builder, input: Value, alpha: float = 1.0, inplace: bool = False) -> Any:
    return g.op("Elu", input, alpha=float(alpha))


@rule("celu")
def celu(g: Builder, input: Value, alpha: float = 1.0, inplace: bool = False) -> Any:
    return g.op("Celu", input, alpha=float(alpha))


@rule("leaky_relu")
def leaky_relu(g: Builder, input: Value, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    return g.op("LeakyRelu", input, alpha=float(negative_slope))


@rule("rrelu")
def rrelu(
    g: Builder, input: Value, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Any:
    from rushlight.onnx.rules import NoRule

    if training:
        raise NoRule("rrelu draws random slopes in training; export the model in eval mode")
    return g.op("LeakyRelu", input, alpha=(lower + upper) / 2)


@rule("prelu")
def prelu(g: Builder, input: Value, weight: Value) -> Any:
    if weight.shape != (1,) and input.rank > 2:
        weight = g.reshape(weight, [-1] + [1] * (input.rank - 2))
    return g.op("PRelu", input, weight)


@rule("softplus")
def softplus(g: Builder, input: Value, beta: float = 1.0, threshold: float = 20.0) -> Any:
    if beta == 1:
        return g.op("Softplus", input)
    return g.op("Softplus", input * beta, dtype=input.dtype, shape=input.shape) / beta


@rule("softshrink")
def softshrink(g: Builder, input: Value, lambd: float = 0.5) -> Any:
    return g.op("Shrink", input, bias=float(lambd), lambd=float(lambd))


@rule("hardshrink")
def hardshrink(g: Builder, input: Value, lambd: float = 0.5) -> Any:
    return g.op("Shrink", input, bias=0.0, lambd=float(lambd))


@rule("threshold")
def threshold(g: Builder, input: Value, threshold: float, value: float, inplace: bool = False) -> Any:
    return g.where(input > threshold, input, value, input.dtype)


@rule("gelu")
def gelu(g: Builder, input: Value, approximate: str = "none") -> Any:
    if g.opset >= 20:
        return g.op("Gelu", input, approximate=approximate)
    if approximate == "tanh":
        inner = (input + input * input * input * 0.044715) * math.sqrt(2 / math.pi)
        return input * 0.5 * (g.op("Tanh", inner, dtype=input.dtype, shape=input.shape) + 1)
    return input * 0.5 * (g.op("Erf", input / math.sqrt(2), dtype=input.dtype, shape=input.shape) + 1)


@rule("glu")
def glu(g: Builder, input: Value, dim: int = -1) -> Any:
    half = input.shape[dim] // 2
    a, b = g.split(input, dim, [half, half])
    return a * g.op("Sigmoid", b)


@rule("softmax", "_softmax")
def softmax(g: Builder, input: Value, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    if dim is None:
        dim = 0 if input.rank in (0, 1, 3) else 1
    return g.op("Softmax", input.cast(g.outs[0].dtype), axis=dim, shape=input.shape, dtype=g.outs[0].dtype)


@rule("log_softmax")
def log_softmax(g: Builder, input: Value, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    if dim is None:
        dim = 0 if input.rank in (0, 1, 3) else 1
    return g.op("LogSoftmax", input.cast(g.outs[0].dtype), axis=dim, shape=input.shape, dtype=g.outs[0].dtype)


@rule("softmin")
def softmin(g: Builder, input: Value, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    return softmax(g, -input, dim)
