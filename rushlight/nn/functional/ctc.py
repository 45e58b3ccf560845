"""Connectionist temporal classification."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ops.table import TABLE
from rushlight.tensor.autocast import full
from rushlight.tensor.core import Tensor, apply, unwrap, wrap
from rushlight.tensor.functions import pointwise as P


@full
def ctc_loss(log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0,
             reduction: str = "mean", zero_infinity: bool = False) -> Tensor:
    """-log of the probability of the targets over all alignments; log_probs (t, n, c) or (t, c). RuntimeError for lengths that do not fit."""
    from rushlight.nn.functional.loss import reduced
    if not log_probs.numel():
        raise RuntimeError("log_probs tensor must not be empty")
    single = log_probs.ndim == 2
    x = log_probs.unsqueeze(1) if single else log_probs
    n, c = x.shape[1], x.shape[2]
    if not 0 <= blank < c:
        raise RuntimeError("blank must be in label range")
    lengths = np.asarray(_numbers(input_lengths)).reshape(-1)
    sizes = np.asarray(_numbers(target_lengths)).reshape(-1)
    if len(lengths) != n:
        raise RuntimeError("input_lengths must be of size batch_size: "
                           f"{len(lengths)} lengths for a batch of {n}")
    if len(sizes) != n:
        raise RuntimeError(f"target_lengths must be of size batch_size: {len(sizes)} lengths for a batch of {n}")
    for name, values in (("input_lengths", lengths), ("target_lengths", sizes)):
        if values.size and values.min() < 0:
            raise RuntimeError(f"Expected {name} to have value at least 0, but got value {int(values.min())}")
    if unwrap(targets).ndim == 2 and sizes.size and sizes.max() > targets.shape[1]:
        raise RuntimeError(f"Expected tensor to have size at least {int(sizes.max())} at dimension 1, but got size {targets.shape[1]} for argument #2 "
                           "'targets'")
    if lengths.size and lengths.max() > x.shape[0]:
        raise RuntimeError(f"Expected input_lengths to have value at most {x.shape[0]}, "
                           f"but got value {int(lengths.max())}")
    labels = _labels(unwrap(targets), sizes, n)
    width = 2 * labels.shape[1] + 1
    extended = np.full((n, width), blank, np.int64)
    extended[:, 1::2] = labels
    jump = np.zeros((n, width), bool)
    jump[:, 2:] = (extended[:, 2:] != blank) & (extended[:, 2:] != extended[:, :-2])
    emit = x.gather(2, wrap(extended).unsqueeze(0).expand(x.shape[0], -1, -1))
    loss = -apply(TABLE["ctc"], (emit, wrap(jump), wrap(lengths.astype(np.int64)), wrap(sizes.astype(np.int64))))
    loss = _as_of_logits(loss, x, lengths)
    if zero_infinity:
        loss = P.where(loss == float("inf"), 0, loss)
    if reduction == "mean":
        return (loss / wrap(np.maximum(sizes, 1)).to(loss.dtype)).mean()
    out = reduced(loss, reduction)
    return out.squeeze(0) if single and reduction == "none" else out


def _as_of_logits(loss: Tensor, x: Tensor, lengths: np.ndarray) -> Tensor:
    """The loss, with PyTorch's gradient: exp(x) minus the posterior,
    which is the gradient for the logits of a log_softmax.

    It differs from the gradient for x alone, minus the posterior, by exp(x) in the steps of each input; log_softmax
    projects that out.
    """
    if not x.requires_grad:
        return loss
    inside = wrap(np.arange(x.shape[0])[:, None, None] < lengths[None, :, None])
    mass = P.where(inside, x, float("-inf")).exp().sum((0, 2))
    return loss + (mass - mass.detach())


def _numbers(v: Any) -> Any:
    return unwrap(v) if isinstance(v, Tensor) else v


def _labels(targets: np.ndarray, sizes: np.ndarray, n: int) -> np.ndarray:
    """Targets as rows, padded with 0."""
    if targets.ndim == 2:
        return targets[:, :int(sizes.max())] if sizes.size else targets
    rows = np.zeros((n, int(sizes.max()) if sizes.size else 0), np.int64)
    at = 0
    for i, k in enumerate(sizes):
        rows[i, :k] = targets[at:at + k]
        at += k
    return rows
