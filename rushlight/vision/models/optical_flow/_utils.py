"""Flow fields: grids of pixel coordinates, sampling at them, and enlarging."""

from __future__ import annotations

from typing import Any

import rushlight as rl
from rushlight import Tensor
from rushlight.nn import functional as F


def grid_sample(img: Tensor, absolute_grid: Tensor, mode: str = "bilinear",
                align_corners: bool | None = None) -> Tensor:
    """``functional.grid_sample`` at coordinates ``[..., 2]`` (x, y) in pixels."""
    height, width = img.shape[-2:]
    x, y = absolute_grid.split([1, 1], dim=-1)
    x = 2 * x / (width - 1) - 1
    if height > 1:
        y = 2 * y / (height - 1) - 1
    return F.grid_sample(img, rl.cat([x, y], dim=-1), mode=mode, align_corners=align_corners)


def make_coords_grid(batch_size: int, h: int, w: int, device: Any = "cpu") -> Tensor:
    """The coordinates (x, y) of every pixel, float32 ``[N, 2, H, W]``.

    >>> make_coords_grid(1, 1, 3)[0, 0].tolist()
    [[0.0, 1.0, 2.0]]
    """
    y, x = rl.meshgrid(rl.arange(h, device=device), rl.arange(w, device=device), indexing="ij")
    return rl.stack([x, y]).float()[None].repeat(batch_size, 1, 1, 1)


def upsample_flow(flow: Tensor, up_mask: Tensor | None = None, factor: int = 8) -> Tensor:
    """A flow ``[N, C, H, W]`` on a grid ``factor`` times as fine, its vectors longer by as much.

    Without ``up_mask`` interpolated linearly; with it ``[N, 9·factor², H, W]`` each fine vector is a mean of its 9
    coarse neighbours, weighted by the softmax of the mask (arXiv 2003.12039, appendix B).
    """
    batch, channels, height, width = flow.shape
    size = height * factor, width * factor
    if up_mask is None:
        return factor * F.interpolate(flow, size=size, mode="bilinear", align_corners=True)
    weights = rl.softmax(up_mask.view(batch, 1, 9, factor, factor, height, width), dim=2)
    near = F.unfold(factor * flow, kernel_size=3, padding=1).view(batch, channels, 9, 1, 1, height, width)
    return (weights * near).sum(dim=2).permute(0, 1, 4, 2, 5, 3).reshape(batch, channels, *size)
