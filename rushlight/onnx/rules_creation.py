"""Rules of tensors made from sizes and numbers. Those whose operands are
all known are constants and never come here."""

from __future__ import annotations

from typing import Any

from rushlight.ir import dtype as dtypes
from rushlight.onnx.builder import Builder, Value, element
from rushlight.onnx.rules import RULES, rule
from rushlight.onnx.rules_shape import expand_to, spread


def filled(g: Builder, number: Any, sizes: list[Any]) -> Value:
    """A tensor of one number."""
    return expand_to(g, g.const(number, g.outs[0].dtype), sizes)


def _of_sizes(name: str, number: Any) -> None:
    def write(g: Builder, *size: Any, **options: Any) -> Any:
        return filled(g, number, spread(size, options.get("size")))

    RULES[name] = write


def _like(name: str, number: Any) -> None:
    def write(g: Builder, input: Value, **_: Any) -> Any:
        return filled(g, number, [g.size(input, d) for d in range(input.rank)])

    RULES[name] = write


def _new(name: str, number: Any) -> None:
    def write(g: Builder, input: Value, *size: Any, **options: Any) -> Any:
        return filled(g, number, spread(size, options.get("size")))

    RULES[name] = write


for _name, _number in (("zeros", 0), ("ones", 1), ("empty", 0)):
    _of_sizes(_name, _number)
    _like(f"{_name}_like", _number)
    _new(f"new_{_name}", _number)


@rule("full")
def full(g: Builder, size: Any, fill_value: Any, **_: Any) -> Any:
    return filled(g, fill_value, list(size))


@rule("full_like")
def full_like(g: Builder, input: Value, fill_value: Any, **_: Any) -> Any:
    return filled(g, fill_value, [g.size(input, d) for d in range(input.rank)])


@rule("new_full")
def new_full(g: Builder, input: Value, size: Any, fill_value: Any, **_: Any) -> Any:
    return filled(g, fill_value, list(size))


@rule("new_tensor", "tensor", "as_tensor", "scalar_tensor")
def tensor(g: Builder, *data: Any, **_: Any) -> Any:
    def build(x: Any) -> Value:
        if isinstance(x, (tuple, list)):
            return g.concat([g.unsqueeze(build(part), [0]) for part in x], 0)
        return g.const(x, g.outs[0].dtype)

    return build(data[-1])


@rule("arange")
def arange(g: Builder, start: Any = 0, end: Any = None, step: Any = 1, **_: Any) -> Any:
    if end is None:
        start, end = 0, start
    return g.op("Range", *(g.const(x, g.outs[0].dtype) for x in (start, end, step)))


@rule("linspace")
def linspace(g: Builder, start: Any, end: Any, steps: Any, **_: Any) -> Any:
    dtype = g.outs[0].dtype
    first, last = g.const(start, dtype), g.const(end, dtype)
    counts = g.op("Range", g.const(0), g.const(steps), g.const(1), dtype=dtypes.int64, shape=(None,)).cast(dtype)
    return first + counts * ((last - first) / (g.const(steps, dtype) - 1))


@rule("eye")
def eye(g: Builder, n: Any, m: Any = None, **_: Any) -> Any:
    zeros = expand_to(g, g.const(0, g.outs[0].dtype), [n, n if m is None else m])
    return g.op("EyeLike", zeros, dtype_=None)


# --- random -------------------------------------------------------------------------------------------------------
RANDOM = {
    "rand": ("RandomUniform", ("low", 0.0), ("high", 1.0)),
    "randn": ("RandomNormal", ("mean", 0.0), ("scale", 1.0)),
}


def _random(name: str) -> None:
    kind, *pairs = RANDOM[name]
    options: dict[str, Any] = dict(pairs)

    def of_sizes(g: Builder, *size: Any, **named: Any) -> Any:
        sizes = spread(size, named.get("size"))
        number = {"dtype_": element(g.outs[0].dtype), **options}
        if not any(isinstance(n, Value) for n in sizes):
            return g.op(kind, shape_=sizes, **number)
        return g.op(f"{kind}Like", expand_to(g, g.const(0, g.outs[0].dtype), sizes), **number)

    def like(g: Builder, input: Value, **_: Any) -> Any:
        return g.op(f"{kind}Like", input, dtype_=element(g.outs[0].dtype), **options)

    RULES[name], RULES[f"{name}_like"] = of_sizes, like


for _name in RANDOM:
    _random(_name)


@rule("normal_")
def normal_(g: Builder, input: Value, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
    return g.op("RandomNormalLike", input, mean=float(mean), scale=float(std))


@rule("uniform_")
def uniform_(g: Builder, input: Value, low: float = 0.0, high: float = 1.0, **_: Any) -> Any:
    return g.op("RandomUniformLike", input, low=float(low), high=float(high))


@rule("bernoulli")
def bernoulli(g: Builder, input: Value, p: Any = None, **_: Any) -> Any:
    return g.op("Bernoulli", input)
