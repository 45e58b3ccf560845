"""Gathers and scatters: functions of indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exec.numpy.indexing import positions
from rushlight.ir.dtype import bool_, int64
from rushlight.ops.table import TABLE
from rushlight.tensor.autocast import widest
from rushlight.tensor.core import Tensor, apply, keeps, owned, unwrap, view, wrap
from rushlight.tensor.functions.checked import check_value, checked
from rushlight.tensor.functions.common import cast, give, wrap_dim
from rushlight.tensor.functions.diagonals import in_rows
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.functions.shape import expand, reshape, within
from rushlight.tensor.functions.subscripts import OUT_OF_BOUNDS, converted, fitted, one_mask, types_differ, parse
from rushlight.tensor.known import check_index
from rushlight.tensor.samples import level_of, sample_by_sample


def _checked_index(name: str, index: Tensor) -> Tensor:
    if index._spec.dtype.name not in ("int64", "int32") and index._spec.numel:
        raise RuntimeError(f"{name}(): Expected dtype int64 for index")
    return cast(index, int64)


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Any = None) -> Tensor:
    """out[i][j] = input[index[i][j]][j] for dim 0, and so on for other dimensions.

    ``index`` is int64, with the input's number of dimensions; the result has its shape. With ``sparse_grad`` the input's
    gradient is sparse. RuntimeError for other shapes and for places out of bounds.

    >>> import rushlight as rl
    >>> rl.gather(rl.tensor([[1, 2], [3, 4]]), 1, rl.tensor([[1], [0]]))
    tensor([[2],
            [3]])
    """
    d = wrap_dim(dim, len(input._spec.shape))
    index = _checked_index("gather", index)
    _index_fits("gather", input, d, index)
    _within(input, d, index)
    if sparse_grad and input.requires_grad:
        from rushlight.sparse.gather import gather as with_sparse_gradient
        return give(out, with_sparse_gradient(input, d, index))
    return give(out, keeps(apply(TABLE["gather"], (input, index), (d,)), input))


def _index_fits(name: str, x: Tensor, d: int, index: Tensor, src: Any = None) -> None:
    a, b = x._spec.shape or (1,), index._spec.shape or (1,)
    if index._spec.numel == 0:  # nothing is read or written, whatever the shapes
        return
    if len(a) != len(b):
        operand = "input" if name == "gather" else "self"
        raise RuntimeError(f"Index tensor must have the same number of dimensions as {operand} tensor")
    for i, (m, n) in enumerate(zip(a, b)):
        if i != d and n > m:
            raise RuntimeError(f"Size does not match at dimension {i} expected index {list(b)} to be "
                               f"no larger than self {list(a)} apart from dimension {d}")
    if isinstance(src, Tensor):
        c = src._spec.shape or (1,)
        if len(c) != len(b):
            raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
        if any(n > m for m, n in zip(c, b)):
            raise RuntimeError(f"Expected index {list(b)} to be no larger than self {list(a)} apart from "
                               f"dimension {d} and to be no larger size than src {list(c)}")


def _within(x: Tensor, d: int, index: Tensor) -> None:
    """RuntimeError for an index whose value is known and too large or negative."""
    check_index(index, (x._spec.shape or (1,))[d], OUT_OF_BOUNDS.format(d), RuntimeError)


def scatter(input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None,
            out: Any = None) -> Tensor:
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


def scatter_reduce(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True,
                   out: Any = None) -> Tensor:
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
    from rushlight.tensor.functions.joining import broadcast_tensors
    x, m = broadcast_tensors(input, mask)
    return give(out, keeps(x[m] if x._spec.shape else x.reshape(1)[m.reshape(1)], input))


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """input with `value` where mask is true."""
    from rushlight.tensor.functions.pointwise import where
    if mask._spec.dtype is not bool_:
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype}")
    if isinstance(value, Tensor):
        if value._spec.shape:
            raise RuntimeError("masked_fill_ only supports a 0-dimensional value tensor, "
                               f"but got tensor with {len(value._spec.shape)} dimension(s).")
        check_value(value, input._spec.dtype)
        value = converted(value, input._spec.dtype)
    else:
        value = checked(value, input._spec.dtype)
    return in_rows(where(mask, value, input))


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """input with the elements of source, in order, where mask is true."""
    if mask._spec.dtype is not bool_:
        raise RuntimeError("masked_scatter_ only supports boolean masks, but got mask with dtype " + str(mask.dtype))
    if source._spec.dtype is not input._spec.dtype:
        raise RuntimeError("masked_scatter: expected self and source to have same dtypes "
                           f"but got {input.dtype} and {source.dtype}")
    from rushlight.tensor.functions.joining import broadcast_tensors
    x, m = broadcast_tensors(input, mask)
    if level_of(m) is not None:  # each sample has other places: the element of source that comes next
        from rushlight.tensor.functions.pointwise import where as choose
        order = m.reshape(-1).cumsum(0) - 1
        chosen = within(source, -1)[order.clamp(0, max(source._spec.numel - 1, 0))]
        return in_rows(choose(m, chosen.reshape(x._spec.shape), x))
    where = np.nonzero(unwrap(m).reshape(-1))[0]
    if where.size > source._spec.numel:
        raise RuntimeError("masked_scatter: expected the number of elements in source to be "
                           "at least the number of true values in mask")
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
        raise RuntimeError("torch.take_along_dim(): input and indices should have the same number of dimensions, "
                           f"but got {len(input._spec.shape)} dimensions for input, "
                           f"and {len(indices._spec.shape)} dimensions for indices")
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
        raise RuntimeError("put_(): self and source expected to have the same dtype, "
                           f"but got self.dtype = {input.dtype} and source.dtype = {source.dtype}")
    if source._spec.numel != index._spec.numel:
        raise RuntimeError("put_(): Expected source and index to have the same number of elements, "
                           f"but got source.numel() = {source._spec.numel}, index.numel() = {index._spec.numel}")
    flat = apply(TABLE["index_put"], (input.reshape(-1), source.reshape(-1), index.reshape(-1)),
                 ((0,), bool(accumulate)))
    return owned(keeps(flat, *_that_need(source)).reshape(input._spec.shape))


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """input with values stored (or added) at input[indices]."""
    target, advanced = parse(input, tuple(slice(None) if i is None else i for i in indices))
    if values._spec.dtype is not input._spec.dtype:
        if accumulate or values._spec.numel != 1 or not one_mask(tuple(indices)):
            raise types_differ(input, values)
        check_value(values, input._spec.dtype)
        values = converted(values, input._spec.dtype)
    dims = tuple(d for d, _ in advanced)
    index = tuple(cast(i, int64) for _, i in advanced)
    shape = TABLE["index"].shape(target._spec, *[i._spec for i in index], dims)[0][1]
    return apply(TABLE["index_put"], (target, fitted(values, shape), *index), (dims, bool(accumulate)))


def _along(name: str, input: Tensor, dim: int, index: Tensor, source: Tensor, accumulate: bool) -> Tensor:
    d = wrap_dim(dim, len(input._spec.shape))
    if len(index._spec.shape) > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector, but got dim: "
                         f"{len(index._spec.shape)} with type: {index.dtype} and size: {list(index._spec.shape)}")
    if index._spec.dtype.name not in ("int64", "int32"):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index but got: {index.dtype}")
    if not input._spec.shape:
        return _along(name, input.reshape(1), 0, index, source.reshape(1), accumulate).reshape(())
    index = cast(index, int64).reshape(-1)
    if source._spec.shape and d < len(source._spec.shape) and source._spec.shape[d] != index._spec.numel:
        raise RuntimeError(f"{name}(): Number of indices ({index._spec.numel}) should be equal "
                           f"to source.size(dim) ({source._spec.shape[d]})")
    shape = (*input._spec.shape[:d], index._spec.numel, *input._spec.shape[d + 1:])
    if source._spec.shape not in ((), shape):
        raise RuntimeError("source tensor shape must match self tensor shape, excluding the specified dimension. "
                           f"Got self.shape = {list(input._spec.shape)} source.shape = {list(source._spec.shape)}")
    if source._spec.dtype is not input._spec.dtype:
        raise RuntimeError(f"{name}(): self and source expected to have the same dtype, "
                           f"but got (self) {input.dtype} and (source) {source.dtype}")
    if source._rg and source._spec.shape:  # as in PyTorch, its gradient is a view of what was selected
        source = view(source, source._spec, "ExpandBackward0", lambda g: expand(g, shape))
    return keeps(apply(TABLE["index_put"], (input, expand(source, shape), index), ((d,), accumulate)),
                 *_that_need(source))


def _that_need(*sources: Tensor) -> list[Tensor]:
    return [s for s in sources if s.requires_grad]


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input with alpha * source added at the indices of dim."""
    return give(out, _along("index_add", input, dim, index, source if alpha == 1 else source * alpha, True))


@widest
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor, *, out: Any = None) -> Tensor:
    """input with source stored at the indices of dim."""
    return give(out, _along("index_copy", input, dim, index, source, False))


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """input with `value` at the indices of dim."""
    if isinstance(value, Tensor):
        if value._spec.shape:
            raise RuntimeError("index_fill_ only supports a 0-dimensional value tensor, "
                               f"but got tensor with {len(value._spec.shape)} dimension(s).")
        check_value(value, input._spec.dtype)
        fill = converted(value, input._spec.dtype)
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
    hit = apply(TABLE["index_put"],
                (apply(TABLE["full"], (False,), ((shape[d],), bool_)),
                 apply(TABLE["full"], (True,), ((index._spec.numel,), bool_)),
                                     cast(index, int64).reshape(-1)), ((0,), False))
    mask = hit.reshape([-1 if i == d else 1 for i in range(len(shape))]) if input._spec.shape else hit.reshape(())
    return where(mask, fill, input)


def index_reduce(input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True,
                 out: Any = None) -> Tensor:
    """input with source reduced ("prod", "mean", "amax", "amin") into the indices of dim."""
    d = wrap_dim(dim, len(input._spec.shape))
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    shape = [1] * max(1, len(source._spec.shape))
    shape[d] = index._spec.numel
    full = expand(reshape(cast(index, int64), shape), source._spec.shape or (1,))
    return give(out, scatter_reduce(input, d, full if input._spec.shape else full.reshape(()), source, reduce,
                                    include_self=include_self))


def nonzero(input: Tensor, *, out: Any = None, as_tuple: bool = False) -> Any:
    """The positions of nonzero elements: one row each, or a tuple of index vectors."""
    array = unwrap(input.detach())
    if as_tuple:
        return tuple(map(wrap, positions(array.reshape(1) if array.ndim == 0 else array)))
    if array.ndim == 0:
        return give(out, wrap(np.zeros((int(bool(array)), 0), np.int64)))
    # PyTorch's rows of positions lie column by column in memory
    return give(out, owned(wrap(positions(array)).t()))


@sample_by_sample
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


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int, *, out: Any = None) -> Tensor:
    """A copy of input with src at one index of dim."""
    whole = input.clone()
    return give(out, _stored(whole, whole.select(dim, index), src))


def _stored(whole: Tensor, part: Tensor, src: Tensor) -> Tensor:
    """`whole` with src written to `part`, a view of it. RuntimeError where their shapes differ."""
    if part._spec.shape != src._spec.shape:
        raise RuntimeError("expected src to have a size equal to the slice of self. "
                           f"src size = {list(src._spec.shape)}, slice size = {list(part._spec.shape)}")
    part.copy_(src)
    return whole


def slice_scatter(input: Tensor, src: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1, *,
                  out: Any = None) -> Tensor:
    """A copy of input with src in a slice of dim."""
    whole = input.clone()
    d = wrap_dim(dim, len(input._spec.shape))
    whole[(slice(None),) * d + (slice(start, end, step),)] = src
    return give(out, whole)


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1, *,
                     out: Any = None) -> Tensor:
    """A copy of input with src on a diagonal."""
    whole = input.clone()
    return give(out, _stored(whole, whole.diagonal(offset, dim1, dim2), src))


def as_strided_scatter(input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None, *,
                       out: Any = None) -> Tensor:
    """A copy of input with src stored through an as_strided view."""
    whole = input.clone()
    return give(out, _stored(whole, whole.as_strided(size, stride, storage_offset), src))


__all__ = ["gather", "scatter", "scatter_add", "scatter_reduce", "index_select", "masked_select", "masked_fill",
           "masked_scatter", "take", "take_along_dim", "put", "index_put", "index_add",
           "index_copy", "index_fill", "index_reduce", "nonzero", "nonzero_static",
           "argwhere", "select_scatter", "slice_scatter", "diagonal_scatter", "as_strided_scatter"]
take_numpy_names(globals(), __all__)
