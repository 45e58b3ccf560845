"""Several tensors as one, and one several times."""

from __future__ import annotations

import warnings
from typing import Any

from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, owned
from rushlight.tensor.functions.common import cast, give, need_tensor, shape_of, wrap_dim
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.functions.shape import broadcast_shapes, expand, ravel, reshape, unsqueeze, within
from rushlight.tensor.promotion import result_type


def cat(tensors: Any, dim: Any = 0, *, out: Any = None) -> Tensor:
    """Tensors joined along a dimension; the other sizes must agree.

    >>> import rushlight as rl
    >>> rl.cat([rl.ones(1, 2), rl.zeros(1, 2)])
    tensor([[1., 1.],
            [0., 0.]])
    """
    parts = list(tensors)
    if not parts:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for i, p in enumerate(parts):
        if not isinstance(p, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(p).__name__}")
    dtype = result_type(*parts)
    # an empty vector joins with anything, as it always did
    whole = parts
    if any(len(p._spec.shape) != 1 for p in parts):
        whole = [p for p in parts if p._spec.shape != (0,)] or parts[:1]
    first = whole[0]._spec.shape
    if any(not p._spec.shape for p in parts):
        at = next(i for i, p in enumerate(parts) if not p._spec.shape)
        raise RuntimeError(f"zero-dimensional tensor (at position {at}) cannot be concatenated")
    filled = next((p._spec.shape for p in whole if p._spec.shape != (0,)), None)
    d = wrap_dim(dim, len(filled)) if filled is not None else 0  # of empty vectors alone the dimension does not matter
    for i, p in enumerate(whole):
        shape = p._spec.shape
        if len(shape) != len(first):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(first)} and {len(shape)}. "
                               f"Tensor {i} has shape {list(shape)}, "
                               f"the first {list(first)}; unsqueeze adds a dimension.")
        if shape[:d] + shape[d + 1:] != first[:d] + first[d + 1:]:
            raise RuntimeError(f"Sizes of tensors must match except in dimension {d}. Expected size "
                               f"{next(a for k, (a, b) in enumerate(zip(first, shape)) if k != d and a != b)} but got "
                               f"size {next(b for k, (a, b) in enumerate(zip(first, shape)) if k != d and a != b)} for "
                               f"tensor number {i} in the list. The shapes are {[list(q._spec.shape) for q in parts]}: "
                               f"only their dimension {d} may differ; dim= chooses another.")
    return give(out, apply(TABLE["cat"], tuple([cast(p, dtype) for p in whole]), (d,)))


concat = concatenate = cat


def stack(tensors: Any, dim: int = 0, *, out: Any = None) -> Tensor:
    """Tensors of one shape joined along a new dimension.

    n tensors of shape (…) give one with n at position ``dim``. RuntimeError for different shapes, IndexError
    for a dim that is not there.

    >>> import rushlight as rl
    >>> rl.stack([rl.tensor([1, 2]), rl.tensor([3, 4])], 1)
    tensor([[1, 3],
            [2, 4]])
    """
    parts = list(tensors)
    if not parts:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = parts[0]._spec.shape
    for i, p in enumerate(parts):
        if p._spec.shape != first:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(first)} at entry "
                               f"0 and {list(p._spec.shape)} at entry {i}. Pad or crop them to one shape, "
                               "or join them along a dimension that they have with torch.cat.")
    d = wrap_dim(dim, len(first) + 1)
    if d == len(first):
        return cat([unsqueeze(p, d) for p in parts], d, out=out)
    return give(out, owned(reshape(cat(parts, d), (*first[:d], len(parts), *first[d:]))))


def repeat(self: Tensor, *args: Any, repeats: Any = None) -> Tensor:
    """The tensor copied side by side `repeats` times along each dimension."""
    times = shape_of(repeats) if repeats is not None else shape_of(*args)
    shape = self._spec.shape
    if len(times) < len(shape):
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if any(n < 0 for n in times):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(times)}: {list(times)}")
    shape = (1,) * (len(times) - len(shape)) + shape
    spread = [v for pair in zip((1,) * len(shape), shape) for v in pair]
    full = [v for pair in zip(times, shape) for v in pair]
    tiles = apply(TABLE["copy"], (expand(within(self, *spread), full),))
    return owned(tiles.reshape([a * b for a, b in zip(times, shape)]))


def tile(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """`repeat` with missing leading repeats taken as 1."""
    times = shape_of(dims) if dims is not None else shape_of(*args)
    return repeat(input, (1,) * (len(input._spec.shape) - len(times)) + times)


def ensure_dims(n: int) -> Any:
    def atleast(*tensors: Any) -> Any:
        many = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
        done = [_atleast(x, n) for x in many]
        return done[0] if len(tensors) == 1 and not isinstance(tensors[0], (list, tuple)) else tuple(done)
    atleast.__name__ = f"atleast_{n}d"
    return atleast


def _atleast(x: Tensor, n: int) -> Tensor:
    need_tensor("atleast", 1, "tensors", x)
    shape = x._spec.shape
    if len(shape) >= n:
        return x
    if not shape:
        return reshape(x, (1,) * n)
    x = unsqueeze(x, 0) if len(shape) == 1 else x
    return unsqueeze(x, -1) if n == 3 else x


atleast_1d, atleast_2d, atleast_3d = (ensure_dims(n) for n in (1, 2, 3))


def hstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined side by side."""
    parts = [atleast_1d(p) for p in tensors]
    return cat(parts, 0 if len(parts[0]._spec.shape) == 1 else 1, out=out)


def vstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined below each other."""
    return cat([atleast_2d(p) for p in tensors], 0, out=out)


row_stack = vstack


def dstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined behind each other."""
    return cat([atleast_3d(p) for p in tensors], 2, out=out)


def column_stack(tensors: Any, *, out: Any = None) -> Tensor:
    """Vectors and numbers as columns, joined side by side."""
    return cat([reshape(p, (p._spec.numel, 1)) if len(p._spec.shape) < 2 else p for p in tensors], 1, out=out)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape; those that have it are themselves."""
    many = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    shape = broadcast_shapes(*[x._spec.shape for x in many])
    return tuple([x if x._spec.shape == shape else expand(x, shape) for x in many])


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Coordinates of the grid that vectors span: the first vector runs along dimension 0 ("ij", the default, with a
    UserWarning) or along dimension 1 ("xy")."""
    if indexing is None:
        warnings.warn("torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.",
                      UserWarning, stacklevel=2)
        indexing = "ij"
    many = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    if not many:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for p in many:
        if len(p._spec.shape) > 1:
            raise RuntimeError("torch.meshgrid: "
                               f"Expected 0D or 1D tensor in the tensor list but got: {list(p._spec.shape)}")
    if any(p.dtype is not many[0].dtype for p in many):
        raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    flat = [reshape(p, (-1,)) if p._spec.numel else reshape(p, (0,)) for p in many]
    swap = indexing == "xy" and len(flat) >= 2
    if swap:
        flat[0], flat[1] = flat[1], flat[0]
    shape = tuple(p._spec.shape[0] for p in flat)
    grids = [expand(reshape(p, tuple(shape[i] if i == k else 1 for i in range(len(shape)))), shape)
             for k, p in enumerate(flat)]
    if swap:
        grids = [grids[1], grids[0], *grids[2:]]
    return tuple(grids)


def repeat_interleave(input: Tensor, repeats: Any = None, dim: int | None = None, *,
                      output_size: int | None = None) -> Tensor:
    """Each element (or index of dim) repeated; `repeats` is a number or one number per element, `output_size` their sum, if given."""
    import numpy as np

    from rushlight.tensor.core import unwrap, wrap
    if repeats is None:
        counts = unwrap(input)
        _check_sum(counts, 1, output_size)
        return wrap(np.repeat(np.arange(counts.size), counts).astype(counts.dtype))
    x = ravel(input) if dim is None else input
    d = 0 if dim is None else wrap_dim(dim, len(x._spec.shape))
    if not x._spec.shape:
        x = reshape(x, (1,))
    counts = unwrap(repeats.detach()) if isinstance(repeats, Tensor) else np.asarray(repeats)
    if counts.dtype.kind == "f":
        raise RuntimeError("repeats has to be Long or Int tensor")
    if (counts < 0).any():
        raise RuntimeError("repeats can not be negative")
    if counts.size not in (1, x._spec.shape[d]) or counts.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor" if counts.ndim > 1
                           else "repeats must have the same size as input along dim, but got "
                           f"repeats.size(0) = {counts.size} and input.size({d}) = {x._spec.shape[d]}")
    _check_sum(counts, x._spec.shape[d] if counts.size == 1 else 1, output_size)
    where = np.repeat(np.arange(x._spec.shape[d]),
                      counts if counts.ndim and counts.size > 1 else int(counts.reshape(-1)[0]))
    return x.index_select(d, wrap(where))


def _check_sum(counts: Any, times: int, output_size: int | None) -> None:
    """RuntimeError where repetitions do not add up to what was said."""
    total = int(counts.sum()) * times
    if output_size is not None and output_size != total:
        raise RuntimeError(f"repeat_interleave: Invalid output_size, expected {total} but got {output_size}")


__all__ = ["cat", "concat", "concatenate", "stack", "repeat", "tile", "atleast_1d", "atleast_2d", "atleast_3d",
           "hstack", "vstack", "row_stack", "dstack", "column_stack", "broadcast_tensors", "meshgrid",
           "repeat_interleave"]
take_numpy_names(globals(), __all__)
