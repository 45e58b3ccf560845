"""Loss functions."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from rushlight.ir.dtype import int64, uint8
from rushlight.tensor.autocast import full
from rushlight.tensor import coarse
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions import pointwise as P
from rushlight.tensor.functions.common import cast, is_float, scalar_name
from rushlight.tensor.functions import reduction as R
from rushlight.tensor.known import known
from rushlight.tensor.state import state


def legacy_reduction(reduction: str, size_average: Any, reduce: Any) -> str:
    """The reduction that the old arguments ask for, where one is given."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is not None and not reduce:
        return "none"
    return "mean" if size_average is None or size_average else "sum"


def reduced(loss: Tensor, reduction: str, size_average: Any = None, reduce: Any = None) -> Tensor:
    """The loss of each element, its sum or its mean."""
    reduction = legacy_reduction(reduction, size_average, reduce)
    if reduction == "none":
        return loss
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    raise ValueError(f"{reduction} is not a valid value for reduction")


def _same_size(input: Tensor, target: Tensor) -> None:
    if target._spec.shape != input._spec.shape:
        warnings.warn(f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). "
                      "This will likely lead to incorrect results due to broadcasting. "
                      "Please ensure they have the same size.", stacklevel=3)


def cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
                  ignore_index: int = -100, reduce: Any = None, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Tensor:
    """-log softmax(input)[target]: input (n, c, …) of logits, target class indices (n, …) or probabilities (n, c, …).

    >>> import rushlight as rl
    >>> rl.nn.functional.cross_entropy(rl.zeros(2, 4), rl.tensor([1, 3]))
    tensor(1.3863)
    """
    reduction = legacy_reduction(reduction, size_average, reduce)
    if state.autocast is not None:
        return _full_cross_entropy(input, target, weight, None, ignore_index, None, reduction, label_smoothing)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if not isinstance(target, Tensor):
        raise TypeError("cross_entropy_loss(): "
                        f"argument 'target' (position 2) must be Tensor, not {type(target).__name__}")
    x, wanted = input._spec, target._spec
    if not x.shape:
        raise RuntimeError("cross_entropy expects input with at least one dimension")
    dim = 0 if len(x.shape) == 1 else 1
    if wanted.dtype.kind in "fc":
        if wanted.shape == x.shape:
            return _with_probabilities(input, target, weight, reduction, label_smoothing, dim)
        if len(wanted.shape) == len(x.shape) - 1:
            raise _no_classes(target)
    _check_target(input, target, dim, ignore_index)
    if weight is None and not label_smoothing and len(x.shape) == 2 and wanted.dtype is int64:
        if reduction == "mean":
            return coarse.cross_entropy_mean(input, target, ignore_index)
        return reduced(coarse.cross_entropy_rows(input, target, ignore_index), reduction)
    logp = R.log_softmax(input, dim)
    loss = nll_loss(logp, target, weight, None, ignore_index, None, reduction)
    if not label_smoothing:
        return loss
    return _smoothed(loss, logp, target, weight, ignore_index, reduction, label_smoothing, dim)


_full_cross_entropy = full(cross_entropy)


def _no_classes(target: Tensor) -> RuntimeError:
    return RuntimeError(f"expected target dtype to be Long or Byte, but got {scalar_name(target.dtype)}. Class "
                        f"indices must be integers: use target.long(); the target has shape {list(target.shape)}.")


def _check_classes(target: Tensor, classes: int, ignore: int) -> None:
    """IndexError for a class that is known by now and does not exist."""
    values = known(target)
    if values is None or not values.size:
        return
    # negative numbers are large ones
    if values.dtype == np.int64 and np.maximum.reduce(values.view(np.uint64), None) < classes:
        return
    counted = values != ignore
    bad = np.argwhere(counted & ((values < 0) | (values >= classes)))
    if len(bad):
        at = bad[0].tolist()
        where = f" It stands at position {at[0] if len(at) == 1 else at} of the targets, and" if at else ""
        from_one = (" Classes count from 0: subtract 1." if values[counted].min() == 1
                    and values.max() == classes else "")
        raise IndexError(f"Target {values[tuple(at)]} is out of bounds.{where or ' Here'} the input "
                         f"has {classes} classes (0 to {classes - 1}).{from_one}")


def _check_target(input: Tensor, target: Tensor, dim: int, ignore_index: int) -> None:
    have, want = target._spec.shape, input._spec.shape
    if have == want[:dim] + want[dim + 1:]:
        return _check_classes(target, want[dim], ignore_index)
    if target.ndim != max(0, input.ndim - 1):
        if target.ndim == input.ndim and is_float(input):
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported. "
                               f"The target has shape {list(target.shape)}; "
                               f"for class indices it must be {[input.shape[0], *input.shape[2:]]}, "
                               f"for probabilities a float tensor of {list(input.shape)}.")
        raise ValueError(f"Expected input batch_size ({input.shape[0]}) to match target "
                         f"batch_size ({target.shape[0] if target.ndim else 1}).")
    if dim and target.shape[0] != input.shape[0]:
        raise ValueError(f"Expected input batch_size ({input.shape[0]}) to match target "
                         f"batch_size ({target.shape[0]}).")
    raise RuntimeError(f"Expected target size {[input.shape[0], *input.shape[2:]]}, got {list(target.shape)}")


def _with_probabilities(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float,
                        dim: int) -> Tensor:
    n = input.shape[dim]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / n
    logp = R.log_softmax(input, dim)
    if weight is not None:
        logp = logp * weight.reshape([-1 if d == dim else 1 for d in range(input.ndim)])
    loss = -(logp * target).sum(dim)
    if reduction == "mean":
        return loss.sum() / (input.numel() / n)
    return reduced(loss, reduction)


def _smoothed(loss: Tensor, logp: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str,
              smoothing: float, dim: int) -> Tensor:
    n = logp.shape[dim]
    skip = target == ignore_index
    if weight is not None:
        smooth = -(logp * weight.reshape([-1 if d == dim else 1 for d in range(logp.ndim)])).sum(dim)
    else:
        smooth = -logp.sum(dim)
    smooth = P.where(skip, 0, smooth)
    if reduction == "mean":
        if weight is not None:
            total = P.where(skip, 0, weight[P.where(skip, 0, target)]).sum()
        else:
            total = cast((~skip).sum(), logp.dtype)
        part = smooth.sum() / total
    else:
        part = reduced(smooth, reduction)
    return loss * (1 - smoothing) + part * (smoothing / n)


@full
def nll_loss(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
             ignore_index: int = -100, reduce: Any = None, reduction: str = "mean") -> Tensor:
    """-weight[target] * input[target]: input (n, c, …) of log-probabilities, target (n, …).

    >>> import rushlight as rl
    >>> rl.nn.functional.nll_loss(rl.tensor([[-1.0, -2.0]]), rl.tensor([1]))
    tensor(2.)
    """
    if not input.ndim:
        raise RuntimeError("nll_loss expects input with at least one dimension")
    dim = 0 if input.ndim == 1 else 1
    if target.dtype not in (int64, uint8):
        raise _no_classes(target)
    _check_target(input, target, dim, ignore_index)
    if weight is not None and (weight.ndim != 1 or weight.numel() != input.shape[dim]):
        raise RuntimeError(f"weight tensor should be defined either for all {input.shape[dim]} classes "
                           f"or no classes but got weight tensor of shape: {list(weight.shape)}")
    target = cast(target, int64)
    reduction = legacy_reduction(reduction, size_average, reduce)
    if weight is None and input.ndim == 2:
        if reduction == "mean":
            return coarse.nll_mean(input, target, ignore_index)
        return reduced(coarse.nll_rows(input, target, ignore_index), reduction)
    skip = target == ignore_index
    safe = P.where(skip, 0, target)
    try:
        picked = input.gather(dim, safe.unsqueeze(dim)).squeeze(dim)
    except IndexError as e:
        raise IndexError(f"Target out of bounds: {e}") from None
    loss = -picked
    if weight is not None:
        w = P.where(skip, 0, weight[safe])
        loss = loss * w
    loss = P.where(skip, 0, loss)
    if reduction == "mean":
        total = w.sum() if weight is not None else cast((~skip).sum(), input.dtype)
        return loss.sum() / total
    return reduced(loss, reduction)


@full
def mse_loss(input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
             weight: Tensor | None = None) -> Tensor:
    """(input - target)².

    Shapes that broadcast; a scalar, or their shape with ``reduction="none"``.

    >>> import rushlight as rl
    >>> rl.nn.functional.mse_loss(rl.tensor([1.0, 3.0]), rl.tensor([1.0, 1.0]))
    tensor(2.)
    """
    _same_size(input, target)
    d = input - target
    loss = d * d
    return reduced(loss if weight is None else loss * weight, reduction, size_average, reduce)


@full
def l1_loss(input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
            weight: Tensor | None = None) -> Tensor:
    """|input - target|."""
    _same_size(input, target)
    loss = (input - target).abs()
    return reduced(loss if weight is None else loss * weight, reduction, size_average, reduce)


@full
def smooth_l1_loss(input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
                   beta: float = 1.0) -> Tensor:
    """0.5 d² / beta where |d| < beta, else |d| - 0.5 beta."""
    _same_size(input, target)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    d = input - target
    return reduced(coarse.smooth_l1(d, beta) if beta else d.abs(), reduction, size_average, reduce)


@full
def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0,
               weight: Tensor | None = None) -> Tensor:
    """0.5 d² where |d| < delta, else delta (|d| - 0.5 delta)."""
    _same_size(input, target)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    loss = coarse.huber(input - target, delta)
    return reduced(loss if weight is None else loss * weight, reduction)


@full
def binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
                         reduce: Any = None, reduction: str = "mean") -> Tensor:
    """-(t log p + (1 - t) log(1 - p)), logarithms not below -100."""
    if target.shape != input.shape:
        raise ValueError(f"Using a target size ({target.size()}) that is different to the input size "
                         f"({input.size()}) is deprecated. Please ensure they have the same size.")
    if target.dtype is not input.dtype:
        raise RuntimeError(f"Found dtype {scalar_name(target.dtype)} but expected {scalar_name(input.dtype)}. "
                           "Convert the target with target.to(input.dtype).")
    loss = -(target * input.log().clamp(min=-100) + (1 - target) * (1 - input).log().clamp(min=-100))
    return reduced(loss if weight is None else loss * weight, reduction, size_average, reduce)


@full
def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None = None,
                                     size_average: Any = None, reduce: Any = None, reduction: str = "mean",
                                     pos_weight: Tensor | None = None) -> Tensor:
    """binary_cross_entropy of sigmoid(input), without overflow."""
    if target.shape != input.shape:
        raise ValueError(f"Target size ({target.size()}) must be the same as input size ({input.size()})")
    if target.dtype.kind in "iu":
        raise RuntimeError(f"result type {scalar_name(input.dtype)} can't be cast to the desired output type "
                           f"{scalar_name(target.dtype)}. The target must be of a floating type: use target.float().")
    from rushlight.nn.functional.activation import logsigmoid
    if pos_weight is None:
        loss = (1 - target) * input - logsigmoid(input)
    else:
        loss = (1 - target) * input - ((pos_weight - 1) * target + 1) * logsigmoid(input)
    return reduced(loss if weight is None else loss * weight, reduction, size_average, reduce)


@full
def kl_div(input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
           log_target: bool = False) -> Tensor:
    """target * (log target - input); input is a log-probability."""
    if log_target:
        loss = target.exp() * (target - input)
    else:
        loss = P.xlogy(target, target) - target * input
    if reduction == "batchmean":
        return loss.sum() / input.shape[0] if input.ndim else loss.sum()
    if reduction == "mean" and size_average is None and reduce is None:
        warnings.warn("reduction: 'mean' divides the total loss by both the batch size "
                      "and the support size.'batchmean' divides only by the batch size, "
                      "and aligns with the KL div math definition.'mean' will be changed to behave "
                      "the same as 'batchmean' in the next major release.", stacklevel=2)
    return reduced(loss, reduction, size_average, reduce)


@full
def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool = True, full: bool = False,
                     size_average: Any = None, eps: float = 1e-8, reduce: Any = None,
                     reduction: str = "mean") -> Tensor:
    """exp(x) - t x (log_input) or x - t log(x + eps); full adds Stirling's term."""
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        t = P.where(target > 1, target, 1)
        stirling = t * t.log() - t + (t * (2 * math.pi)).log() * 0.5
        loss = loss + P.where(target > 1, stirling, 0)
    return reduced(loss, reduction, size_average, reduce)


def _one_for_several(var: Any, shape: Any) -> bool:
    """Whether variances of this shape spread over predictions along one dimension, where there is one of them."""
    if len(var) != len(shape) or not all(a in (1, b) for a, b in zip(var, shape)):
        return False
    return sum(a != b for a, b in zip(var, shape)) == 1


def gaussian_nll_loss(input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6,
                      reduction: str = "mean") -> Tensor:
    """0.5 (log var + (input - target)² / var), var at least eps."""
    from rushlight.tensor.creation import full as filled
    if not isinstance(var, Tensor):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = filled(input.shape, float(var), dtype=input.dtype)
    if var.shape != input.shape:
        if tuple(input.shape[:-1]) == tuple(var.shape):
            var = var.unsqueeze(-1)
        elif not _one_for_several(var.shape, input.shape):
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    if bool((var < 0).any()):
        raise ValueError("var has negative entry/entries")
    safe = var + (var.detach().clamp(min=eps) - var.detach())
    loss = 0.5 * (safe.log() + (input - target) ** 2 / safe)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


@full
def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, size_average: Any = None,
                         reduce: Any = None, reduction: str = "mean") -> Tensor:
    """x where the target is 1, max(0, margin - x) where it is -1."""
    loss = P.where(target != 1, P.clamp_min(margin - input, 0), 0) + P.where(target != -1, input, 0)
    return reduced(loss, reduction, size_average, reduce)


@full
def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: Any = None,
                        reduce: Any = None, reduction: str = "mean") -> Tensor:
    """max(0, -target (input1 - input2) + margin)."""
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError("margin_ranking_loss : All input tensors should have same dimension but got sizes: "
                           f"input1: {input1.size()}, input2: {input2.size()}, target: {target.size()} ")
    return reduced(P.clamp_min(-target * (input1 - input2) + margin, 0), reduction, size_average, reduce)


@full
def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: Any = None,
                          reduce: Any = None, reduction: str = "mean") -> Tensor:
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1."""
    if target.ndim not in (0, 1):
        raise RuntimeError(f"0D or 1D target tensor expected, multi-target not supported")  # noqa: F541
    if target.ndim == 1 and (input1.ndim != 2 or input2.ndim != 2):
        raise RuntimeError("1D target tensor expects 2D input tensors, "
                           f"but found inputs with sizes {list(input1.shape)} and {list(input2.shape)}.")
    if target.ndim == 0 and (input1.ndim != 1 or input2.ndim != 1):
        raise RuntimeError("0D target tensor expects 1D input tensors, "
                           f"but found inputs with sizes {list(input1.shape)} and {list(input2.shape)}.")
    eps = 1e-12
    cos = (input1 * input2).sum(-1) / (((input1 * input1).sum(-1) + eps) * ((input2 * input2).sum(-1) + eps)).sqrt()
    loss = P.where(target == 1, 1 - cos, 0) + P.where(target == -1, P.clamp_min(cos - margin, 0), 0)
    return reduced(loss, reduction, size_average, reduce)


@full
def soft_margin_loss(input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
                     reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target * input))."""
    return reduced((-target * input).exp().log1p(), reduction, size_average, reduce)


def multilabel_soft_margin_loss(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
                                reduce: Any = None, reduction: str = "mean") -> Tensor:
    """The mean over classes of binary_cross_entropy_with_logits."""
    from rushlight.nn.functional.activation import logsigmoid
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return reduced(loss.sum(-1) / input.shape[-1], reduction, size_average, reduce)


@full
def multi_margin_loss(input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None,
                      size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> Tensor:
    """The mean over other classes of max(0, margin - x[target] + x[j]) ** p."""
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    x = input.reshape(1, -1) if input.ndim < 2 else input
    t = target.reshape(-1)
    if t.shape[0] != x.shape[0]:
        raise RuntimeError(f"inconsistent target size, expected {x.shape[0]} but got {list(target.shape)}")
    z = P.clamp_min(margin - x.gather(1, t.unsqueeze(1)) + x, 0)
    z = z * z if p == 2 else z
    if weight is not None:
        z = z * weight[t].unsqueeze(1)
    own = one_hot_mask(t, x.shape[1])
    loss = P.where(own, 0, z).sum(1) / x.shape[1]
    return reduced(loss if input.ndim >= 2 or reduction != "none" else loss.reshape(()),
                   reduction, size_average, reduce)


def one_hot_mask(target: Tensor, classes: int) -> Tensor:
    """True at each row's target."""
    from rushlight.tensor.sequences import arange
    return arange(classes).unsqueeze(0) == target.unsqueeze(1)


@full
def multilabel_margin_loss(input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
                           reduction: str = "mean") -> Tensor:
    """The mean over (label, other class) of max(0, 1 - x[label] + x[other]); labels of a row end at the first -1."""
    if input.ndim > 2 or 0 in input.shape[-1:]:
        raise RuntimeError("Expected non-empty vector or matrix with optional 0-dim "
                           f"batch size, but got: {list(input.shape)}")
    x = input.reshape(1, -1) if input.ndim < 2 else input
    t = target.reshape(1, -1) if target.ndim < 2 else target
    if t.shape != x.shape:
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}")
    given = (t >= 0).to(int64).cumprod(1) == 1
    safe = P.where(given, t, 0)
    is_label = x.detach() * 0
    is_label = is_label.scatter_add(1, safe, cast(given, x.dtype)) > 0
    z = P.clamp_min(1 - x.gather(1, safe).unsqueeze(2) + x.unsqueeze(1), 0)
    use = given.unsqueeze(2) & ~is_label.unsqueeze(1)
    loss = P.where(use, z, 0).sum((1, 2)) / x.shape[1]
    return reduced(loss if input.ndim >= 2 or reduction != "none" else loss.reshape(()),
                   reduction, size_average, reduce)


@full
def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2,
                        eps: float = 1e-6, swap: bool = False, size_average: Any = None, reduce: Any = None,
                        reduction: str = "mean") -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with the p-norm distance."""
    from rushlight.nn.functional.distance import pairwise_distance
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError("The anchor, positive, and negative tensors are expected to have "
                           f"the same number of dimensions, but got: anchor {anchor.ndim}D, "
                           f"positive {positive.ndim}D, and negative {negative.ndim}D inputs")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = P.minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(P.clamp_min(near - far + margin, 0), reduction, size_average, reduce)


def triplet_margin_with_distance_loss(anchor: Tensor, positive: Tensor, negative: Tensor, *,
                                      distance_function: Any = None, margin: float = 1.0, swap: bool = False,
                                      reduction: str = "mean") -> Tensor:
    """triplet_margin_loss with a distance of one's own."""
    from rushlight.nn.functional.distance import pairwise_distance
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    d = distance_function or pairwise_distance
    near, far = d(anchor, positive), d(anchor, negative)
    if swap:
        far = P.minimum(far, d(positive, negative))
    return reduced(P.clamp_min(near - far + margin, 0), reduction)
