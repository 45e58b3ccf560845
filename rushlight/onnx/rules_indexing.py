"""Rules of indexing, in NumPy's manner and by functions."""

from __future__ import annotations

from typing import Any

from rushlight.ir import dtype as dtypes
from rushlight.onnx.builder import Builder, Value
from rushlight.onnx.rules import NoRule, rule
from rushlight.onnx.rules_shape import expand_to

END = (1 << 63) - 1


@rule("select")
def select(g: Builder, input: Value, dim: int, index: Any) -> Any:
    return g.op(
        "Gather",
        input,
        g.const(index),
        axis=input.at(dim),
        dtype=input.dtype,
        shape=(*input.shape[: input.at(dim)], *input.shape[input.at(dim) + 1 :]),
    )


@rule("narrow")
def narrow(g: Builder, input: Value, dim: int, start: Any, length: Any) -> Any:
    stop = length + start if isinstance(length, Value) else start + length
    return g.slice(input, dim, start, stop)


@rule("index_select")
def index_select(g: Builder, input: Value, dim: int, index: Value) -> Any:
    return g.op("Gather", input, index, axis=input.at(dim))


@rule("gather")
def gather(g: Builder, input: Value, dim: int, index: Value, *, sparse_grad: bool = False) -> Any:
    return g.op("GatherElements", input, index, axis=input.at(dim))


@rule("take")
def take(g: Builder, input: Value, index: Value) -> Any:
    return g.op("Gather", g.reshape(input, [-1]), index, axis=0)


@rule("take_along_dim")
def take_along_dim(g: Builder, input: Value, indices: Value, dim: int | None = None) -> Any:
    if dim is None:
        return g.op("GatherElements", g.reshape(input, [-1]), g.reshape(indices, [-1]), axis=0)
    if any(a != b for d, (a, b) in enumerate(zip(input.shape, indices.shape)) if d != input.at(dim)):
        raise NoRule("take_along_dim has no rule where operands are broadcast")
    return g.op("GatherElements", input, indices, axis=input.at(dim))


@rule("scatter")
def scatter(
    g: Builder, input: Value, dim: int, index: Value, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Any:
    src = value if src is None else src
    if not isinstance(src, Value) or src.rank == 0:
        src = expand_to(g, g.const(src, input.dtype), [g.size(index, d) for d in range(index.rank)])
    kinds = {None: None, "add": "add", "multiply": "mul"}
    return g.op("ScatterElements", input, index, _cut(g, src, index), axis=input.at(dim), reduction=kinds[reduce])


def _cut(g: Builder, src: Value, index: Value) -> Value:
    """The part of src that an index of a smaller shape reads."""
    for d in range(index.rank):
        if src.shape[d] != index.shape[d] and index.shape[d] is not None:
            src = g.slice(src, d, 0, index.shape[d])
    return src


@rule("scatter_add")
def scatter_add(g: Builder, input: Value, dim: int, index: Value, src: Value) -> Any:
    return g.op("ScatterElements", input, index, _cut(g, src, index), axis=input.at(dim), reduction="add")


@rule("masked_fill")
def masked_fill(g: Builder, input: Value, mask: Value, value: Any) -> Any:
    return g.where(mask.cast(dtypes.bool_), value, input, input.dtype)


@rule("masked_select")
def masked_select(g: Builder, input: Value, mask: Value) -> Any:
    from rushlight.onnx.builder import joined

    shape = joined(input.shape, mask.shape)
    if shape != tuple(input.shape) or shape != tuple(mask.shape):
        raise NoRule("masked_select has a rule for a mask of the tensor's shape only")
    return g.op("Compress", g.reshape(input, [-1]), g.reshape(mask, [-1]), axis=0)


@rule("nonzero")
def nonzero(g: Builder, input: Value, *, as_tuple: bool = False) -> Any:
    places = g.op("NonZero", input, dtype=dtypes.int64, shape=(input.rank, None))
    if not as_tuple:
        return g.swap(places)
    return [g.squeeze(p, [0]) for p in g.split(places, 0, [1] * input.rank)]


@rule("embedding")
def embedding(
    g: Builder,
    input: Value,
    weight: Value,
    padding_idx: Any = None,
    max_norm: Any = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    if max_norm is not None:
        raise NoRule("embedding with max_norm changes its weight; it has no rule")
    if weight.dtype.kind != "f":  # torch.embedding takes the weight first
        input, weight = weight, input
    return g.op("Gather", weight, input, axis=0)


@rule("one_hot")
def one_hot(g: Builder, tensor: Value, num_classes: int = -1) -> Any:
    if num_classes < 0:
        raise NoRule("one_hot needs num_classes; without it the shape depends on values")
    return g.op("OneHot", tensor, g.const(num_classes), [0, 1], axis=-1)


# --- x[...] -------------------------------------------------------------------------------------------------------
def _plan(x: Value, index: Any) -> list[Any]:
    """The index as one entry per dimension and new dimension: slices, integers, None, tensors."""
    entries = list(index) if isinstance(index, tuple) else [index]
    taken = sum(
        (e.rank if isinstance(e, Value) and e.dtype is dtypes.bool_ else 1)
        for e in entries if e is not None and e is not ... and not isinstance(e, bool)
    )
    fill = [slice(None)] * (x.rank - taken)
    at = next((i for i, e in enumerate(entries) if e is ...), None)
    return [*entries, *fill] if at is None else [*entries[:at], *fill, *entries[at + 1 :]]


def _basic(g: Builder, x: Value, entries: list[Any]) -> tuple[Value, list[Any]]:
    """Slices and integers applied; what is left of each remaining dimension: None, or an index tensor."""
    starts: list[Any] = []
    stops: list[Any] = []
    axes: list[int] = []
    steps: list[int] = []
    gone: list[int] = []
    rest: list[Any] = []
    shape = list(x.shape)
    dim = 0
    for e in entries:
        if e is None:
            rest.append("new")
            continue
        if isinstance(e, list):
            e = g.const(e)
        if isinstance(e, slice):
            if (e.start, e.stop, e.step) != (None, None, None):
                step = 1 if e.step is None else e.step
                starts.append(0 if e.start is None else e.start)
                stops.append(END if e.stop is None else e.stop)
                axes.append(dim)
                steps.append(step)
                bounds = [v for v in (e.start, e.stop) if isinstance(v, Value)]
                shape[dim] = None if bounds or shape[dim] is None else len(range(*e.indices(shape[dim])))
            rest.append(None)
        elif isinstance(e, Value) and (e.rank > 0 or e.dtype is dtypes.bool_):
            rest.append(e)
            dim += e.rank - 1 if e.dtype is dtypes.bool_ else 0
        elif isinstance(e, (int, Value)) and not isinstance(e, bool):
            stop: Any = e + 1 if isinstance(e, Value) or e != -1 else END
            starts.append(e)
            stops.append(stop)
            axes.append(dim)
            steps.append(1)
            shape[dim] = 1
            gone.append(dim)
        else:
            raise NoRule(f"an index of type {type(e).__name__} has no rule")
        dim += 1
    if len(axes) == 1 and gone and not isinstance(starts[0], Value):
        return select(g, x, axes[0], starts[0]), rest
    if axes:
        x = g.op("Slice", x, g.vector(starts), g.vector(stops), axes, steps, dtype=x.dtype, shape=tuple(shape))
    return g.squeeze(x, gone), rest


@rule("getitem")
def getitem(g: Builder, input: Any, index: Any) -> Any:
    if isinstance(input, (tuple, list)):
        return input[index]
    x, rest = _basic(g, input, _plan(input, index))
    new = [i for i, e in enumerate(rest) if isinstance(e, str)]
    if not any(isinstance(e, Value) for e in rest):
        return g.unsqueeze(x, new) if new else x
    if new:
        raise NoRule("indices that mix None and tensors have no rule")
    return _advanced(g, x, rest)


def _integers(g: Builder, rest: list[Any]) -> list[Any]:
    """Masks as the integers of their true places."""
    out: list[Any] = []
    for e in rest:
        out += nonzero(g, e, as_tuple=True) if isinstance(e, Value) and e.dtype is dtypes.bool_ else [e]
    return out


def _advanced(g: Builder, x: Value, rest: list[Any]) -> Value:
    """x at index tensors: those of one dimension by Gather, several by GatherND."""
    rest = _integers(g, rest)
    at = [d for d, e in enumerate(rest) if e is not None]
    if len(at) == 1:
        d = at[0]
        return g.op(
            "Gather", x, rest[d], axis=d, dtype=x.dtype, shape=(*x.shape[:d], *rest[d].shape, *x.shape[d + 1 :])
        )
    common, ids = _joined_indices(g, x, rest, at)
    others = [d for d in range(x.rank) if d not in at]
    front = g.transpose(x, [*at, *others])
    out = g.op("GatherND", front, ids, dtype=x.dtype, shape=(*common, *(x.shape[d] for d in others)))
    if at != list(range(at[0], at[0] + len(at))) or at[0] == 0:
        return out
    n = len(common)
    return g.transpose(out, [*range(n, n + at[0]), *range(n), *range(n + at[0], out.rank)])


def _joined_indices(g: Builder, x: Value, rest: list[Any], at: list[int]) -> tuple[Any, Value]:
    """The index tensors broadcast and side by side in a last dimension, negative ones counted from the front."""
    from rushlight.onnx.builder import joined

    parts = []
    common: Any = ()
    for d in at:
        common = joined(common, rest[d].shape)
    total: Any = None
    for d in at:
        i = rest[d].cast(dtypes.int64)
        total = i if total is None else total + i
    target = g.op("Shape", total, dtype=dtypes.int64, shape=(len(common),))
    for d in at:
        i = rest[d].cast(dtypes.int64)
        n = g.size(x, d)
        i = g.where(i < 0, i + n, i, dtypes.int64)
        parts.append(g.unsqueeze(g.op("Expand", i, target, dtype=dtypes.int64, shape=common), [-1]))
    return common, g.concat(parts, -1)


@rule("setitem")
def setitem(g: Builder, input: Value, index: Any, value: Any) -> Any:
    """x with a part replaced: a mask by Where, a part by ScatterND on the numbers of its elements."""
    entries = _plan(input, index)
    mask = [e for e in entries if isinstance(e, Value) and e.dtype is dtypes.bool_]
    value = g.const(value, input.dtype)
    if (
        len(mask) == 1
        and entries[0] is mask[0]
        and value.rank == 0
        and all(isinstance(e, slice) and e == slice(None) for e in entries[1:])
    ):
        wide = g.unsqueeze(mask[0], range(mask[0].rank, input.rank)) if mask[0].rank < input.rank else mask[0]
        return g.where(wide, value, input, input.dtype)
    # the number of each element, indexed in the same way, says where values go
    total = g.op("Size", input, dtype=dtypes.int64, shape=())
    numbers = g.op("Range", g.const(0), total, g.const(1), dtype=dtypes.int64, shape=(None,))
    whole = [g.size(input, d) for d in range(input.rank)]
    places = getitem(g, _shaped(g, numbers, whole, input), index)
    spread = g.op("Expand", value, g.op("Shape", places), dtype=input.dtype, shape=places.shape)
    flat = g.op(
        "ScatterND",
        g.reshape(input, [-1]),
        g.unsqueeze(g.reshape(places, [-1]), [-1]),
        g.reshape(spread, [-1]),
        dtype=input.dtype,
        shape=(None,),
    )
    return _shaped(g, flat, whole, input)


def _shaped(g: Builder, flat: Value, sizes: list[Any], like: Value) -> Value:
    out = g.reshape(flat, sizes)
    out.shape = tuple(like.shape)
    return out


@rule("index_fill")
def index_fill(g: Builder, input: Value, dim: int, index: Value, value: Any) -> Any:
    dim = input.at(dim)
    return setitem(g, input, (*[slice(None)] * dim, index), value)


@rule("fill_", "fill")
def fill_(g: Builder, input: Value, value: Any) -> Any:
    return expand_to(g, g.const(value, input.dtype), [g.size(input, d) for d in range(input.rank)])


@rule("zero_", "zero")
def zero_(g: Builder, input: Value) -> Any:
    return fill_(g, input, 0)
