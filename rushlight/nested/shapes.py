"""Shapes of nested tensors: parts, views, pieces, joins, and the way to dense tensors."""

from __future__ import annotations

from typing import Any

from rushlight.nested.operations import TABLE, by_parts, entry, inner, nested_in
from rushlight.nested.tensor import NestedTensor
from rushlight.tensor import formats


@entry("unbind")
def unbind(input: NestedTensor, dim: int = 0) -> Any:
    if dim % input.dim():
        if input._layout is formats.jagged:
            raise RuntimeError("unbind(): only supported for NestedTensor on dim=0")
        raise RuntimeError(f"NestedTensor can only be unbound along dimension 0 got dimension {dim} instead.")
    return input.parts


@entry("select")
def select(input: NestedTensor, dim: int, index: int) -> Any:
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
def getitem(input: NestedTensor, index: Any) -> Any:
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
def transpose(input: NestedTensor, dim0: int, dim1: int) -> Any:
    if input._layout is formats.jagged and 0 in (dim0 % input.dim(), dim1 % input.dim()):
        raise ValueError("Transpose is not supported on the batch dimension for jagged NT")
    a, b = (inner(input, d, "Nested tensor dimension 0 cannot be transposed") for d in (dim0, dim1))
    at = {a: b, b: a}.get(input._ragged - 1, input._ragged - 1)
    return by_parts(input, lambda p: p.transpose(a, b), at + 1)


@entry("permute")
def permute(input: NestedTensor, *args: Any, dims: Any = None) -> Any:
    order = list(args[0]) if args and isinstance(args[0], (tuple, list)) else list(args) or list(dims)
    order = [d % input.dim() for d in order]
    if order[0] != 0:
        raise ValueError("Permute is not supported on the batch dimension for jagged NT")
    return by_parts(input, lambda p: p.permute([d - 1 for d in order[1:]]), order.index(input._ragged))


@entry("view", "reshape")
def reshape(input: NestedTensor, *shape: Any) -> Any:
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
        return input.like(
            [p.reshape([n if i != ragged else m for i, n in enumerate(given)]) for p, m in zip(input.parts, lengths)],
            ragged=ragged + 1,
        )
    if input.dim() > 1 and given[ragged] == -1 and len({tuple(p.shape[1:]) for p in input.parts}) == 1 and ragged == 0:
        return input.like([p.reshape([p.shape[0], *given[1:]]) for p in input.parts])
    return input.like([p.reshape([n for n in given]) for p in input.parts])


@entry("unflatten")
def unflatten(input: NestedTensor, dim: int, sizes: Any) -> Any:
    at = inner(input, dim, "unflatten(): not supported for NestedTensor on dim=0")
    return by_parts(input, lambda p: p.unflatten(at, sizes))


@entry("flatten")
def flatten(input: NestedTensor, start_dim: int = 0, end_dim: int = -1) -> Any:
    a, b = (
        inner(input, start_dim, "flatten(): not supported for NestedTensor on dim=0"),
        inner(input, end_dim, "flatten(): not supported for NestedTensor on dim=0"),
    )
    if a <= input._ragged - 1 <= b and input._symbol is not None:
        raise RuntimeError("flatten(): not supported for NestedTensor over the ragged dimension")
    return by_parts(input, lambda p: p.flatten(a, b))


@entry("unsqueeze")
def unsqueeze(input: NestedTensor, dim: int) -> Any:
    at = dim % (input.dim() + 1)
    if at == 0:
        raise RuntimeError(
            "unsqueeze(): For nested tensors, unsqueezing dimension 0 is not supported at the moment if you need this "
            "feature please open an issue on github "
            "describing your use case."
        )
    return by_parts(input, lambda p: p.unsqueeze(at - 1), input._ragged + (at <= input._ragged))


@entry("squeeze")
def squeeze(input: NestedTensor, dim: Any = None) -> Any:
    if dim is None:
        raise RuntimeError(
            "squeeze(): For nested tensors, squeeze without the dim argument is not supported at the moment, however "
            "you can use squeeze(Tensor self, int dim) instead"
        )
    at = inner(input, dim, "For nested tensors, squeezing dimension 0 is not supported at the moment")
    return by_parts(input, lambda p: p.squeeze(at), input._ragged - (at < input._ragged - 1))


def _cuts(name: str) -> None:
    def write(input: NestedTensor, size: Any, dim: int = 0) -> Any:
        if input._layout is not formats.jagged and dim % input.dim() != input.dim() - 1:
            raise RuntimeError(
                f"{name.capitalize()} for nested tensors is currently only supported for the last dimension."
            )
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
def narrow(input: NestedTensor, dim: int, start: int, length: int) -> Any:
    at = inner(input, dim, "narrow(): not supported for NestedTensor on dim=0")
    return by_parts(input, lambda p: p.narrow(at, start, length))


@entry("cat", "concat", "concatenate")
def cat(tensors: Any, dim: int = 0) -> Any:
    from rushlight.tensor.functions.joining import cat as join

    model = next(nested_in(tensors))
    if any(not isinstance(t, NestedTensor) for t in tensors):
        raise RuntimeError("expected each tensor in given list to be nested")
    if dim % model.dim() == 0:
        if model._layout is formats.jagged:
            raise RuntimeError("cat(): not supported for NestedTensor on dim=0")
        return NestedTensor.of([p for t in tensors for p in t.parts], model._layout)
    at = inner(model, dim, "")
    return model.like([join(list(column), at) for column in zip(*(t.parts for t in tensors))], ragged=model._ragged)


@entry("to_padded_tensor")
def to_padded_tensor(input: NestedTensor, padding: float, output_size: Any = None) -> Any:
    import rushlight.nn.functional as F
    from rushlight.tensor.functions.joining import stack

    if not len(input):
        raise RuntimeError("to_padded_tensor: at least one constituent tensor should have non-zero numel")
    rank = input.dim() - 1
    sizes = [max(p.shape[d] for p in input.parts) for d in range(rank)]
    if output_size is not None:
        if len(output_size) != rank + 1:
            raise RuntimeError(
                f"to_padded_tensor: output_size has {len(output_size)} dimensions and the nested tensor {rank + 1}"
            )
        wanted = list(output_size[1:])
        if input._layout is not formats.jagged and any(w < s for w, s in zip(wanted, sizes)):
            raise RuntimeError(
                "Value in output_size is less than NestedTensor padded size. Truncation is not supported."
            )
        sizes = wanted
    rows = []
    for p in input.parts:
        pads = [w for d in range(rank - 1, -1, -1) for w in (0, sizes[d] - p.shape[d])]
        rows.append(F.pad(p, pads, value=padding) if any(pads) else p)
    return stack(rows)


@entry("item")
def item(input: NestedTensor) -> Any:
    if input.numel() != 1:
        raise RuntimeError(f"a Tensor with {input.numel()} elements cannot be converted to Scalar")
    return input.values().item()


@entry("numpy", "tolist", "__array__")
def outside(input: NestedTensor, *_: Any, **__: Any) -> Any:
    raise RuntimeError(
        ".numpy() and .tolist() are not supported for nested tensors; use unbind() or to_padded_tensor() first"
    )
