"""Embeddings."""

from __future__ import annotations

import warnings

from rushlight.ir.dtype import int64
from rushlight.tensor import coarse
from rushlight.tensor.core import Tensor, assign, unwrap, wrap
from rushlight.tensor.functions import pointwise as P
from rushlight.tensor.functions.common import cast
from rushlight.tensor.known import check_index
from rushlight.tensor.samples import level_of


def renormalized(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Rows that are used and longer than max_norm scaled down, in place."""
    import numpy as np

    from rushlight.autograd.grad_mode import no_grad
    from rushlight.tensor.functions.combined import renorm
    with no_grad():
        rows = wrap(np.unique(unwrap(index)))
        assign(weight, weight.detach().index_copy(0, rows, renorm(weight.detach()[rows], norm_type, 0, max_norm)))


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
              norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:
    """Rows of weight (n, d) at the indices of input; the row padding_idx gets no gradient."""
    if input.dtype.name not in ("int64", "int32"):
        raise RuntimeError("Expected tensor for argument #1 'indices' to have one of the following scalar types: "
                           f"Long, Int; but got {input.type()} instead (while checking arguments for embedding). "
                           "Convert the indices with .long().")
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    n = weight.shape[0]
    if padding_idx is not None:
        if not -n <= padding_idx < n:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= n
    if max_norm is not None:
        renormalized(weight, input, max_norm, norm_type)
    check_index(input, n, "index out of range in self: index {bad}, but the embedding has {size} rows")
    if sparse and weight.requires_grad:
        from rushlight.sparse.embedding import embedding as with_sparse_gradient
        return with_sparse_gradient(weight, input, padding_idx, scale_grad_by_freq)
    out = coarse.embedding(weight, input)
    if not weight.requires_grad:
        return out
    index = cast(input, int64)
    if padding_idx is not None:
        out = P.where((index == padding_idx).unsqueeze(-1), out.detach(), out)
    if scale_grad_by_freq:
        counts = weight.new_zeros(n, dtype=weight.dtype).index_add(0, index.reshape(-1), weight.new_ones(index.numel()))
        scale = 1 / counts[index].unsqueeze(-1)
        out = out * scale + (out * (1 - scale)).detach()
    return out


def _check_bags(input: Tensor, mode: str, scale_grad_by_freq: bool, sparse: bool,
                per_sample_weights: Tensor | None) -> None:
    """PyTorch's errors for operands and options of `embedding_bag` that do not go together."""
    if input.dtype.name not in ("int64", "int32"):
        raise RuntimeError("Expected tensor for argument #1 'indices' to have one of the following scalar types: "
                           f"Long, Int; but got {input.type()} instead")
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum or mean")
    if mode == "max" and (scale_grad_by_freq or sparse):
        raise ValueError("max mode does not support scaling the gradient by the frequency" if scale_grad_by_freq else
                         "max mode does not support sparse weights")
    if per_sample_weights is not None:
        if mode != "sum":
            raise NotImplementedError("embedding_bag: per_sample_weights was not None. "
                                      f"per_sample_weights is only supported for mode='sum' (got mode='{mode}').")
        if per_sample_weights.shape != input.shape:
            raise ValueError(f"embedding_bag: If per_sample_weights ({list(per_sample_weights.shape)}) is not None, "
                             f"it must have the same shape as the input ({list(input.shape)})")


def embedding_bag(input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None,
                  norm_type: float = 2, scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
                  per_sample_weights: Tensor | None = None, include_last_offset: bool = False,
                  padding_idx: int | None = None) -> Tensor:
    """The sum, mean or max of the embeddings of each bag; bags are rows of input, or start at offsets."""
    import numpy as np

    if weight.dtype is int64 and input.dtype.kind == "f":
        warnings.warn("Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, "
                      "...)` is deprecated, and should now be `embedding_bag(input, weight, ...)`.", stacklevel=2)
        input, weight = weight, input
    _check_bags(input, mode, scale_grad_by_freq, sparse, per_sample_weights)
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError("if input is 2D, then offsets has to be None, "
                             "as input is treated is a mini-batch of fixed length sequences.")
        starts = (np.arange(0, input.numel() + 1, input.shape[1]) if input.shape[1] else
                  np.zeros(input.shape[0] + 1, np.int64))
    elif input.ndim == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.ndim != 1:
            raise ValueError("offsets has to be a 1D Tensor")
        if level_of(offsets) is not None:
            return _bags_in_samples(input, weight, offsets, mode, sparse, scale_grad_by_freq, per_sample_weights,
                                    include_last_offset, padding_idx)
        given = unwrap(offsets)
        if given.size and given[0] != 0:
            raise ValueError("offsets[0] has to be 0, i.e., the first sequence in the mini-batch "
                             f"has to start from position 0. However, got {given[0]}")
        starts = given if include_last_offset else np.append(given, input.numel())
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}")
    if padding_idx is not None and level_of(input) is not None:
        return _bags_in_samples(input, weight, wrap(starts), mode, sparse, scale_grad_by_freq,
                                per_sample_weights, True, padding_idx)
    flat = cast(input.reshape(-1), int64)
    if max_norm is not None:
        renormalized(weight, flat, max_norm, norm_type)
    bags = len(starts) - 1
    owner = np.repeat(np.arange(bags), np.diff(starts))
    keep = np.ones(flat.numel(), bool)
    if padding_idx is not None:
        keep = unwrap(flat) != padding_idx % weight.shape[0]
    rows = embedding(flat, weight, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    used = wrap(np.nonzero(keep)[0])
    rows, place = rows[used], wrap(np.ascontiguousarray(owner[keep]))
    zero = weight.new_zeros(bags, weight.shape[1])
    if mode == "max":
        return zero.scatter_reduce(0, place.unsqueeze(1).expand(-1, weight.shape[1]), rows, "amax", include_self=False)
    out = zero.index_add(0, place, rows)
    if mode == "mean":
        out = out / wrap(np.maximum(np.bincount(owner[keep], minlength=bags), 1)).to(weight.dtype).unsqueeze(1)
    return out


def _bags_in_samples(input: Tensor, weight: Tensor, offsets: Tensor, mode: str, sparse: bool, by_freq: bool,
                     scale: Tensor | None, last: bool, padding_idx: int | None) -> Tensor:
    """`embedding_bag` inside vmap, where the bags' ends or the padding differ between samples:
    every index counts, or counts nothing."""
    from rushlight.tensor.functions.counting import searchsorted
    from rushlight.tensor.sequences import arange
    flat, bags = cast(input.reshape(-1), int64), offsets.shape[0] - last
    rows = embedding(flat, weight, scale_grad_by_freq=by_freq, sparse=sparse)
    rows = rows if scale is None else rows * scale.reshape(-1, 1)
    owner = searchsorted(cast(offsets, int64), arange(flat.shape[0]), right=True) - 1
    kept = (owner < bags) if padding_idx is None else (owner < bags) & (flat != padding_idx % weight.shape[0])
    owner, zero = owner.clamp(0, bags - 1), weight.new_zeros(bags, weight.shape[1])
    counts = weight.new_zeros(bags).index_add(0, owner, kept.to(weight.dtype)).unsqueeze(1)
    if mode == "max":
        held = P.where(kept.unsqueeze(1), rows, float("-inf"))
        found = zero.scatter_reduce(0, owner.unsqueeze(1).expand(-1, weight.shape[1]), held, "amax", include_self=False)
        return P.where(counts == 0, 0.0, found)
    out = zero.index_add(0, owner, P.where(kept.unsqueeze(1), rows, 0.0))
    return out / counts.clamp(min=1) if mode == "mean" else out
