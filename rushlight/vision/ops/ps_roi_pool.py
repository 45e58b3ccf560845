"""Position-sensitive RoIPool: every output cell averages channels of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rushlight import Tensor
from rushlight.vision.ops._regions import LinearRegions, RegionLayer, as_rows, check, pair, pooling_cells, rounded


class _Reader:
    def __init__(self, rois: np.ndarray, size: tuple[int, int], scale: float):
        self.images = rois[:, 0].astype(np.int64)
        self.corners = rounded(rois[:, 1:] * rois.dtype.type(scale))
        self.size = size

    def _cells(self, x: np.ndarray) -> list[tuple[tuple[int, int, int], np.ndarray]]:
        """Every cell with a view ``[C', pixels…]`` of its pixels; empty cells are left out.

        The last row and column of the feature map belong to no cell: so torchvision reads.
        """
        length = np.maximum(self.corners[:, 2:] - self.corners[:, :2], 1)
        tops, bottoms = pooling_cells(self.corners[:, 1], length[:, 1], self.size[0], x.shape[2] - 1)
        lefts, rights = pooling_cells(self.corners[:, 0], length[:, 0], self.size[1], x.shape[3] - 1)
        split = x.reshape(x.shape[0], -1, *self.size, *x.shape[2:])
        cells = [((k, i, j), split[self.images[k], :, i, j, tops[k, i]:bottoms[k, i], lefts[k, j]:rights[k, j]])
                 for k, i, j in np.ndindex(len(self.images), *self.size)]
        return [(place, part) for place, part in cells if part.size]

    def read(self, x: np.ndarray) -> np.ndarray:
        out = np.zeros((len(self.images), x.shape[1] // (self.size[0] * self.size[1]), *self.size), dtype=x.dtype)
        for (k, i, j), part in self._cells(x):
            out[k, :, i, j] = part.mean((1, 2))
        return out

    def spread(self, grad: np.ndarray, x: np.ndarray) -> None:
        for (k, i, j), part in self._cells(x):
            part += (grad[k, :, i, j] / (part.shape[1] * part.shape[2]))[:, None, None]


def ps_roi_pool(input: Tensor, boxes: Tensor | list[Tensor], output_size: int | Sequence[int],
                spatial_scale: float = 1.0) -> Tensor:
    """Regions of ``[N, C * height * width, H, W]`` as ``[K, C, height, width]``: cell (i, j) is the mean over its
    pixels of the channels ``c * height * width + i * width + j`` (arXiv 1605.06409).

    >>> import rushlight as rl
    >>> ps_roi_pool(rl.ones(1, 8, 6, 6), rl.tensor([[0., 1, 1, 5, 5]]), 2).shape
    torch.Size([1, 2, 2, 2])
    """
    rois = as_rows(boxes)
    size = pair(output_size)
    check(input, rois, size, True)
    return LinearRegions.apply(input, _Reader(rois.detach().numpy(), size, spatial_scale))


class PSRoIPool(RegionLayer):
    """:func:`ps_roi_pool` as a layer.

    >>> PSRoIPool(7, 0.25)
    PSRoIPool(output_size=7, spatial_scale=0.25)
    """

    pool = staticmethod(ps_roi_pool)
