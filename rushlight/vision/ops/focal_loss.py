"""The focal loss of RetinaNet."""

from __future__ import annotations

import rushlight as rl
from rushlight import Tensor
from rushlight.nn import functional as F
from rushlight.vision.ops._reduction import reduced


def sigmoid_focal_loss(inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2,
                       reduction: str = "none") -> Tensor:
    """Binary cross entropy in which well classified samples weigh less: ``-α (1 - p)^γ log p`` (arXiv 1708.02002).

    ``inputs`` are logits, ``targets`` 0 or 1, both of any equal shape; ``alpha`` in [0, 1] weighs the positive class,
    -1 no weighting. ValueError for other values.

    >>> sigmoid_focal_loss(rl.tensor([0.0]), rl.tensor([1.0]))
    tensor([0.0433])
    """
    if not (0 <= alpha <= 1) and alpha != -1:
        raise ValueError(f"Invalid alpha value: {alpha}. alpha must be in the range [0,1] or -1 for ignore.")
    p = rl.sigmoid(inputs)
    right = p * targets + (1 - p) * (1 - targets)
    loss = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none") * (1 - right) ** gamma
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    return loss.mean() if reduction == "mean" else reduced(loss, reduction)
