"""What functions of torch do with nested tensors: a table from their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rushlight.export.names import target
from rushlight.nested.tensor import NestedTensor
from rushlight.tensor import formats, protocol
from rushlight.tensor.core import Tensor

TABLE: dict[str, Callable[..., Any]] = {}

# the same function on each element: results have the sizes of the operands
ELEMENTWISE = frozenset(
    """abs neg exp expm1 exp2 log log2 log10 log1p sqrt rsqrt square reciprocal sin cos tan
    asin acos atan sinh cosh tanh asinh acosh atanh sigmoid relu relu6 gelu silu elu selu celu leaky_relu hardtanh
    hardswish hardsigmoid softplus softsign logsigmoid mish tanhshrink softshrink hardshrink threshold erf erfc erfinv
    sign sgn floor ceil trunc round frac isnan isinf isfinite logical_not bitwise_not logit nan_to_num clamp clamp_min
    clamp_max clip positive dropout add sub mul div true_divide multiply subtract divide floor_divide remainder fmod pow
    maximum minimum fmax fmin eq ne lt le gt ge logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor
    atan2 where masked_fill lerp addcmul addcdiv rsub clone detach contiguous to type type_as double float half bfloat16
    long int short char byte bool cpu zeros_like ones_like empty_like full_like rand_like randn_like alpha_dropout copy
    fill zero conj deg2rad rad2deg __and__ __or__ __xor__ __invert__ __rsub__ __rtruediv__ __rpow__ __floordiv__ __mod__
    __pos__""".split()
)
# functions of the last dimensions: they see packed rows as so many more samples
ROWWISE = frozenset("linear layer_norm rms_norm embedding one_hot".split())


def entry(*names: str) -> Callable[[Any], Any]:
    """Enter a function for these names."""

    def enter(f: Any) -> Any:
        TABLE.update(dict.fromkeys(names, f))
        return f

    return enter


def call(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function of torch on operands with nested tensors among them.
    NotImplementedError where it has no meaning here."""
    kind, name = target(func)
    with protocol.without_subclasses():
        base = name.removesuffix("_") if not name.endswith("__") else name
        if kind != "property" and base in ELEMENTWISE:
            return elementwise(func, name, args, kwargs)
        if name in ROWWISE:
            return rowwise(func, name, args, kwargs)
        found = TABLE.get(name)
        if found is None:
            raise NotImplementedError(
                f"Could not run 'aten::{name}' with arguments from the 'NestedTensorCPU' backend: rushlight's nested "
                "tensors do not support "
                f"torch.{name}. Use unbind() and torch.nested.as_nested_tensor(), or to_padded_tensor()."
            )
        return found(*args, **kwargs)


def nested_in(nest: Any) -> Iterator[NestedTensor]:
    """The nested tensors of a nest."""
    if isinstance(nest, NestedTensor):
        yield nest
    elif isinstance(nest, (tuple, list)):
        for x in nest:
            yield from nested_in(x)
    elif isinstance(nest, dict):
        yield from nested_in(list(nest.values()))


# --- elementwise --------------------------------------------------------------------------------------------------
def elementwise(func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The function on packed rows where all operands have them, else part by part."""
    found = list(nested_in((args, kwargs)))
    model = found[0]
    for other in found[1:]:
        _check_same(name, model, other)
    dense = [
        x
        for x in (*args, *kwargs.values())
        if isinstance(x, Tensor) and not isinstance(x, NestedTensor) and x.dim() > 0
    ]
    for d in dense:
        _check_dense(name, model, d)
    if all(x.packed is not None for x in found) and all(d.dim() < model.dim() for d in dense):
        for x in found:
            x._lengths = model._lengths if x._layout is formats.jagged else x._lengths
        out = func(*[_row_form(a) for a in args], **{k: _row_form(v) for k, v in kwargs.items()})
        wrapped = model.like(packed=out)
    else:
        outs = [
            func(*[_part(a, i, model) for a in args], **{k: _part(v, i, model) for k, v in kwargs.items()})
            for i in range(len(model))
        ]
        wrapped = model.like(outs, ragged=model._ragged)
    if name.endswith("_") and not name.endswith("__"):
        args[0]._packed, args[0]._parts = wrapped._packed, wrapped._parts
        return args[0]
    return wrapped


def _row_form(x: Any) -> Any:
    return x.packed if isinstance(x, NestedTensor) else x


def _part(x: Any, i: int, model: NestedTensor) -> Any:
    """What the i-th part meets: the part itself, or a sample of a dense batch."""
    if isinstance(x, NestedTensor):
        return x.parts[i]
    if isinstance(x, Tensor) and x.dim() == model.dim():
        return x[i if x.shape[0] > 1 else 0]
    return x


def shown(t: Any) -> str:
    """The sizes for messages."""
    if isinstance(t, NestedTensor) and t._layout is formats.jagged:
        return f"({', '.join(map(str, t.size()))})"
    return str(t.shape) if not isinstance(t, NestedTensor) else str([list(p.shape) for p in t.parts])


def _check_same(name: str, a: NestedTensor, b: NestedTensor) -> None:
    if a._layout is formats.jagged and b._layout is formats.jagged:
        inner = lambda t: [s for d, s in enumerate(t.size()) if d != t._ragged]
        sizes = list(zip(inner(a), inner(b)))
        if (
            a._symbol is not b._symbol
            and a._lengths != b._lengths
            or a._symbol is not b._symbol
            or any(m != n and 1 not in (m, n) for m, n in sizes)
        ):
            raise RuntimeError(
                f"cannot call binary pointwise function {name}.Tensor with inputs of shapes {shown(a)} and "
                f"{shown(b)}: their ragged sizes are not one and "
                "the same; make one with the other's offsets (torch.nested.nested_tensor_from_jagged)"
            )
    elif len(a) != len(b) or any(p.shape != q.shape for p, q in zip(a.parts, b.parts)):
        raise RuntimeError(
            f"{name} does not support broadcasting when given a NestedTensor; the sizes are {shown(a)} and {shown(b)}"
        )


def _check_dense(name: str, a: NestedTensor, d: Any) -> None:
    if a._layout is not formats.jagged:
        if name in ("eq", "ne", "lt", "le", "gt", "ge"):
            raise RuntimeError(f"{name} does not support nested tensor as other value.")
        raise RuntimeError("Expected both self and other to be nested, but got a nested self and non-nested other")
    whole = a.dim()
    if (
        d.dim() > whole
        or d.dim() == whole
        and (d.shape[0] not in (1, len(a)) or d.shape[a._ragged] != 1)
        or whole > d.dim() > whole - 1 - (a._ragged - 1) - 1
        and d.dim() == whole - 1
        and a._ragged == 1
        and d.shape[0] != 1
    ):
        raise RuntimeError(
            f"cannot call binary pointwise function {name}.Tensor with inputs of shapes {shown(a)} and {shown(d)}"
        )


# --- rows ---------------------------------------------------------------------------------------------------------
def rowwise(func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Functions of the last dimensions on packed rows, or part by part."""
    x = args[0]
    if not isinstance(x, NestedTensor) or any(isinstance(a, NestedTensor) for a in (*args[1:], *kwargs.values())):
        raise RuntimeError(f"{name}(): expected a nested tensor as the first operand only")
    if name in ("layer_norm", "rms_norm"):
        shape = args[1] if len(args) > 1 else kwargs["normalized_shape"]
        if len(shape) > x.dim() - 1 - x._ragged:
            raise RuntimeError(f"{name}(): normalizing over ragged dim not supported for nested tensors")
    if x.packed is not None:
        return x.like(packed=func(x.packed, *args[1:], **kwargs))
    return x.like([func(p, *args[1:], **kwargs) for p in x.parts], ragged=x._ragged)


def by_parts(t: NestedTensor, f: Callable[[Tensor], Tensor], ragged: int | None = None) -> NestedTensor:
    """f of each part."""
    return t.like([f(p) for p in t.parts], ragged=t._ragged if ragged is None else ragged)


def inner(t: NestedTensor, dim: int, what: str) -> int:
    """A dimension of the parts. RuntimeError for the batch."""
    n = t.dim()
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    if dim % n == 0:
        raise RuntimeError(what)
    return dim % n - 1


def _softmax(name: str) -> None:
    def write(input: NestedTensor, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
        at = inner(
            input,
            input.dim() - 1 if dim is None else dim,
            "Cannot apply softmax across nested dimension 0"
            if input._layout is not formats.jagged
            else f"{name}(): not supported when reducing across the batch dimension for NestedTensor",
        )
        if at >= 1 and input.packed is not None:
            return input.like(packed=getattr(input.packed, name)(at, dtype=dtype))
        return by_parts(input, lambda p: getattr(p, name)(at, dtype=dtype))

    TABLE[name] = write


_softmax("softmax")
_softmax("log_softmax")
