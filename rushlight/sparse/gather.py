"""The gather whose input gets a sparse gradient: one value for each element that was read."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.autograd.function import Function
from rushlight.ops.table import TABLE
from rushlight.sparse.coo import CooTensor
from rushlight.sparse.patterns import index_tensor
from rushlight.tensor.core import Tensor, apply, unwrap


class GatherBackward(Function):
    """Elements by index along a dimension; backward gives them back as a sparse tensor, repeated where an index is."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, dim: int, index: Tensor) -> Any:
        ctx.save_for_backward(index)
        ctx.shape, ctx.dim = input._spec.shape, dim
        return apply(TABLE["gather"], (input, index), (dim,))

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        index, = ctx.saved_tensors
        at = unwrap(index)
        places = np.indices(at.shape).reshape(at.ndim, -1) if ctx.shape else np.zeros((0, at.size), np.int64)
        if ctx.shape:
            places[ctx.dim] = at.reshape(-1)
        return CooTensor.build(index_tensor(places), g.reshape(-1), ctx.shape), None, None


def gather(input: Tensor, dim: int, index: Tensor) -> Any:
    """`torch.gather` with ``sparse_grad=True``, of checked operands."""
    return GatherBackward.apply(input, dim, index)
