"""Layer functions as the torch namespace has them: operands in ATen's order,
reductions as numbers (0 none, 1 mean, 2 sum).

Programs use those of torch.nn.functional; what these compute is theirs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.nn.functional import ctc, loss, norm
from rushlight.nn.functional.embedding import embedding as rows_of
from rushlight.nn.functional.embedding import embedding_bag as bags_of
from rushlight.tensor.core import Tensor, unwrap, wrap

REDUCTIONS = ("none", "mean", "sum")
BAGS = ("sum", "mean", "max")


def _reduction(name: str, number: Any) -> str:
    """The name of a reduction. TypeError for what is no number, ValueError for an unknown one."""
    if not isinstance(number, int):
        raise TypeError(f"{name}(): argument 'reduction' must be int, not {type(number).__name__}. "
                        f"Use torch.nn.functional.{name} for reductions by name.")
    if not 0 <= number < len(REDUCTIONS):
        raise ValueError(f"{number} is not a valid value for reduction: 0 is none, 1 the mean, 2 the sum")
    return REDUCTIONS[number]


# --- dropout ------------------------------------------------------------------------------------------------------
def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`nn.functional.dropout`.

    >>> import rushlight as rl
    >>> rl.dropout(rl.ones(2), 0.5, False)
    tensor([1., 1.])
    """
    return norm.dropout(input, p, train)


def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`nn.functional.alpha_dropout`.

    >>> import rushlight as rl
    >>> rl.alpha_dropout(rl.ones(2), 0.5, False)
    tensor([1., 1.])
    """
    return norm.alpha_dropout(input, p, train)


def feature_alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`nn.functional.feature_alpha_dropout`.

    >>> import rushlight as rl
    >>> rl.feature_alpha_dropout(rl.ones(1, 2), 0.5, False)
    tensor([[1., 1.]])
    """
    return norm.feature_alpha_dropout(input, p, train)


# --- normalisation; cudnn_enabled says nothing on a CPU -----------------------------------------------------------
def layer_norm(input: Tensor, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-05, cudnn_enable: bool = True) -> Tensor:
    """`nn.functional.layer_norm`.

    >>> import rushlight as rl
    >>> rl.layer_norm(rl.tensor([1., 3.]), (2,), eps=0.0)
    tensor([-1.,  1.])
    """
    return norm.layer_norm(input, normalized_shape, weight, bias, eps)


def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-05, cudnn_enabled: bool = True) -> Tensor:
    """`nn.functional.group_norm`.

    >>> import rushlight as rl
    >>> rl.group_norm(rl.tensor([[1., 3.]]), 1, eps=0.0)
    tensor([[-1.,  1.]])
    """
    return norm.group_norm(input, num_groups, weight, bias, eps)


def batch_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None,
               running_var: Tensor | None, training: bool, momentum: float, eps: float, cudnn_enabled: bool) -> Tensor:
    """`nn.functional.batch_norm` with weight and bias first; a batch may hold one value per channel.

    >>> import rushlight as rl
    >>> rl.batch_norm(rl.tensor([[1.], [3.]]), None, None, None, None, True, 0.1, 0.0, False)
    tensor([[-1.],
            [ 1.]])
    """
    return norm.batch_statistics(input, running_mean, running_var, weight, bias, training, momentum, eps)[0]


def instance_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None,
                  running_var: Tensor | None, use_input_stats: bool, momentum: float, eps: float,
                  cudnn_enabled: bool) -> Tensor:
    """`nn.functional.instance_norm` with weight and bias first.

    >>> import rushlight as rl
    >>> rl.instance_norm(rl.tensor([[[1., 3.]]]), None, None, None, None, True, 0.1, 0.0, False)
    tensor([[[-1.,  1.]]])
    """
    return norm.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


# --- embeddings ---------------------------------------------------------------------------------------------------
def embedding(weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False,
              sparse: bool = False) -> Tensor:
    """`nn.functional.embedding` with the weight first; padding_idx=-1 is none.

    >>> import rushlight as rl
    >>> rl.embedding(rl.tensor([[1.], [2.]]), rl.tensor([1]))
    tensor([[2.]])
    """
    return rows_of(indices, weight, None if padding_idx < 0 else padding_idx, None, 2.0, scale_grad_by_freq, sparse)


def embedding_bag(weight: Tensor, indices: Tensor, offsets: Tensor, scale_grad_by_freq: bool = False, mode: int = 0,
                  sparse: bool = False, per_sample_weights: Tensor | None = None, include_last_offset: bool = False,
                  padding_idx: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`nn.functional.embedding_bag` with the weight first and the mode as a number (0 sum, 1 mean, 2 max).

    Results: the bags, the bag of each index, how many indices each bag has, and for the maximum which index each
    element came from.

    >>> import rushlight as rl
    >>> rl.embedding_bag(rl.tensor([[1.], [2.]]), rl.tensor([0, 1, 1]), rl.tensor([0, 2]))[:3]
    (tensor([[3.],
            [2.]]), tensor([0, 0, 1]), tensor([2, 1]))
    """
    if mode not in (0, 1, 2):
        raise ValueError(f"embedding_bag: the mode is 0 (sum), 1 (mean) or 2 (max), not {mode}")
    out = bags_of(indices, weight, offsets, None, 2.0, scale_grad_by_freq, BAGS[mode], sparse, per_sample_weights,
                  include_last_offset, padding_idx)
    starts = unwrap(offsets).astype(np.int64)
    ends = np.append(starts, indices.numel())[:len(starts) + 1] if not include_last_offset else starts
    owner = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    flat = unwrap(indices).reshape(-1)
    kept = np.ones(flat.shape, bool) if padding_idx is None else flat != padding_idx
    sizes = np.bincount(owner[kept], minlength=len(ends) - 1)
    if mode != 2:
        return out, wrap(owner), wrap(sizes), wrap(sizes.copy())
    found = np.zeros(out.shape, np.int64)
    rows, best = unwrap(weight.detach())[flat], unwrap(out.detach())
    for i in np.flatnonzero(kept)[::-1]:
        hit = rows[i] == best[owner[i]]
        found[owner[i]][hit] = flat[i]
    return out, wrap(owner), wrap(sizes), wrap(found)


# --- losses -------------------------------------------------------------------------------------------------------
def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None = None,
                                     pos_weight: Tensor | None = None, reduction: int = 1) -> Tensor:
    """`nn.functional.binary_cross_entropy_with_logits`.

    >>> import rushlight as rl
    >>> rl.binary_cross_entropy_with_logits(rl.zeros(2), rl.ones(2))
    tensor(0.6931)
    """
    kind = _reduction("binary_cross_entropy_with_logits", reduction)
    return loss.binary_cross_entropy_with_logits(input, target, weight, reduction=kind, pos_weight=pos_weight)


def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0,
                          reduction: int = 1) -> Tensor:
    """`nn.functional.cosine_embedding_loss`.

    >>> import rushlight as rl
    >>> rl.cosine_embedding_loss(rl.ones(1, 2), rl.ones(1, 2), rl.ones(1)).abs() < 1e-6
    tensor(True)
    """
    return loss.cosine_embedding_loss(input1, input2, target, margin,
                                      reduction=_reduction("cosine_embedding_loss", reduction))


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: int = 1) -> Tensor:
    """`nn.functional.hinge_embedding_loss`.

    >>> import rushlight as rl
    >>> rl.hinge_embedding_loss(rl.tensor([0.5]), rl.tensor([-1.]))
    tensor(0.5000)
    """
    return loss.hinge_embedding_loss(input, target, margin, reduction=_reduction("hinge_embedding_loss", reduction))


def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0,
                        reduction: int = 1) -> Tensor:
    """`nn.functional.margin_ranking_loss`.

    >>> import rushlight as rl
    >>> rl.margin_ranking_loss(rl.tensor([1.]), rl.tensor([3.]), rl.tensor([1.]))
    tensor(2.)
    """
    return loss.margin_ranking_loss(input1, input2, target, margin,
                                    reduction=_reduction("margin_ranking_loss", reduction))


def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2,
                        eps: float = 1e-06, swap: bool = False, reduction: int = 1) -> Tensor:
    """`nn.functional.triplet_margin_loss`.

    >>> import rushlight as rl
    >>> rl.triplet_margin_loss(rl.zeros(1, 1), rl.zeros(1, 1), rl.ones(1, 1)).abs() < 1e-5
    tensor(True)
    """
    return loss.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap,
                                    reduction=_reduction("triplet_margin_loss", reduction))


def kl_div(input: Tensor, target: Tensor, reduction: int = 1, *, log_target: bool = False) -> Tensor:
    """`nn.functional.kl_div`.

    >>> import rushlight as rl
    >>> rl.kl_div(rl.zeros(2), rl.ones(2))
    tensor(0.)
    """
    return loss.reduced(loss.kl_div(input, target, reduction="none", log_target=log_target),
                        _reduction("kl_div", reduction))


def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int) -> Tensor:
    """`nn.functional.poisson_nll_loss`.

    >>> import rushlight as rl
    >>> rl.poisson_nll_loss(rl.zeros(1), rl.zeros(1), True, False, 1e-8, 1)
    tensor(1.)
    """
    return loss.poisson_nll_loss(input, target, log_input, full, eps=eps,
                                 reduction=_reduction("poisson_nll_loss", reduction))


def ctc_loss(log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0,
             reduction: int = 1, zero_infinity: bool = False) -> Tensor:
    """`nn.functional.ctc_loss`.

    >>> import rushlight as rl
    >>> rl.ctc_loss(rl.zeros(1, 1, 2), rl.ones(1, 1, dtype=rl.int64), [1], [1]).abs()
    tensor(0.)
    """
    return ctc.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank,
                        _reduction("ctc_loss", reduction), zero_infinity)

