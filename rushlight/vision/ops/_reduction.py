"""How losses of boxes are reduced."""

from __future__ import annotations

from rushlight import Tensor


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The loss as it is, its sum or its mean; the mean of nothing is 0 and still has a gradient."""
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if reduction == "mean":
        return loss.mean() if loss.numel() > 0 else 0.0 * loss.sum()
    raise ValueError("Invalid Value for arg 'reduction': "
                     f"'{reduction} \n Supported reduction modes: 'none', 'mean', 'sum'")
