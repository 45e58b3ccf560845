"""Stochastic depth: whole branches of a residual network are dropped while it trains."""

from __future__ import annotations

import rushlight as rl
from rushlight import Tensor, nn


def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
    """Each sample (``mode="row"``) or the whole batch (``"batch"``) is zeroed with probability ``p``, else divided by
    ``1 - p``.

    The same random numbers as in torchvision; nothing happens unless ``training`` (arXiv 1603.09382).

    >>> stochastic_depth(rl.ones(2), 0.5, "row", training=False)
    tensor([1., 1.])
    """
    if p < 0.0 or p > 1.0:
        raise ValueError(f"drop probability has to be between 0 and 1, but got {p}")
    if mode not in ("batch", "row"):
        raise ValueError(f"mode has to be either 'batch' or 'row', but got {mode}")
    if not training or p == 0.0:
        return input
    keep = 1.0 - p
    shape = [input.shape[0] if mode == "row" else 1] + [1] * (input.ndim - 1)
    noise = rl.empty(shape, dtype=input.dtype).bernoulli_(keep)
    return input * (noise / keep if keep > 0.0 else noise)


class StochasticDepth(nn.Module):
    """:func:`stochastic_depth` as a layer.

    >>> StochasticDepth(0.2, "row")
    StochasticDepth(p=0.2, mode=row)
    """

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:
        return stochastic_depth(input, self.p, self.mode, self.training)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p}, mode={self.mode})"
