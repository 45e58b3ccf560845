"""Subscripts, gathers and scatters."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from rushlight.ir.dtype import DType, bool_, int64
from rushlight.ir.spec import Spec, iteration_order, spec
from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, assign, check_in_place, check_overlap, keeps, lasting, owned, relaid, unwrap, view, wrap
from rushlight.tensor.functions.checked import check_value, checked
from rushlight.tensor.functions.common import cast, give, scalar_name, wrap_dim
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.functions.shape import broadcast_shapes, expand, lying_as, part_gradient, permute, reshape, strided_part, within
from rushlight.tensor.known import check_index
from rushlight.tensor.state import state

INT_TYPES = (int, np.integer)
OUT_OF_BOUNDS = "index {{bad}} is out of bounds for dimension {} with size {{size}}"


def getitem(self: Tensor, index: Any) -> Tensor:
    """self[index] with PyTorch's rules: a view for numbers, slices, None and …; a copy for tensors and lists."""
    cls = index.__class__
    if cls is int and self._spec.shape:
        return _select(self, index)
    basic, advanced = parse(self, index)
    if not advanced:
        return basic
    return gather_at(basic, advanced)


def _select(t: Tensor, i: int) -> Tensor:
    n = t._spec.shape[0]
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of bounds for dimension 0 with size {n}")
    i %= n
    return view(t, t._spec.select(0, i), "SelectBackward0", part_gradient(t._spec.shape, lambda whole: whole.select(0, i)))


def normalize(index: Any) -> list[Any]:
    """The parts of a subscript, with sequences as tensors."""
    parts = list(index) if isinstance(index, tuple) else [index]
    out: list[Any] = []
    for p in parts:
        if isinstance(p, (list, tuple, range)):
            p = _sequence(p)
        elif isinstance(p, np.ndarray):
            p = wrap(np.array(p))
        elif isinstance(p, (bool, np.bool_)):
            p = wrap(np.array(bool(p)))
        elif isinstance(p, np.integer):
            p = int(p)
        elif isinstance(p, Tensor) and not p._spec.shape and p._spec.dtype.kind in "iu" and p._spec.dtype.name != "uint8" and state.level is None:
            p = int(p.item())  # a 0-d tensor counts as the number that it holds
        elif isinstance(p, Tensor) and p._spec.dtype.kind not in "biu":
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        elif isinstance(p, float):
            raise TypeError("only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got float)")
        elif not isinstance(p, (int, slice, Tensor)) and p is not None and p is not Ellipsis:
            if hasattr(p, "__index__"):
                p = int(p.__index__())
            else:
                raise IndexError("only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
                                 f"(got {type(p).__name__})")
        out.append(p)
    return out


def _sequence(p: Any) -> Tensor:
    from rushlight.tensor.creation import tensor
    values = list(p)
    if not values:
        return wrap(np.zeros(0, np.int64))
    return tensor([v.item() if isinstance(v, Tensor) and not v._spec.shape else v for v in values])


def _indexed_dims(p: Any) -> int:
    if p is None or p is Ellipsis or (isinstance(p, Tensor) and p._spec.dtype is bool_ and not p._spec.shape):
        return 0
    if isinstance(p, Tensor) and p._spec.dtype.name in ("bool", "uint8"):
        return len(p._spec.shape)
    return 1


def parse(t: Tensor, index: Any, alias: bool = True) -> tuple[Tensor, list[tuple[int, Tensor]]]:
    """The view that numbers, slices and None give, and the index tensors with the dimension of that view each belongs to.

    Where all of t is meant, the view is t itself or, with `alias`, another tensor on its memory.
    """
    parts = normalize(index)
    used = sum(_indexed_dims(p) for p in parts)
    ndim = len(t._spec.shape)
    if used > ndim:
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    if sum(p is Ellipsis for p in parts) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if any(p is Ellipsis for p in parts):
        at = next(i for i, p in enumerate(parts) if p is Ellipsis)
        parts[at:at + 1] = [slice(None)] * (ndim - used)
    out = t
    dim = source = 0
    advanced: list[tuple[int, Tensor]] = []
    for p in parts:
        if p is None:
            out = out.unsqueeze(dim)
            dim += 1
        elif isinstance(p, slice):
            out = _slice(out, dim, p)
            dim += 1
            source += 1
        elif isinstance(p, int):
            n = out._spec.shape[dim]
            if not -n <= p < n:
                raise IndexError(f"index {p} is out of bounds for dimension {source} with size {n}")
            out = out.select(dim, p)
            source += 1
        elif p._spec.dtype.name in ("bool", "uint8"):
            out, dim, source = _mask(out, p, dim, source, advanced)
        else:
            advanced.append((dim, p))
            dim += 1
            source += 1
    if out is t and alias:
        out = strided_part(t, 0, 0, t._spec.shape[0], 1) if index.__class__ is slice else view(t, t._spec, "AliasBackward0", lambda g: g)
    return out, advanced


def _slice(t: Tensor, dim: int, s: slice) -> Tensor:
    if s.start is None and s.stop is None and s.step is None:
        return t
    start, stop, step = (int(v.item()) if isinstance(v, Tensor) else v for v in (s.start, s.stop, s.step))
    if step is not None and step <= 0:
        raise ValueError("step must be greater than zero")
    n = t._spec.shape[dim]
    a, b, c = slice(start, stop, step).indices(n)
    if a == 0 and b == n and c == 1:
        return t
    return strided_part(t, dim, a, max(0, -(-(b - a) // c)), c)


def _mask(out: Tensor, mask: Tensor, dim: int, source: int, advanced: list[tuple[int, Tensor]]) -> tuple[Tensor, int, int]:
    """A boolean index: as many index tensors as it has dimensions (a new dimension for a 0-d one)."""
    shape = mask._spec.shape
    if not shape:
        out = out.unsqueeze(dim)
        advanced.append((dim, wrap(np.zeros(1 if bool(mask) else 0, np.int64))))
        return out, dim + 1, source
    for i, n in enumerate(shape):
        if out._spec.shape[dim + i] != n:
            raise IndexError(f"The shape of the mask {list(shape)} at index {i} does not match the shape of the indexed tensor "
                             f"{list(out._spec.shape)} at index {dim + i}")
    for where in np.nonzero(unwrap(mask)):
        advanced.append((dim, wrap(np.ascontiguousarray(where))))
        dim += 1
    return out, dim, source + len(shape)


def gather_at(t: Tensor, advanced: list[tuple[int, Tensor]]) -> Tensor:
    """Advanced indexing of a view."""
    dims, indices = _checked(t, advanced)
    out = apply(TABLE["index"], (t, *indices), (dims,))
    order = None if t._spec.plain and 1 not in t._spec.shape and all(i._spec.plain for i in indices) else _index_order(t._spec, dims, indices, out._spec.shape)
    return out if order is None else relaid(out, order)


def _index_order(s: Spec, dims: tuple[int, ...], indices: tuple[Tensor, ...], shape: tuple[int, ...]) -> Any:
    """The memory order of an indexed result: the reader walks the memory of what is indexed, then that of the indices."""
    common = broadcast_shapes(*[i._spec.shape for i in indices])
    at = dims[0] if dims == tuple(range(dims[0], dims[0] + len(dims))) else 0
    kept = [st for d, st in enumerate(s.strides) if d not in dims]
    after = len(kept) - at
    size = prod(common)
    lead = [size if n == 1 else 0 for n in shape[:at]]
    rest = [1 if n == 1 else 0 for n in shape[len(shape) - after:]]
    reads = [s.at(shape, (*kept[:at], *[0] * len(common), *kept[at:]))]
    for i in indices:
        wide = i._spec.expand(tuple(common))
        assert wide is not None
        reads.append(wide.at(shape, (*lead, *wide.strides, *rest)))
    return iteration_order(shape, reads)


def _checked(t: Tensor, advanced: list[tuple[int, Tensor]]) -> tuple[tuple[int, ...], tuple[Tensor, ...]]:
    """Dimensions and indices of a subscript; IndexError for a value that is known and out of bounds."""
    for d, i in advanced:
        n = t._spec.shape[d]
        check_index(i, n, OUT_OF_BOUNDS.format(d), low=-n)
    return tuple(d for d, _ in advanced), tuple(i if i._spec.dtype is int64 else cast(i, int64) for _, i in advanced)


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """self[index] = value, in place."""
    if not isinstance(value, Tensor):
        value = _scalar(value, self)
    if isinstance(index, bool):  # all of it, or nothing
        if index:
            store(self.unsqueeze(0), value)
        return
    target, advanced = parse(self, index, alias=False)
    if not advanced:
        store(target, value)
        return
    check_in_place(target, value)
    dims, indices = _checked(target, advanced)
    shape = TABLE["index"].shape(target._spec, *[i._spec for i in indices], dims)[0][1]
    if value._spec.dtype is not target._spec.dtype and not (value._spec.numel == 1 and _one_mask(index)):
        raise _types_differ(target, value)
    d = target._spec.dtype
    if value._spec.dtype is not d:
        check_value(value, d)
        value = _as(value, d)
    check_overlap(target, (value,), expanded=True, same=True)
    assign(target, apply(TABLE["index_put"], (target, _fitted(value, shape), *indices), (dims, False)), take=True)


def _one_mask(index: Any) -> bool:
    """Whether a subscript picks elements by one mask alone: then a single value of any type may be stored."""
    picks = [p for p in (index if isinstance(index, tuple) else (index,)) if isinstance(p, (Tensor, list, np.ndarray, bool))]
    return len(picks) == 1 and _sequence_type(picks[0]) in ("bool", "uint8") and bool(np.shape(picks[0]) if not isinstance(picks[0], Tensor) else picks[0]._spec.shape)


def _sequence_type(p: Any) -> str:
    return "bool" if isinstance(p, bool) else str(p.dtype).removeprefix("torch.") if hasattr(p, "dtype") else _sequence(p)._spec.dtype.name


def _types_differ(target: Tensor, value: Tensor) -> RuntimeError:
    return RuntimeError(f"Index put requires the source and destination dtypes match, got {scalar_name(target.dtype)} for the destination and "
                        f"{scalar_name(value.dtype)} for the source.")


def _fitted(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A value broadcast to an indexed shape, leading ones dropped."""
    have = value._spec.shape
    while len(have) > len(shape) and have and have[0] == 1:
        value = reshape(value, have[1:])
        have = value._spec.shape
    if value._spec.expand(shape) is None:
        raise RuntimeError(f"shape mismatch: value tensor of shape {list(have)} cannot be broadcast to indexing result of shape {list(shape)}")
    return expand(value, shape)


def _scalar(value: Any, like: Tensor) -> Tensor:
    from rushlight.tensor.creation import array_of
    if isinstance(value, (bool, int, float, complex)):
        return apply(TABLE["full"], (checked(value, like._spec.dtype, rounded=True),), ((), like._spec.dtype))
    return wrap(array_of(value))


def store(target: Tensor, value: Tensor) -> None:
    """Write a value through a view, broadcasting it."""
    shape, have = target._spec.shape, value._spec.shape
    while len(have) > len(shape) and have and have[0] == 1:
        value = reshape(value, have[1:])
        have = value._spec.shape
    if value._spec.expand(shape) is None:
        raise RuntimeError(f"The expanded size of the tensor ({shape[-1] if shape else 1}) must match the existing size ({have[-1]}) at non-singleton "
                           f"dimension {len(shape) - 1}.  Target sizes: {list(shape)}.  Tensor sizes: {list(have)}")
    check_overlap(target, ())
    assign(target, value, severs=True)


def _checked_index(name: str, index: Tensor) -> Tensor:
    if index._spec.dtype.name not in ("int64", "int32") and index._spec.numel:
        raise RuntimeError(f"{name}(): Expected dtype int64 for index")
    return cast(index, int64)


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Any = None) -> Tensor:
    """out[i][j] = input[index[i][j]][j] for dim 0, and so on for other dimensions."""
    d = wrap_dim(dim, len(input._spec.shape))
    index = _checked_index("gather", index)
    _index_fits("gather", input, d, index)
    _within(input, d, index)
    return give(out, keeps(apply(TABLE["gather"], (input, index), (d,)), input))


def _index_fits(name: str, x: Tensor, d: int, index: Tensor, src: Any = None) -> None:
    a, b = x._spec.shape or (1,), index._spec.shape or (1,)
    if index._spec.numel == 0:  # nothing is read or written, whatever the shapes
        return
    if len(a) != len(b):
        raise RuntimeError("Index tensor must have the same number of dimensions as " + ("self" if name != "gather" else "input") + " tensor")
    for i, (m, n) in enumerate(zip(a, b)):
        if i != d and n > m:
            raise RuntimeError(f"Size does not match at dimension {i} expected index {list(b)} to be no larger than self {list(a)} apart from dimension {d}")
    if isinstance(src, Tensor):
        c = src._spec.shape or (1,)
        if len(c) != len(b):
            raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
        if any(n > m for m, n in zip(c, b)):
            raise RuntimeError(f"Expected index {list(b)} to be no larger than self {list(a)} apart from dimension {d} and to be no larger size than src {list(c)}")


def _within(x: Tensor, d: int, index: Tensor) -> None:
    """RuntimeError for an index whose value is known and too large or negative."""
    check_index(index, (x._spec.shape or (1,))[d], OUT_OF_BOUNDS.format(d), RuntimeError)


def scatter(input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None, out: Any = None) -> Tensor:
    """input with src stored at the places that index names along dim."""
    source = value if src is None else src
    if reduce is not None:
        how = {"add": "sum", "multiply": "prod"}.get(reduce)
        if how is None:
            raise RuntimeError(f"reduce argument must be either add or multiply, got {reduce}")
        if not isinstance(source, Tensor):
            source = apply(TABLE["full"], (checked(source, input._spec.dtype),), (index._spec.shape, input._spec.dtype))
        return give(out, scatter_reduce(input, dim, index, source, how))
    d = wrap_dim(dim, len(input._spec.shape))
    index = _checked_index("scatter", index)
    _index_fits("scatter", input, d, index, source)
    _within(input, d, index)
    if isinstance(source, Tensor):
        if source._spec.dtype is not input._spec.dtype:
            raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    else:
        source = checked(source, input._spec.dtype)
    return give(out, apply(TABLE["scatter"], (input, index, source), (d,)))


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, out: Any = None) -> Tensor:
    """input with src added at the places that index names along dim."""
    d = wrap_dim(dim, len(input._spec.shape))
    index = _checked_index("scatter", index)
    _index_fits("scatter_add", input, d, index, src)
    _within(input, d, index)
    if src._spec.dtype is not input._spec.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    return give(out, apply(TABLE["scatter_add"], (input, index, src), (d,)))


def scatter_reduce(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True, out: Any = None) -> Tensor:
    """input with src reduced into the places that index names: "sum", "prod", "mean", "amax" or "amin"."""
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    d = wrap_dim(dim, len(input._spec.shape))
    index = _checked_index("scatter", index)
    _index_fits("scatter_reduce", input, d, index, src)
    _within(input, d, index)
    if src._spec.dtype is not input._spec.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    return give(out, apply(TABLE["scatter_reduce"], (input, index, src), (d, reduce, bool(include_self))))


def index_select(input: Tensor, dim: int, index: Tensor, *, out: Any = None) -> Tensor:
    """The indices `index` of one dimension."""
    d = wrap_dim(dim, len(input._spec.shape))
    if len(index._spec.shape) > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if index._spec.dtype.name not in ("int64", "int32"):
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    index = cast(index, int64)
    if not input._spec.shape:
        return give(out, apply(TABLE["index"], (input.reshape(1), index.reshape(-1)), ((0,),)).reshape(()))
    return give(out, apply(TABLE["index"], (input, index.reshape(-1)), ((d,),)))


def masked_select(input: Tensor, mask: Tensor, *, out: Any = None) -> Tensor:
    """The elements where mask is true, in one dimension."""
    if mask._spec.dtype is not bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    from rushlight.tensor.functions.shape import broadcast_tensors
    x, m = broadcast_tensors(input, mask)
    return give(out, keeps(x[m] if x._spec.shape else x.reshape(1)[m.reshape(1)], input))


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """input with `value` where mask is true."""
    from rushlight.tensor.functions.pointwise import where
    if mask._spec.dtype is not bool_:
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype}")
    if isinstance(value, Tensor):
        if value._spec.shape:
            raise RuntimeError(f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {len(value._spec.shape)} dimension(s).")
        check_value(value, input._spec.dtype)
        value = _as(value, input._spec.dtype)
    else:
        value = checked(value, input._spec.dtype)
    return _in_rows(where(mask, value, input))


def _as(value: Tensor, dtype: DType) -> Tensor:
    """A value that fits, in another type."""
    return cast(value.real if value._spec.dtype.is_complex and not dtype.is_complex and dtype.kind != "b" else value, dtype)


def _in_rows(t: Tensor) -> Tensor:
    """A result in the ordinary memory order, whatever the order of its operands."""
    return lying_as(t, spec(t._spec.dtype, t._spec.shape)) if t._spec.contiguous else relaid(t, None)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """input with the elements of source, in order, where mask is true."""
    if mask._spec.dtype is not bool_:
        raise RuntimeError("masked_scatter_ only supports boolean masks, but got mask with dtype " + str(mask.dtype))
    if source._spec.dtype is not input._spec.dtype:
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes but got {input.dtype} and {source.dtype}")
    from rushlight.tensor.functions.shape import broadcast_tensors
    x, m = broadcast_tensors(input, mask)
    where = np.nonzero(unwrap(m).reshape(-1))[0]
    if where.size > source._spec.numel:
        raise RuntimeError("masked_scatter: expected the number of elements in source to be at least the number of true values in mask")
    flat = within(x, -1)
    values = within(source, -1)[:where.size]
    return owned(apply(TABLE["index_put"], (flat, values, wrap(where)), ((0,), False)).reshape(x._spec.shape))


def take(input: Tensor, index: Tensor, *, out: Any = None) -> Tensor:
    """Elements of the flat tensor."""
    if index._spec.dtype is not int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index.dtype}")
    return give(out, keeps(apply(TABLE["index"], (within(input, -1), index), ((0,),)), input))


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None, *, out: Any = None) -> Tensor:
    """Elements along dim at indices, which broadcast with the input."""
    if indices._spec.dtype is not int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype}")
    if dim is None:
        return give(out, gather(input.reshape(-1), 0, indices.reshape(-1)))
    if len(input._spec.shape) != len(indices._spec.shape):
        raise RuntimeError("torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
                           f"{len(input._spec.shape)} dimensions for input, and {len(indices._spec.shape)} dimensions for indices")
    from rushlight.tensor.functions.shape import broadcast_shapes
    d = wrap_dim(dim, len(input._spec.shape))
    from rushlight.tensor.functions.pointwise import where
    size = input._spec.shape[d] if input._spec.shape else 1
    indices = where(indices < 0, indices + size, indices)
    a, b = list(input._spec.shape), list(indices._spec.shape)
    a[d], b[d] = 1, 1
    common = list(broadcast_shapes(a, b))
    xs, js = common.copy(), common.copy()
    xs[d], js[d] = input._spec.shape[d], indices._spec.shape[d]
    return give(out, gather(expand(input, xs), d, expand(indices, js)))


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """The flat tensor with source stored (or added) at index."""
    if index._spec.dtype is not int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {index.dtype}")
    if source._spec.dtype is not input._spec.dtype:
        raise RuntimeError(f"put_(): self and source expected to have the same dtype, but got self.dtype = {input.dtype} and source.dtype = {source.dtype}")
    if source._spec.numel != index._spec.numel:
        raise RuntimeError(f"put_(): Expected source and index to have the same number of elements, but got source.numel() = {source._spec.numel}, "
                           f"index.numel() = {index._spec.numel}")
    flat = apply(TABLE["index_put"], (input.reshape(-1), source.reshape(-1), index.reshape(-1)), ((0,), bool(accumulate)))
    return owned(keeps(flat, *_that_need(source)).reshape(input._spec.shape))


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """input with values stored (or added) at input[indices]."""
    target, advanced = parse(input, tuple(slice(None) if i is None else i for i in indices))
    if values._spec.dtype is not input._spec.dtype:
        if accumulate or values._spec.numel != 1 or not _one_mask(tuple(indices)):
            raise _types_differ(input, values)
        check_value(values, input._spec.dtype)
        values = _as(values, input._spec.dtype)
    dims = tuple(d for d, _ in advanced)
    index = tuple(cast(i, int64) for _, i in advanced)
    shape = TABLE["index"].shape(target._spec, *[i._spec for i in index], dims)[0][1]
    return apply(TABLE["index_put"], (target, _fitted(values, shape), *index), (dims, bool(accumulate)))


def _along(name: str, input: Tensor, dim: int, index: Tensor, source: Tensor, accumulate: bool) -> Tensor:
    d = wrap_dim(dim, len(input._spec.shape))
    if len(index._spec.shape) > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector, but got dim: {len(index._spec.shape)} with type: {index.dtype} and size: {list(index._spec.shape)}")
    if index._spec.dtype.name not in ("int64", "int32"):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index but got: {index.dtype}")
    if not input._spec.shape:
        return _along(name, input.reshape(1), 0, index, source.reshape(1), accumulate).reshape(())
    index = cast(index, int64).reshape(-1)
    if source._spec.shape and d < len(source._spec.shape) and source._spec.shape[d] != index._spec.numel:
        raise RuntimeError(f"{name}(): Number of indices ({index._spec.numel}) should be equal to source.size(dim) ({source._spec.shape[d]})")
    shape = (*input._spec.shape[:d], index._spec.numel, *input._spec.shape[d + 1:])
    if source._spec.shape not in ((), shape):
        raise RuntimeError("source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
                           f"{list(input._spec.shape)} source.shape = {list(source._spec.shape)}")
    if source._spec.dtype is not input._spec.dtype:
        raise RuntimeError(f"{name}(): self and source expected to have the same dtype, but got (self) {input.dtype} and (source) {source.dtype}")
    if source._rg and source._spec.shape:  # as in PyTorch, its gradient is a view of what was selected
        source = view(source, source._spec, "ExpandBackward0", lambda g: expand(g, shape))
    return keeps(apply(TABLE["index_put"], (input, expand(source, shape), index), ((d,), accumulate)), *_that_need(source))


def _that_need(*sources: Tensor) -> list[Tensor]:
    return [s for s in sources if s.requires_grad]


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input with alpha * source added at the indices of dim."""
    return give(out, _along("index_add", input, dim, index, source if alpha == 1 else source * alpha, True))


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor, *, out: Any = None) -> Tensor:
    """input with source stored at the indices of dim."""
    return give(out, _along("index_copy", input, dim, index, source, False))


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """input with `value` at the indices of dim."""
    if isinstance(value, Tensor):
        if value._spec.shape:
            raise RuntimeError(f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {len(value._spec.shape)} dimension(s).")
        check_value(value, input._spec.dtype)
        fill = _as(value, input._spec.dtype)
    else:
        if isinstance(value, complex) and not input._spec.dtype.is_complex:
            raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not supported")
        fill = apply(TABLE["full"], (checked(value, input._spec.dtype),), ((), input._spec.dtype))
    d = wrap_dim(dim, len(input._spec.shape))
    if index._spec.dtype.name not in ("int64", "int32"):
        raise RuntimeError(f"index_fill_(): Expected dtype int64 for index but got: {index.dtype}")
    if len(index._spec.shape) > 1:
        raise IndexError("index_fill_(): Index is supposed to be a vector")
    from rushlight.tensor.functions.pointwise import where
    shape = input._spec.shape or (1,)
    hit = apply(TABLE["index_put"], (apply(TABLE["full"], (False,), ((shape[d],), bool_)), apply(TABLE["full"], (True,), ((index._spec.numel,), bool_)),
                                     cast(index, int64).reshape(-1)), ((0,), False))
    mask = hit.reshape([-1 if i == d else 1 for i in range(len(shape))]) if input._spec.shape else hit.reshape(())
    return where(mask, fill, input)


def index_reduce(input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True, out: Any = None) -> Tensor:
    """input with source reduced ("prod", "mean", "amax", "amin") into the indices of dim."""
    d = wrap_dim(dim, len(input._spec.shape))
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    shape = [1] * max(1, len(source._spec.shape))
    shape[d] = index._spec.numel
    full = expand(reshape(cast(index, int64), shape), source._spec.shape or (1,))
    return give(out, scatter_reduce(input, d, full if input._spec.shape else full.reshape(()), source, reduce, include_self=include_self))


def nonzero(input: Tensor, *, out: Any = None, as_tuple: bool = False) -> Any:
    """The positions of nonzero elements: one row each, or a tuple of index vectors."""
    array = unwrap(input.detach())
    if as_tuple:
        return tuple(wrap(np.ascontiguousarray(i)) for i in np.nonzero(array.reshape(1) if array.ndim == 0 else array))
    if array.ndim == 0:
        return give(out, wrap(np.zeros((int(bool(array)), 0), np.int64)))
    # PyTorch's rows of positions lie column by column in memory
    return give(out, owned(wrap(np.ascontiguousarray(np.argwhere(array).T, np.int64)).t()))


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1, out: Any = None) -> Tensor:
    """The first `size` positions of nonzero elements, one row each; rows that are left over hold fill_value.

    RuntimeError for a negative size.

    >>> import rushlight as rl
    >>> rl.nonzero_static(rl.tensor([0, 1, 2]), size=3)
    tensor([[ 1],
            [ 2],
            [-1]])
    """
    if size < 0:
        raise RuntimeError(f"nonzero_static: 'size' must be an non-negative integer, got {size}")
    found = unwrap(nonzero(input))[:size]
    rows = np.full((size, found.shape[1]), fill_value, np.int64)
    rows[:len(found)] = found
    return give(out, wrap(rows))


argwhere = nonzero


def diag(input: Tensor, diagonal: int = 0, *, out: Any = None) -> Tensor:
    """A vector as a diagonal matrix, or the diagonal of a matrix."""
    if len(input._spec.shape) == 1:
        return give(out, diag_embed(input, diagonal))
    if len(input._spec.shape) != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {len(input._spec.shape)}D")
    return give(out, input.diagonal(diagonal).clone())


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last dimension spread on a diagonal of two new dimensions, zeros elsewhere."""
    ndim = len(input._spec.shape) + 1
    a, b = wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    n = input._spec.shape[-1] + abs(offset)
    lead = input._spec.shape[:-1]
    whole = spec(input._spec.dtype, (*lead, n, n))
    start = offset if offset >= 0 else -offset * n
    cut = whole.at(input._spec.shape, (*whole.strides[:-2], n + 1), start)
    out = owned(reshape(apply(TABLE["unview"], (input,), (whole.numel, cut)), whole.shape))
    if a > b:
        a, b, out = b, a, out.transpose(-2, -1)
    order = list(range(ndim - 2))
    order.insert(a, ndim - 2)
    order.insert(b, ndim - 1)
    return out if order == list(range(ndim)) else permute(out, tuple(order))


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """All elements on the diagonal of a matrix."""
    return diag_embed(input.reshape(-1), offset)


def tri_mask(rows: int, cols: int, diagonal: int, lower: bool) -> np.ndarray:
    r, c = np.arange(rows)[:, None], np.arange(cols)
    return (c - r <= diagonal) if lower else (c - r >= diagonal)


def _triangle(name: str, lower: bool) -> Any:
    def function(input: Tensor, diagonal: int = 0, *, out: Any = None) -> Tensor:
        from rushlight.tensor.functions.pointwise import where
        if len(input._spec.shape) < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        mask = wrap(tri_mask(*input._spec.shape[-2:], diagonal, lower))
        return give(out, _in_rows(lasting(where(mask, input, False if input._spec.dtype is bool_ else 0))))
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The {'lower' if lower else 'upper'} triangle of matrices, zeros elsewhere."
    return function


tril, triu = _triangle("tril", True), _triangle("triu", False)


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int, *, out: Any = None) -> Tensor:
    """A copy of input with src at one index of dim."""
    whole = input.clone()
    return give(out, _stored(whole, whole.select(dim, index), src))


def _stored(whole: Tensor, part: Tensor, src: Tensor) -> Tensor:
    """`whole` with src written to `part`, a view of it. RuntimeError where their shapes differ."""
    if part._spec.shape != src._spec.shape:
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = {list(src._spec.shape)}, slice size = {list(part._spec.shape)}")
    part.copy_(src)
    return whole


def slice_scatter(input: Tensor, src: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1, *, out: Any = None) -> Tensor:
    """A copy of input with src in a slice of dim."""
    whole = input.clone()
    d = wrap_dim(dim, len(input._spec.shape))
    whole[(slice(None),) * d + (slice(start, end, step),)] = src
    return give(out, whole)


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1, *, out: Any = None) -> Tensor:
    """A copy of input with src on a diagonal."""
    whole = input.clone()
    return give(out, _stored(whole, whole.diagonal(offset, dim1, dim2), src))


def as_strided_scatter(input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None, *, out: Any = None) -> Tensor:
    """A copy of input with src stored through an as_strided view."""
    whole = input.clone()
    return give(out, _stored(whole, whole.as_strided(size, stride, storage_offset), src))


__all__ = ["gather", "scatter", "scatter_add", "scatter_reduce", "index_select", "masked_select", "masked_fill", "masked_scatter", "take",
           "take_along_dim", "put", "index_put", "index_add", "index_copy", "index_fill", "index_reduce", "nonzero", "nonzero_static", "argwhere", "diag", "diag_embed",
           "diagflat", "tril", "triu", "select_scatter", "slice_scatter", "diagonal_scatter", "as_strided_scatter"]
take_numpy_names(globals(), __all__)
