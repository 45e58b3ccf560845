"""Elements moved within a tensor."""

from __future__ import annotations

from typing import Any

from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, owned
from rushlight.tensor.functions.common import lying_as, shape_of, wrap_dim, wrap_dims
from rushlight.tensor.functions.histories import history_first
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.functions.shape import clone, transpose, within


@history_first
def flip(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """The order of elements reversed along dimensions."""
    given = shape_of(dims) if dims is not None else shape_of(*args)
    d = wrap_dims(given, len(input._spec.shape)) if given else ()
    return lying_as(apply(TABLE["flip"], (input,), (d,)), input._spec) if d else clone(input)


def fliplr(input: Tensor) -> Tensor:
    """Columns reversed."""
    if len(input._spec.shape) < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """Rows reversed."""
    if len(input._spec.shape) < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


@history_first
def roll(input: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    """Elements shifted along dimensions, those pushed out coming back at the other end."""
    sh = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    ds = (dims,) if isinstance(dims, int) else tuple(dims or ())
    if not sh:
        raise RuntimeError("`shifts` required")
    if not input._spec.numel:
        return clone(input)
    if not ds and len(sh) == 1:
        return owned(apply(TABLE["roll"], (within(input, -1),), (sh, (0,))).reshape(input._spec.shape))
    if len(sh) != len(ds):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(sh)}, dims:{len(ds)}")
    if not input._spec.shape:
        raise IndexError(f"Dimension specified as {ds[0]} but tensor has no dimensions")
    dims = tuple(wrap_dim(d, len(input._spec.shape)) for d in ds)
    return apply(TABLE["roll"], (input,), (sh, dims))


@history_first
def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Turned by k quarter turns in the plane of two dimensions."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    ndim = len(input._spec.shape)
    if ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {ndim}")
    a, b = wrap_dim(dims[0], ndim), wrap_dim(dims[1], ndim)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    k %= 4
    if k == 0:
        return clone(input)
    if k == 2:
        return flip(input, a, b)
    return flip(transpose(input, a, b), a if k == 1 else b)


__all__ = ["flip", "fliplr", "flipud", "roll", "rot90"]
take_numpy_names(globals(), __all__)
