"""DropBlock: neighbouring activations are dropped together."""

from __future__ import annotations

import math
from collections.abc import Callable

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F


def _drop(input: Tensor, p: float, block_size: int, inplace: bool, eps: float, training: bool, dims: int,
          pool: Callable[..., Tensor]) -> Tensor:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"drop probability has to be between 0 and 1, but got {p}.")
    if input.ndim != dims + 2:
        raise ValueError(f"input should be {dims + 2} dimensional. Got {input.ndim} dimensions.")
    if not training or p == 0.0:
        return input
    space = input.shape[2:]
    block_size = min(block_size, *space)
    if block_size % 2 == 0:
        raise ValueError(f"block size should be odd. Got {block_size} which is even.")
    centres = [side - block_size + 1 for side in space]
    gamma = p * math.prod(space) / (block_size ** dims * math.prod(centres))
    seeds = rl.empty((*input.shape[:2], *centres), dtype=input.dtype).bernoulli_(gamma)
    seeds = F.pad(seeds, [block_size // 2] * (2 * dims), value=0)
    keep = 1 - pool(seeds, kernel_size=block_size, stride=1, padding=block_size // 2)
    scale = keep.numel() / (eps + keep.sum())
    return input.mul_(keep).mul_(scale) if inplace else input * keep * scale


def drop_block2d(input: Tensor, p: float, block_size: int, inplace: bool = False, eps: float = 1e-6,
                 training: bool = True) -> Tensor:
    """Zeroes squares of ``block_size`` in each channel of ``[N, C, H,
    W]`` so that about ``p`` of all is gone (arXiv 1810.12890).

    >>> drop_block2d(rl.ones(1, 1, 4, 4), 0.5, 3, training=False).sum()
    tensor(16.)
    """
    return _drop(input, p, block_size, inplace, eps, training, 2, F.max_pool2d)


def drop_block3d(input: Tensor, p: float, block_size: int, inplace: bool = False, eps: float = 1e-6,
                 training: bool = True) -> Tensor:
    """Zeroes cubes of ``block_size`` in each channel of ``[N, C, D, H, W]`` so that about ``p`` of all is gone.

    >>> drop_block3d(rl.ones(1, 1, 4, 4, 4), 0.5, 3, training=False).sum()
    tensor(64.)
    """
    return _drop(input, p, block_size, inplace, eps, training, 3, F.max_pool3d)


class DropBlock2d(nn.Module):
    """:func:`drop_block2d` as a layer.

    >>> DropBlock2d(0.1, 3)
    DropBlock2d(p=0.1, block_size=3, inplace=False)
    """

    function = staticmethod(drop_block2d)

    def __init__(self, p: float, block_size: int, inplace: bool = False, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = p
        self.block_size = block_size
        self.inplace = inplace
        self.eps = eps

    def forward(self, input: Tensor) -> Tensor:
        return self.function(input, self.p, self.block_size, self.inplace, self.eps, self.training)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p}, block_size={self.block_size}, inplace={self.inplace})"


class DropBlock3d(DropBlock2d):
    """:func:`drop_block3d` as a layer.

    >>> DropBlock3d(0.1, 3)
    DropBlock3d(p=0.1, block_size=3, inplace=False)
    """

    function = staticmethod(drop_block3d)
