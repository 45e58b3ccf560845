"""Rules of shapes: views, joins, repeats, casts."""

from __future__ import annotations

from math import prod
from typing import Any

from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType
from rushlight.onnx.builder import Builder, Value
from rushlight.onnx.rules import NoRule, rule


def spread(args: tuple[Any, ...], named: Any = None) -> list[Any]:
    """Sizes given as several arguments or as one sequence."""
    if named is not None:
        return list(named) if isinstance(named, (tuple, list)) else [named]
    return list(args[0]) if len(args) == 1 and isinstance(args[0], (tuple, list)) else list(args)


@rule("view", "reshape", "_unsafe_view")
def reshape(g: Builder, input: Value, *shape: Any, dtype: Any = None, size: Any = None) -> Any:
    if len(shape) == 1 and isinstance(shape[0], DType):
        raise NoRule("views of another dtype have no rule")
    return g.reshape(input, spread(shape, size))


@rule("view_as", "reshape_as")
def view_as(g: Builder, input: Value, other: Value) -> Any:
    return g.reshape(input, [g.size(other, d) for d in range(other.rank)])


@rule("flatten", "ravel")
def flatten(g: Builder, input: Value, start_dim: int = 0, end_dim: int = -1) -> Any:
    if input.rank == 0:
        return g.reshape(input, [1])
    first, last = input.at(start_dim), input.at(end_dim)
    inner = input.shape[first : last + 1]
    middle: Any = -1 if None in inner else prod(inner)
    outer = [g.size(input, d) for d in (*range(first), *range(last + 1, input.rank))]
    if sum(isinstance(n, Value) for n in outer) == 1 and middle != -1:
        outer = [-1 if isinstance(n, Value) else n for n in outer]
    return g.reshape(input, [*outer[:first], middle, *outer[first:]])


@rule("unflatten")
def unflatten(g: Builder, input: Value, dim: int, sizes: Any) -> Any:
    dim = input.at(dim)
    return g.reshape(
        input,
        [*(g.size(input, d) for d in range(dim)), *sizes, *(g.size(input, d) for d in range(dim + 1, input.rank))],
    )


@rule("squeeze")
def squeeze(g: Builder, input: Value, dim: Any = None) -> Any:
    dims = range(input.rank) if dim is None else dim if isinstance(dim, (tuple, list)) else [dim]
    return g.squeeze(input, [d for d in dims if input.rank and input.shape[d] == 1])


@rule("unsqueeze")
def unsqueeze(g: Builder, input: Value, dim: int) -> Any:
    return g.unsqueeze(input, [dim])


@rule("transpose", "swapaxes", "swapdims")
def transpose(g: Builder, input: Value, dim0: int, dim1: int) -> Any:
    return g.swap(input, dim0, dim1) if input.rank else input


@rule("t", "T", "numpy_T")
def t(g: Builder, input: Value) -> Any:
    return g.transpose(input, range(input.rank)[::-1])


@rule("mT", "adjoint", "H", "mH")
def matrix_transposed(g: Builder, input: Value) -> Any:
    return g.swap(input)


@rule("permute")
def permute(g: Builder, input: Value, *args: Any, dims: Any = None) -> Any:
    return g.transpose(input, spread(args, dims))


@rule("movedim", "moveaxis")
def movedim(g: Builder, input: Value, source: Any, destination: Any) -> Any:
    come, go = ([input.at(d) for d in (x if isinstance(x, (tuple, list)) else [x])] for x in (source, destination))
    rest = iter([d for d in range(input.rank) if d not in come])
    at = dict(zip(go, come))
    return g.transpose(input, [at[d] if d in at else next(rest) for d in range(input.rank)])


def expand_to(g: Builder, x: Value, shape: list[Any]) -> Value:
    """x broadcast to a shape."""
    if not any(isinstance(n, Value) for n in shape) and tuple(shape) == tuple(x.shape):
        return x
    return g.op(
        "Expand", x, g.vector(shape), dtype=x.dtype, shape=tuple([None if isinstance(n, Value) else n for n in shape])
    )


@rule("expand", "broadcast_to")
def expand(g: Builder, input: Value, *args: Any, size: Any = None, implicit: bool = False) -> Any:
    sizes = spread(args, size)
    lead = len(sizes) - input.rank
    return expand_to(
        g, input, [g.size(input, d - lead) if not isinstance(n, Value) and n == -1 else n for d, n in enumerate(sizes)]
    )


@rule("expand_as")
def expand_as(g: Builder, input: Value, other: Value) -> Any:
    return expand_to(g, input, [g.size(other, d) for d in range(other.rank)])


@rule("repeat", "tile")
def repeat(g: Builder, input: Value, *args: Any, repeats: Any = None, dims: Any = None) -> Any:
    times = spread(args, repeats if dims is None else dims)
    times = [1] * (input.rank - len(times)) + times
    x = g.unsqueeze(input, range(len(times) - input.rank)) if len(times) > input.rank else input
    return g.op("Tile", x, g.vector(times))


@rule("repeat_interleave")
def repeat_interleave(
    g: Builder, input: Value, repeats: Any, dim: int | None = None, *, output_size: Any = None
) -> Any:
    if isinstance(repeats, Value):
        raise NoRule("repeat_interleave has a rule for a number of repeats only")
    x = g.reshape(input, [-1]) if dim is None else input
    dim = 0 if dim is None else x.at(dim)
    sizes = [g.size(x, d) for d in range(x.rank)]
    wide = expand_to(g, g.unsqueeze(x, [dim + 1]), [*sizes[: dim + 1], repeats, *sizes[dim + 1 :]])
    n = sizes[dim]
    return g.reshape(wide, [*sizes[:dim], n * repeats, *sizes[dim + 1 :]])


@rule("cat", "concat", "concatenate")
def cat(g: Builder, tensors: Any, dim: int = 0, *, axis: int | None = None) -> Any:
    dtype = g.outs[0].dtype
    parts = [x.cast(dtype) for x in tensors if x.shape != (0,) or len(g.outs[0].shape) == 1]
    return g.concat(parts, dim if axis is None else axis)


@rule("stack")
def stack(g: Builder, tensors: Any, dim: int = 0) -> Any:
    dtype = g.outs[0].dtype
    dim = dim % (tensors[0].rank + 1)
    return g.concat([g.unsqueeze(x.cast(dtype), [dim]) for x in tensors], dim)


@rule("hstack")
def hstack(g: Builder, tensors: Any) -> Any:
    return cat(g, tensors, 0 if tensors[0].rank <= 1 else 1)


@rule("vstack")
def vstack(g: Builder, tensors: Any) -> Any:
    return cat(g, [g.unsqueeze(x, [0]) if x.rank == 1 else x for x in tensors], 0)


def _pieces(g: Builder, x: Value, dim: int, sizes: list[int]) -> list[Value]:
    return g.split(x, dim, sizes)


def _known_size(x: Value, dim: int) -> int:
    n = x.shape[x.at(dim)]
    if n is None:
        raise NoRule("the number of parts depends on a dynamic size")
    return int(n)


@rule("split", "split_with_sizes", "unsafe_split")
def split(g: Builder, input: Value, split_size_or_sections: Any, dim: int = 0) -> Any:
    if isinstance(split_size_or_sections, (tuple, list)):
        return g.split(input, dim, split_size_or_sections)
    n, step = _known_size(input, dim), split_size_or_sections
    return g.split(input, dim, [min(step, n - i) for i in range(0, n, step)])


@rule("chunk", "unsafe_chunk")
def chunk(g: Builder, input: Value, chunks: int, dim: int = 0) -> Any:
    return split(g, input, -(-_known_size(input, dim) // chunks), dim)


@rule("tensor_split")
def tensor_split(
    g: Builder, input: Value, indices_or_sections: Any = None, dim: int = 0, *, indices: Any = None,
    sections: Any = None
) -> Any:
    n = _known_size(input, dim)
    indices_or_sections = next(v for v in (indices_or_sections, indices, sections) if v is not None)
    if isinstance(indices_or_sections, (tuple, list)):
        ends = [0, *indices_or_sections, n]
        return g.split(input, dim, [b - a for a, b in zip(ends, ends[1:])])
    k = indices_or_sections
    return g.split(input, dim, [n // k + (i < n % k) for i in range(k)])


@rule("unbind")
def unbind(g: Builder, input: Value, dim: int = 0) -> Any:
    return [g.squeeze(p, [dim]) for p in g.split(input, dim, [1] * _known_size(input, dim))]


# --- dtypes -------------------------------------------------------------------------------------------------------
@rule(
    "to",
    "type",
    "type_as",
    "float",
    "double",
    "half",
    "bfloat16",
    "int",
    "long",
    "short",
    "char",
    "byte",
    "bool",
    "_to_copy",
)
def to(g: Builder, input: Value, *_: Any, **__: Any) -> Any:
    return input.cast(g.outs[0].dtype)


@rule("item")
def item(g: Builder, input: Value) -> Any:
    return g.reshape(input, [])


@rule("size")
def size(g: Builder, input: Value, dim: int) -> Any:
    return g.const(g.size(input, dim))


@rule("numel")
def numel(g: Builder, input: Value) -> Any:
    return g.op("Size", input)


@rule("sym_ceil")
def ceil(g: Builder, input: Value) -> Any:
    return g.op("Ceil", input, dtype=input.dtype).cast(dtypes.int64)


@rule("sym_floor", "sym_trunc")
def floor(g: Builder, input: Value) -> Any:
    return g.op("Floor", input, dtype=input.dtype).cast(dtypes.int64)


# --- order of elements --------------------------------------------------------------------------------------------
@rule("flip")
def flip(g: Builder, input: Value, *args: Any, dims: Any = None) -> Any:
    dims = [input.at(d) for d in spread(args, dims)]
    lowest = -(1 << 63)
    return g.op("Slice", input, [-1] * len(dims), [lowest + 1] * len(dims), dims, [-1] * len(dims))


@rule("roll")
def roll(g: Builder, input: Value, shifts: Any, dims: Any = None) -> Any:
    many = lambda v: list(v) if isinstance(v, (tuple, list)) else [v]
    if dims is None or dims == ():
        flat = roll(g, g.reshape(input, [-1]), shifts, 0)
        return g.reshape(flat, [g.size(input, d) for d in range(input.rank)])
    x = input
    for shift, dim in zip(many(shifts), many(dims)):
        dim = x.at(dim)
        n = x.shape[dim]
        cut = -shift if n is None else n - shift % n
        if n is None and shift == 0 or n is not None and shift % n == 0:
            continue
        whole = x.shape
        x = g.concat([g.slice(x, dim, cut, 1 << 62), g.slice(x, dim, 0, cut)], dim)
        x.shape = whole
    return x


@rule("pixel_shuffle")
def pixel_shuffle(g: Builder, input: Value, upscale_factor: int) -> Any:
    return g.op("DepthToSpace", input, blocksize=upscale_factor, mode="CRD")


@rule("pixel_unshuffle")
def pixel_unshuffle(g: Builder, input: Value, downscale_factor: int) -> Any:
    r = downscale_factor
    n, c, h, w = (g.size(input, d) for d in range(4))
    if any(isinstance(v, Value) for v in (c, h, w)):
        raise NoRule("pixel_unshuffle needs known sizes of the image")
    parts = g.transpose(g.reshape(input, [n, c, h // r, r, w // r, r]), [0, 1, 3, 5, 2, 4])
    return g.reshape(parts, [n, c * r * r, h // r, w // r])


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(g: Builder, input: Value, groups: int) -> Any:
    n, c, *rest = (g.size(input, d) for d in range(input.rank))
    parts = g.swap(g.reshape(input, [n, groups, c // groups, *rest]), 1, 2)
    return g.reshape(parts, [n, c, *rest])


@rule("meshgrid")
def meshgrid(g: Builder, *tensors: Any, indexing: str | None = None) -> Any:
    xs = spread(tensors)
    if indexing == "xy" and len(xs) > 1:
        outs = meshgrid(g, *xs)
        return [g.swap(o, 0, 1) for o in outs]
    sizes = [g.size(x, 0) for x in xs]
    return [expand_to(g, g.reshape(x, [1] * i + [-1] + [1] * (len(xs) - 1 - i)), sizes) for i, x in enumerate(xs)]


@rule("tril", "triu")
def triangle(g: Builder, input: Value, diagonal: int = 0) -> Any:
    return g.op("Trilu", input, g.const(diagonal), upper=int(g.label.startswith("triu")))


@rule("diagonal")
def diagonal(g: Builder, input: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    a, b = input.at(dim1), input.at(dim2)
    n, m = _known_size(input, a), _known_size(input, b)
    rows = [i for i in range(n) if 0 <= i + offset < m]
    rest = [d for d in range(input.rank) if d not in (a, b)]
    x = g.transpose(input, [a, b, *rest])
    picked = g.op(
        "GatherND",
        x,
        [[i, i + offset] for i in rows],
        dtype=input.dtype,
        shape=(len(rows), *(input.shape[d] for d in rest)),
    )
    return g.transpose(picked, [*range(1, picked.rank), 0])
