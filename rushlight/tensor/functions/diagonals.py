"""Diagonals and triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ir.dtype import bool_
from rushlight.ir.spec import spec
from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, lasting, owned, relaid, wrap
from rushlight.tensor.functions.common import give, wrap_dim
from rushlight.tensor.functions.histories import history_first
from rushlight.tensor.functions.shape import lying_as, permute, reshape


def in_rows(t: Tensor) -> Tensor:
    """A result in the ordinary memory order, whatever the order of its operands."""
    return lying_as(t, spec(t._spec.dtype, t._spec.shape)) if t._spec.contiguous else relaid(t, None)


def diag(input: Tensor, diagonal: int = 0, *, out: Any = None) -> Tensor:
    """A vector as a diagonal matrix, or the diagonal of a matrix."""
    if len(input._spec.shape) == 1:
        return give(out, diag_embed(input, diagonal))
    if len(input._spec.shape) != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {len(input._spec.shape)}D")
    return give(out, input.diagonal(diagonal).clone())


@history_first
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
        return give(out, in_rows(lasting(where(mask, input, False if input._spec.dtype is bool_ else 0))))
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The {'lower' if lower else 'upper'} triangle of matrices, zeros elsewhere."
    return history_first(function)


tril, triu = _triangle("tril", True), _triangle("triu", False)
__all__ = ["diag", "diag_embed", "diagflat", "tril", "triu"]
