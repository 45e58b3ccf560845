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
ELEMENTWISE = frozenset("""abs neg exp expm1 exp2 log log2 log10 log1p sqrt rsqrt square reciprocal sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sigmoid relu relu6
gelu silu elu selu celu leaky_relu hardtanh hardswish hardsigmoid softplus softsign logsigmoid mish tanhshrink softshrink hardshrink threshold erf erfc erfinv sign sgn floor ceil
trunc round frac isnan isinf isfinite logical_not bitwise_not logit nan_to_num clamp clamp_min clamp_max clip positive dropout
add sub mul div true_divide multiply subtract divide floor_divide remainder fmod pow maximum minimum fmax fmin eq ne lt le gt ge logical_and logical_or logical_xor bitwise_and
bitwise_or bitwise_xor atan2 where masked_fill lerp addcmul addcdiv rsub clone detach contiguous to type type_as double float half bfloat16 long int short char byte bool cpu
zeros_like ones_like empty_like full_like rand_like randn_like alpha_dropout copy fill zero conj deg2rad rad2deg __and__ __or__ __xor__ __invert__ __rsub__ __rtruediv__ __rpow__
__floordiv__ __mod__ __pos__""".split())
# functions of the last dimensions: they see packed rows as so many more samples
ROWWISE = frozenset("linear layer_norm rms_norm embedding one_hot".split())


def entry(*names: str) -> Callable[[Any], Any]:
    """Enter a function for these names."""
    def enter(f: Any) -> Any:
        TABLE.update(dict.fromkeys(names, f))
        return f
    return enter


def call(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function of torch on operands with nested tensors among them. NotImplementedError where it has no meaning here."""
    kind, name = target(func)
    with protocol.without_subclasses():
        base = name.removesuffix("_") if not name.endswith("__") else name
        if kind != "property" and base in ELEMENTWISE:
            return elementwise(func, name, args, kwargs)
        if name in ROWWISE:
            return rowwise(func, name, args, kwargs)
        found = TABLE.get(name)
        if found is None:
            raise NotImplementedError(f"Could not run 'aten::{name}' with arguments from the 'NestedTensorCPU' backend: rushlight's nested tensors do not support "
                                      f"torch.{name}. Use unbind() and torch.nested.as_nested_tensor(), or to_padded_tensor().")
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
    dense = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor) and not isinstance(x, NestedTensor) and x.dim() > 0]
    for d in dense:
        _check_dense(name, model, d)
    if all(x.packed is not None for x in found) and all(d.dim() < model.dim() for d in dense):
        for x in found:
            x._lengths = model._lengths if x._layout is formats.jagged else x._lengths
        out = func(*[_row_form(a) for a in args], **{k: _row_form(v) for k, v in kwargs.items()})
        wrapped = model.like(packed=out)
    else:
        outs = [func(*[_part(a, i, model) for a in args], **{k: _part(v, i, model) for k, v in kwargs.items()}) for i in range(len(model))]
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


def _shown(t: Any) -> str:
    if isinstance(t, NestedTensor) and t._layout is formats.jagged:
        return f"({', '.join(map(str, t.size()))})"
    return str(t.shape) if not isinstance(t, NestedTensor) else str([list(p.shape) for p in t.parts])


def _check_same(name: str, a: NestedTensor, b: NestedTensor) -> None:
    if a._layout is formats.jagged and b._layout is formats.jagged:
        inner = lambda t: [s for d, s in enumerate(t.size()) if d != t._ragged]
        sizes = list(zip(inner(a), inner(b)))
        if a._symbol is not b._symbol and a._lengths != b._lengths or a._symbol is not b._symbol or any(m != n and 1 not in (m, n) for m, n in sizes):
            raise RuntimeError(f"cannot call binary pointwise function {name}.Tensor with inputs of shapes {_shown(a)} and {_shown(b)}: their ragged sizes are not one and "
                               "the same; make one with the other's offsets (torch.nested.nested_tensor_from_jagged)")
    elif len(a) != len(b) or any(p.shape != q.shape for p, q in zip(a.parts, b.parts)):
        raise RuntimeError(f"{name} does not support broadcasting when given a NestedTensor; the sizes are {_shown(a)} and {_shown(b)}")


def _check_dense(name: str, a: NestedTensor, d: Any) -> None:
    if a._layout is not formats.jagged:
        if name in ("eq", "ne", "lt", "le", "gt", "ge"):
            raise RuntimeError(f"{name} does not support nested tensor as other value.")
        raise RuntimeError("Expected both self and other to be nested, but got a nested self and non-nested other")
    whole = a.dim()
    if d.dim() > whole or d.dim() == whole and (d.shape[0] not in (1, len(a)) or d.shape[a._ragged] != 1) or \
            whole > d.dim() > whole - 1 - (a._ragged - 1) - 1 and d.dim() == whole - 1 and a._ragged == 1 and d.shape[0] != 1:
        raise RuntimeError(f"cannot call binary pointwise function {name}.Tensor with inputs of shapes {_shown(a)} and {_shown(d)}")


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
    def write(input: NestedTensor, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Any:  # noqa: A002
        at = inner(input, input.dim() - 1 if dim is None else dim, "Cannot apply softmax across nested dimension 0" if input._layout is not formats.jagged else
                   f"{name}(): not supported when reducing across the batch dimension for NestedTensor")
        if at >= 1 and input.packed is not None:
            return input.like(packed=getattr(input.packed, name)(at, dtype=dtype))
        return by_parts(input, lambda p: getattr(p, name)(at, dtype=dtype))
    TABLE[name] = write


_softmax("softmax")
_softmax("log_softmax")


# --- shapes -------------------------------------------------------------------------------------------------------
@entry("unbind")
def unbind(input: NestedTensor, dim: int = 0) -> Any:  # noqa: A002
    if dim % input.dim():
        if input._layout is formats.jagged:
            raise RuntimeError("unbind(): only supported for NestedTensor on dim=0")
        raise RuntimeError(f"NestedTensor can only be unbound along dimension 0 got dimension {dim} instead.")
    return input.parts


@entry("select")
def select(input: NestedTensor, dim: int, index: int) -> Any:  # noqa: A002
    if dim % input.dim() == 0:
        n = len(input)
        if not -n <= index < n:
            raise IndexError(f"index {index} is out of bounds for dimension 0 with size {n}")
        return input.parts[index]
    at = inner(input, dim, "")
    if at == input._ragged - 1 and input._symbol is not None:
        raise RuntimeError("select(): not supported for NestedTensor on the ragged dimension")
    return by_parts(input, lambda p: p.select(at, index), input._ragged - (at < input._ragged - 1))


@entry("__getitem__")
def getitem(input: NestedTensor, index: Any) -> Any:  # noqa: A002
    entries = index if isinstance(index, tuple) else (index,)
    if entries[0] is ...:
        entries = (*[slice(None)] * (input.dim() - len(entries) + 1), *entries[1:])
    first, rest = entries[0], entries[1:]
    if isinstance(first, int):
        part = select(input, 0, first)
        return part[rest] if rest else part
    if first != slice(None):
        raise RuntimeError("slice(): not supported for NestedTensor on dim=0; use unbind()")
    if rest and input._symbol is not None and rest[0] != slice(None) and input._ragged == 1:
        raise RuntimeError("slice(): not supported for NestedTensor on the ragged dimension")
    return by_parts(input, lambda p: p[rest]) if rest else input


@entry("transpose", "swapaxes", "swapdims")
def transpose(input: NestedTensor, dim0: int, dim1: int) -> Any:  # noqa: A002
    if input._layout is formats.jagged and 0 in (dim0 % input.dim(), dim1 % input.dim()):
        raise ValueError("Transpose is not supported on the batch dimension for jagged NT")
    a, b = (inner(input, d, "Nested tensor dimension 0 cannot be transposed") for d in (dim0, dim1))
    at = {a: b, b: a}.get(input._ragged - 1, input._ragged - 1)
    return by_parts(input, lambda p: p.transpose(a, b), at + 1)


@entry("permute")
def permute(input: NestedTensor, *args: Any, dims: Any = None) -> Any:  # noqa: A002
    order = list(args[0]) if args and isinstance(args[0], (tuple, list)) else list(args) or list(dims)
    order = [d % input.dim() for d in order]
    if order[0] != 0:
        raise ValueError("Permute is not supported on the batch dimension for jagged NT")
    return by_parts(input, lambda p: p.permute([d - 1 for d in order[1:]]), order.index(input._ragged))


@entry("view", "reshape")
def reshape(input: NestedTensor, *shape: Any) -> Any:  # noqa: A002
    from rushlight.nested.tensor import RaggedSize
    sizes = list(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else list(shape)
    if not sizes or sizes[0] not in (len(input), -1) or isinstance(sizes[0], RaggedSize):
        raise RuntimeError(f"view(): the batch of a nested tensor must stay {len(input)}, got {sizes[:1]}")
    given = [n for n in sizes[1:]]
    ragged = next((i for i, n in enumerate(given) if isinstance(n, RaggedSize) or n == -1), None)
    if ragged is None:
        raise RuntimeError("view(): one size must be -1 or the ragged size")
    if input._symbol is not None:  # -1 stands for the ragged size: it stays where it is
        before = [n for d, n in enumerate(input.size()) if d and d < input._ragged]
        ragged = next((i for i, n in enumerate(given) if n is input._symbol or n == -1), ragged)
        lengths = input._lengths
        assert before is not None
        return input.like([p.reshape([n if i != ragged else m for i, n in enumerate(given)]) for p, m in zip(input.parts, lengths)], ragged=ragged + 1)
    if input.dim() > 1 and given[ragged] == -1 and len({tuple(p.shape[1:]) for p in input.parts}) == 1 and ragged == 0:
        return input.like([p.reshape([p.shape[0], *given[1:]]) for p in input.parts])
    return input.like([p.reshape([n for n in given]) for p in input.parts])


@entry("unflatten")
def unflatten(input: NestedTensor, dim: int, sizes: Any) -> Any:  # noqa: A002
    at = inner(input, dim, "unflatten(): not supported for NestedTensor on dim=0")
    return by_parts(input, lambda p: p.unflatten(at, sizes))


@entry("flatten")
def flatten(input: NestedTensor, start_dim: int = 0, end_dim: int = -1) -> Any:  # noqa: A002
    a, b = inner(input, start_dim, "flatten(): not supported for NestedTensor on dim=0"), inner(input, end_dim, "flatten(): not supported for NestedTensor on dim=0")
    if a <= input._ragged - 1 <= b and input._symbol is not None:
        raise RuntimeError("flatten(): not supported for NestedTensor over the ragged dimension")
    return by_parts(input, lambda p: p.flatten(a, b))


@entry("unsqueeze")
def unsqueeze(input: NestedTensor, dim: int) -> Any:  # noqa: A002
    at = dim % (input.dim() + 1)
    if at == 0:
        raise RuntimeError("unsqueeze(): For nested tensors, unsqueezing dimension 0 is not supported at the moment if you need this feature please open an issue on github "
                           "describing your use case.")
    return by_parts(input, lambda p: p.unsqueeze(at - 1), input._ragged + (at <= input._ragged))


@entry("squeeze")
def squeeze(input: NestedTensor, dim: Any = None) -> Any:  # noqa: A002
    if dim is None:
        raise RuntimeError("squeeze(): For nested tensors, squeeze without the dim argument is not supported at the moment, however you can use squeeze(Tensor self, int dim) instead")
    at = inner(input, dim, "For nested tensors, squeezing dimension 0 is not supported at the moment")
    return by_parts(input, lambda p: p.squeeze(at), input._ragged - (at < input._ragged - 1))


def _cuts(name: str) -> None:
    def write(input: NestedTensor, size: Any, dim: int = 0) -> Any:  # noqa: A002
        if input._layout is not formats.jagged and dim % input.dim() != input.dim() - 1:
            raise RuntimeError(f"{name.capitalize()} for nested tensors is currently only supported for the last dimension.")
        at = inner(input, dim, f"{name}(): not supported for NestedTensor on dim=0; use unbind()")
        if at == input._ragged - 1:
            raise RuntimeError(f"{name}(): not supported for NestedTensor on the ragged dimension")
        rows = [getattr(p, name)(size, at) for p in input.parts]
        return tuple(input.like(list(column), ragged=input._ragged) for column in zip(*rows))
    TABLE[name] = write


_cuts("chunk")
_cuts("split")
TABLE["split_with_sizes"] = TABLE["split"]


@entry("narrow")
def narrow(input: NestedTensor, dim: int, start: int, length: int) -> Any:  # noqa: A002
    at = inner(input, dim, "narrow(): not supported for NestedTensor on dim=0")
    return by_parts(input, lambda p: p.narrow(at, start, length))


@entry("cat", "concat", "concatenate")
def cat(tensors: Any, dim: int = 0) -> Any:
    from rushlight.tensor.functions.shape import cat as join
    model = next(nested_in(tensors))
    if any(not isinstance(t, NestedTensor) for t in tensors):
        raise RuntimeError("expected each tensor in given list to be nested")
    if dim % model.dim() == 0:
        if model._layout is formats.jagged:
            raise RuntimeError("cat(): not supported for NestedTensor on dim=0")
        return NestedTensor.of([p for t in tensors for p in t.parts], model._layout)
    at = inner(model, dim, "")
    return model.like([join(list(column), at) for column in zip(*(t.parts for t in tensors))], ragged=model._ragged)


# --- products -----------------------------------------------------------------------------------------------------
@entry("matmul", "bmm", "mm")
def matmul(input: Any, other: Any) -> Any:  # noqa: A002
    if isinstance(input, NestedTensor) and isinstance(other, NestedTensor):
        if len(input) != len(other):
            raise RuntimeError(f"matmul: Expected size for the 1st dimension of 2nd input tensor to be: {len(input)} but got: {len(other)}.")
        outs = [p @ q for p, q in zip(input.parts, other.parts)]
        free = [d for d in range(1, input.dim()) if len({o.shape[d - 1] for o in outs}) > 1]
        if input._layout is formats.jagged and len(free) > 1:
            raise RuntimeError(f"matmul(): not supported between inputs of shapes {_shown(input)} and {_shown(other)}")
        return NestedTensor.of(outs, input._layout, ragged=free[0] if free else 1)
    if not isinstance(input, NestedTensor) or input._layout is not formats.jagged:
        which = ("self", "other") if isinstance(input, NestedTensor) else ("other", "self")
        raise RuntimeError(f"Expected both to be nested, but got a nested {which[0]} and non-nested {which[1]}")
    if other.dim() > 2:
        return by_parts_with(input, other)
    return rowwise(lambda p, w: p @ w, "matmul", (input, other), {})


def by_parts_with(input: NestedTensor, other: Any) -> Any:  # noqa: A002
    """Each part times its matrix of a dense batch."""
    if other.shape[0] != len(input):
        raise RuntimeError(f"matmul(): not supported between inputs of shapes {_shown(input)} and {_shown(other)}")
    return input.like([p @ other[i] for i, p in enumerate(input.parts)], ragged=input._ragged)


@entry("scaled_dot_product_attention")
def attention(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False, scale: Any = None,
              enable_gqa: bool = False) -> Any:
    import rushlight.nn.functional as F
    if not all(isinstance(t, NestedTensor) for t in (query, key, value)):
        raise ValueError("scaled_dot_product_attention(): expected query, key, and value to all be nested tensors")
    if attn_mask is not None:
        raise RuntimeError("scaled_dot_product_attention(): a mask is not supported for nested tensors; their sizes say what belongs together")
    outs = [F.scaled_dot_product_attention(q[None], k[None], v[None], None, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)[0]
            for q, k, v in zip(query.parts, key.parts, value.parts)]
    return query.like(outs, ragged=query._ragged)


# --- reductions ---------------------------------------------------------------------------------------------------
def _reduction(name: str) -> None:
    def write(input: NestedTensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:  # noqa: A002
        options = {} if dtype is None else {"dtype": dtype}
        if dim is None:
            from rushlight.tensor.functions.shape import cat as join
            return getattr(join([p.reshape(-1) for p in input.parts]), name)(**options)
        dims = list(dim) if isinstance(dim, (tuple, list)) else [dim]
        if input._layout is not formats.jagged:
            if [d % input.dim() for d in dims] != [input.dim() - 1]:
                raise RuntimeError(f"NestedTensor can only be reduced across the last dimension for now got dimension {dims[0]} instead.")
            if not keepdim:
                raise RuntimeError("NestedTensor always requires keepdim=True for now.")
        at = [inner(input, d, f"{name}(): not supported across the batch dimension for NestedTensor") for d in dims]
        outs = [getattr(p, name)(at, keepdim=keepdim, **options) for p in input.parts]
        if input._symbol is not None and input._ragged - 1 in at:  # nothing ragged is left
            from rushlight.tensor.functions.shape import stack
            return stack(outs)
        return input.like(outs, ragged=input._ragged - (0 if keepdim else sum(a < input._ragged - 1 for a in at)))
    TABLE[name] = write


for _n in ("sum", "mean", "amax", "amin"):
    _reduction(_n)


def _extreme(name: str) -> None:
    def write(input: NestedTensor) -> Any:  # noqa: A002
        return TABLE[f"a{name}"](input)
    TABLE[name] = write


_extreme("max")
_extreme("min")


# --- to and from dense --------------------------------------------------------------------------------------------
@entry("to_padded_tensor")
def to_padded_tensor(input: NestedTensor, padding: float, output_size: Any = None) -> Any:  # noqa: A002
    import rushlight.nn.functional as F
    from rushlight.tensor.functions.shape import stack
    if not len(input):
        raise RuntimeError("to_padded_tensor: at least one constituent tensor should have non-zero numel")
    rank = input.dim() - 1
    sizes = [max(p.shape[d] for p in input.parts) for d in range(rank)]
    if output_size is not None:
        if len(output_size) != rank + 1:
            raise RuntimeError(f"to_padded_tensor: output_size has {len(output_size)} dimensions and the nested tensor {rank + 1}")
        wanted = list(output_size[1:])
        if input._layout is not formats.jagged and any(w < s for w, s in zip(wanted, sizes)):
            raise RuntimeError("Value in output_size is less than NestedTensor padded size. Truncation is not supported.")
        sizes = wanted
    rows = []
    for p in input.parts:
        pads = [w for d in range(rank - 1, -1, -1) for w in (0, sizes[d] - p.shape[d])]
        rows.append(F.pad(p, pads, value=padding) if any(pads) else p)
    return stack(rows)


@entry("item")
def item(input: NestedTensor) -> Any:  # noqa: A002
    if input.numel() != 1:
        raise RuntimeError(f"a Tensor with {input.numel()} elements cannot be converted to Scalar")
    return input.values().item()


@entry("numpy", "tolist", "__array__")
def outside(input: NestedTensor, *_: Any, **__: Any) -> Any:  # noqa: A002
    raise RuntimeError(".numpy() and .tolist() are not supported for nested tensors; use unbind() or to_padded_tensor() first")
