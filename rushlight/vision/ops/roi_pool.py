"""RoIPool: regions of a feature map, each cell the largest value of its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import rushlight as rl
from rushlight import Tensor
from rushlight.autograd import Function
from rushlight.vision.ops._regions import RegionLayer, as_rows, check, pair, pooling_cells, rounded


class _Pool(Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, rois: np.ndarray, size: tuple[int, int], scale: float) -> Tensor:
        x = np.ascontiguousarray(input.detach().numpy())
        batch, channels, height, width = x.shape
        corners = rounded(rois[:, 1:] * rois.dtype.type(scale))
        length = np.maximum(corners[:, 2:] - corners[:, :2] + 1, 1)
        tops, bottoms = pooling_cells(corners[:, 1], length[:, 1], size[0], height)
        lefts, rights = pooling_cells(corners[:, 0], length[:, 0], size[1], width)
        out = np.zeros((len(rois), channels, *size), dtype=x.dtype)
        # place of the largest value in its feature map, -1 for an empty cell
        chosen = np.full(out.shape, -1, dtype=np.int64)
        for k, i, j in np.ndindex(len(rois), *size):
            top, left = tops[k, i], lefts[k, j]
            part = x[int(rois[k, 0]), :, top:bottoms[k, i], left:rights[k, j]]
            if part.size:
                flat = part.reshape(channels, -1)
                best = flat.argmax(1)
                out[k, :, i, j] = flat[np.arange(channels), best]
                chosen[k, :, i, j] = (top + best // part.shape[2]) * width + left + best % part.shape[2]
        ctx.shape, ctx.images, ctx.chosen = x.shape, rois[:, 0].astype(np.int64), chosen
        return rl.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        g = grad.detach().numpy()
        spread = np.zeros((ctx.shape[0], ctx.shape[1], ctx.shape[2] * ctx.shape[3]), dtype=g.dtype)
        k, c, i, j = np.nonzero(ctx.chosen >= 0)
        np.add.at(spread, (ctx.images[k], c, ctx.chosen[k, c, i, j]), g[k, c, i, j])
        return rl.from_numpy(spread.reshape(ctx.shape)), None, None, None


def roi_pool(input: Tensor, boxes: Tensor | list[Tensor], output_size: int | Sequence[int],
             spatial_scale: float = 1.0) -> Tensor:
    """Regions of ``[N, C, H, W]`` as ``[K, C, height, width]``, the largest value of each cell (arXiv 1504.08083).

    Corners are rounded to whole pixels; an empty cell is 0. ``boxes`` as of ``roi_align``.

    >>> roi_pool(rl.arange(16.).reshape(1, 1, 4, 4), rl.tensor([[0., 0, 0, 3, 3]]), 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """
    rois = as_rows(boxes)
    size = pair(output_size)
    check(input, rois, size, False)
    return _Pool.apply(input, rois.detach().numpy(), size, spatial_scale)


class RoIPool(RegionLayer):
    """:func:`roi_pool` as a layer.

    >>> RoIPool(7, 0.25)
    RoIPool(output_size=7, spatial_scale=0.25)
    """

    pool = staticmethod(roi_pool)
