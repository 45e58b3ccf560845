"""Rules of operations on two and three operands, with PyTorch's promotion of types."""

from __future__ import annotations

import operator
from typing import Any

from rushlight.ir import dtype as dtypes
from rushlight.onnx.builder import Builder, Value
from rushlight.onnx.rules import RULES, rule


def common_dtype(*operands: Any) -> Any:
    """The dtype in which operands meet."""
    import rushlight as rl

    samples = [rl.empty((1,) * min(x.rank, 1), dtype=x.dtype) if isinstance(x, Value) else x for x in operands]
    out: Any = samples[0]
    if len(samples) == 1:
        return out.dtype
    kind = rl.result_type(samples[0], samples[1])
    return kind if len(samples) == 2 else rl.promote_types(kind, rl.result_type(samples[1], samples[2]))


def together(g: Builder, dtype: Any, *operands: Any) -> list[Value]:
    """The operands as values of one dtype."""
    return [g.const(x, dtype) for x in operands]


def arithmetic(name: str, kind: str) -> None:
    """An operation whose operands have the result's dtype."""

    def write(g: Builder, input: Any, other: Any, *, alpha: Any = 1, **_: Any) -> Any:
        a, b = together(g, g.outs[0].dtype, input, other)
        if alpha != 1:
            b = b * alpha
        if g.outs[0].dtype is dtypes.bool_ and kind in ("Add", "Mul", "Max", "Min"):
            return g.op("Or" if kind in ("Add", "Max") else "And", a, b)
        return g.op(kind, a, b)

    RULES[name] = write


def comparison(name: str, kind: str, negated: bool = False) -> None:
    """A comparison in the common dtype of its operands."""

    def write(g: Builder, input: Any, other: Any) -> Any:
        dtype = common_dtype(input, other)
        if dtype is dtypes.bool_ and kind != "Equal":
            dtype = dtypes.int32
        out = g.op(kind, *together(g, dtype, input, other))
        return g.op("Not", out) if negated else out

    RULES[name] = write


for _name, _kind in {
    "add": "Add",
    "sub": "Sub",
    "subtract": "Sub",
    "mul": "Mul",
    "multiply": "Mul",
    "maximum": "Max",
    "minimum": "Min",
    "fmax": "Max",
    "fmin": "Min",
    "__iadd__": "Add",
}.items():
    arithmetic(_name, _kind)
for _name, _kind in {
    "eq": "Equal",
    "lt": "Less",
    "le": "LessOrEqual",
    "gt": "Greater",
    "ge": "GreaterOrEqual",
    "less": "Less",
    "greater": "Greater",
    "less_equal": "LessOrEqual",
    "greater_equal": "GreaterOrEqual",
}.items():
    comparison(_name, _kind)
comparison("ne", "Equal", True)
comparison("not_equal", "Equal", True)


def _logical(name: str, kind: str) -> None:
    RULES[name] = lambda g, input, other: g.op(kind, *together(g, dtypes.bool_, input, other))


def _bitwise(names: tuple[str, ...], kind: str) -> None:
    def write(g: Builder, input: Any, other: Any) -> Any:
        dtype = g.outs[0].dtype
        return g.op(kind if dtype is dtypes.bool_ else f"Bitwise{kind}", *together(g, dtype, input, other))

    RULES.update(dict.fromkeys(names, write))


for _name in ("And", "Or", "Xor"):
    _logical(f"logical_{_name.lower()}", _name)
    _bitwise((f"bitwise_{_name.lower()}", f"__{_name.lower()}__"), _name)


@rule("rsub")
def rsub(g: Builder, input: Any, other: Any, *, alpha: Any = 1) -> Any:
    return RULES["sub"](g, other, input, alpha=alpha)


@rule("div", "divide", "true_divide")
def div(g: Builder, input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    if rounding_mode == "floor":
        return floor_divide(g, input, other)
    a, b = together(g, g.outs[0].dtype, input, other)
    if rounding_mode == "trunc" and a.dtype.kind == "f":
        return RULES["trunc"](g, g.op("Div", a, b, dtype=a.dtype))
    return g.op("Div", a, b)


@rule("floor_divide")
def floor_divide(g: Builder, input: Any, other: Any) -> Any:
    dtype = g.outs[0].dtype
    a, b = together(g, dtype, input, other)
    if dtype.kind == "f":
        return g.op("Floor", g.op("Div", a, b))
    return g.op("Div", g.op("Sub", a, g.op("Mod", a, b)), b)


@rule("remainder")
def remainder(g: Builder, input: Any, other: Any) -> Any:
    a, b = together(g, g.outs[0].dtype, input, other)
    if a.dtype.kind == "f":
        return g.op("Sub", a, g.op("Mul", g.op("Floor", g.op("Div", a, b)), b))
    return g.op("Mod", a, b)


@rule("fmod")
def fmod(g: Builder, input: Any, other: Any) -> Any:
    return g.op("Mod", *together(g, g.outs[0].dtype, input, other), fmod=1)


@rule("pow", "float_power")
def power(g: Builder, input: Any, exponent: Any) -> Any:
    dtype = g.outs[0].dtype
    if exponent == 2 and isinstance(input, Value) and not isinstance(exponent, Value):
        x = input.cast(dtype)
        return x * x
    return g.op("Pow", *together(g, dtype, input, exponent))


@rule("where")
def where(g: Builder, condition: Value, input: Any = None, other: Any = None) -> Any:
    if input is None and other is None:
        from rushlight.onnx.rules_indexing import nonzero

        return nonzero(g, condition, as_tuple=True)
    return g.where(condition.cast(dtypes.bool_), input, other, g.outs[0].dtype)


@rule("lerp")
def lerp(g: Builder, input: Value, end: Value, weight: Any) -> Any:
    return input + (end - input) * weight


@rule("addcmul")
def addcmul(g: Builder, input: Value, tensor1: Value, tensor2: Value, *, value: Any = 1) -> Any:
    return input + tensor1 * tensor2 * value


@rule("addcdiv")
def addcdiv(g: Builder, input: Value, tensor1: Value, tensor2: Value, *, value: Any = 1) -> Any:
    return input + tensor1 / tensor2 * value


@rule("hypot")
def hypot(g: Builder, input: Value, other: Value) -> Any:
    return g.op("Sqrt", input * input + other * other)


@rule("atan2", "arctan2")
def atan2(g: Builder, input: Value, other: Value) -> Any:
    import math

    y, x = together(g, g.outs[0].dtype, input, other)
    base = g.op("Atan", y / x, dtype=y.dtype)
    turned = base + g.where(y >= 0, math.pi, -math.pi, y.dtype)
    flat = g.where(y >= 0, math.pi / 2, -math.pi / 2, y.dtype)
    at_zero = g.where(g.op("Equal", y, g.const(0, y.dtype)), 0.0, flat, y.dtype)
    return g.where(x > 0, base, g.where(x < 0, turned, at_zero, y.dtype), y.dtype)


@rule("logaddexp")
def logaddexp(g: Builder, input: Value, other: Value) -> Any:
    x, y = together(g, g.outs[0].dtype, input, other)
    off = x - y
    return g.op("Max", x, y, dtype=x.dtype, shape=off.shape) + g.op("Softplus", g.op("Abs", off, dtype=off.dtype, shape=off.shape) * -1.0)


@rule("xlogy", "special_xlogy")
def xlogy(g: Builder, input: Any, other: Any) -> Any:
    x, y = together(g, g.outs[0].dtype, input, other)
    return g.where(g.op("Equal", x, g.const(0, x.dtype)), 0.0, x * g.op("Log", y), x.dtype)


@rule("bitwise_left_shift", "bitwise_right_shift")
def _shift(g: Builder, input: Value, other: Any) -> Any:
    raise_on = together(g, g.outs[0].dtype, input, other)
    return g.op("BitShift", *raise_on, direction="LEFT" if g.label.startswith("bitwise_left") else "RIGHT")


@rule("copy_")
def copy_(g: Builder, input: Value, src: Value, non_blocking: bool = False) -> Any:
    from rushlight.onnx.rules_shape import expand_to

    return expand_to(g, src.cast(input.dtype), [g.size(input, d) for d in range(input.rank)])


# what Python's operators on captured values and sizes become
PYTHON = {
    operator.add: "add",
    operator.sub: "sub",
    operator.mul: "mul",
    operator.truediv: "div",
    operator.floordiv: "floor_divide",
    operator.mod: "remainder",
    operator.pow: "pow",
    operator.neg: "neg",
    operator.and_: "bitwise_and",
    operator.or_: "bitwise_or",
    operator.xor: "bitwise_xor",
    operator.invert: "bitwise_not",
    operator.lshift: "bitwise_left_shift",
    operator.rshift: "bitwise_right_shift",
    operator.matmul: "matmul",
    operator.getitem: "getitem",
    operator.setitem: "setitem",
    operator.eq: "eq",
    operator.ne: "ne",
    operator.lt: "lt",
    operator.le: "le",
    operator.gt: "gt",
    operator.ge: "ge",
    abs: "abs",
    round: "round",
}
