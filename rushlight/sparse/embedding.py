"""The embedding whose weight gets a sparse gradient: one row per index, repeated where an index is."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.autograd.function import Function
from rushlight.sparse.patterns import index_tensor
from rushlight.sparse.coo import CooTensor
from rushlight.tensor import coarse
from rushlight.tensor.core import Tensor, unwrap


class EmbeddingBackward(Function):
    """Rows of a weight by index; backward gives them back as a sparse matrix."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, index: Tensor, padding_idx: int | None) -> Any:
        ctx.save_for_backward(index)
        ctx.shape, ctx.padding_idx = weight._spec.shape, padding_idx
        return coarse.embedding(weight, index)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        index, = ctx.saved_tensors
        at, rows = unwrap(index).reshape(-1), g.reshape(-1, ctx.shape[1])
        if ctx.padding_idx is not None:
            kept = np.nonzero(at != ctx.padding_idx)[0]
            if kept.size < at.size:
                at, rows = at[kept], rows[index_tensor(kept)]
        return CooTensor.build(index_tensor(at[None]), rows, ctx.shape), None, None


def embedding(weight: Tensor, index: Tensor, padding_idx: int | None, scale_grad_by_freq: bool) -> Any:
    """`nn.functional.embedding` with ``sparse=True``. RuntimeError with scale_grad_by_freq."""
    if scale_grad_by_freq:
        raise RuntimeError("embedding_backward: scale_grad_by_freq not supported with sparse gradients")
    return EmbeddingBackward.apply(weight, index, padding_idx)
