"""Position-sensitive RoIAlign: every output cell reads channels of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rushlight import Tensor
from rushlight.vision.ops._regions import LinearRegions, RegionLayer, as_rows, check, pair, sampling_weights


class _Reader:
    def __init__(self, rois: np.ndarray, size: tuple[int, int], scale: float, ratio: int):
        self.images = rois[:, 0].astype(np.int64)
        corners = rois[:, 1:] * rois.dtype.type(scale) - rois.dtype.type(0.5)
        self.start, self.length = corners[:, :2], corners[:, 2:] - corners[:, :2]
        self.size, self.ratio = size, ratio

    def _regions(self, x: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Per region: a view of its pixels as [C', height, width, y, x], and the weights of rows and columns."""
        rows = sampling_weights(self.start[:, 1], self.length[:, 1], self.size[0], self.ratio, x.shape[2])
        columns = sampling_weights(self.start[:, 0], self.length[:, 0], self.size[1], self.ratio, x.shape[3])
        split = x.reshape(x.shape[0], -1, *self.size, *x.shape[2:])
        return [(split[image, ..., y:y + r.shape[1], left:left + c.shape[1]], r, c)
                for image, (y, r), (left, c) in zip(self.images.tolist(), rows, columns, strict=True)]

    def read(self, x: np.ndarray) -> np.ndarray:
        out = np.zeros((len(self.images), x.shape[1] // (self.size[0] * self.size[1]), *self.size), dtype=x.dtype)
        for k, (region, rows, columns) in enumerate(self._regions(x)):
            out[k] = np.einsum("py,qx,cpqyx->cpq", rows, columns, region, optimize=True)
        return out

    def spread(self, grad: np.ndarray, x: np.ndarray) -> None:
        for k, (region, rows, columns) in enumerate(self._regions(x)):
            region += np.einsum("py,qx,cpq->cpqyx", rows, columns, grad[k], optimize=True)


def ps_roi_align(input: Tensor, boxes: Tensor | list[Tensor], output_size: int | Sequence[int],
                 spatial_scale: float = 1.0, sampling_ratio: int = -1) -> Tensor:
    """Regions of ``[N, C * height * width, H, W]`` as ``[K, C, height, width]``: cell (i, j)
    averages samples of the channels ``c * height * width + i * width + j`` (arXiv 1711.07264).
    Arguments as of ``roi_align``, aligned by half a pixel.

    >>> import rushlight as rl
    >>> ps_roi_align(rl.ones(1, 8, 6, 6), rl.tensor([[0., 1, 1, 5, 5]]), 2).shape
    torch.Size([1, 2, 2, 2])
    """
    rois = as_rows(boxes)
    size = pair(output_size)
    check(input, rois, size, True)
    return LinearRegions.apply(input, _Reader(rois.detach().numpy(), size, spatial_scale, sampling_ratio))


class PSRoIAlign(RegionLayer):
    """:func:`ps_roi_align` as a layer.

    >>> PSRoIAlign(7, 0.25, 2)
    PSRoIAlign(output_size=7, spatial_scale=0.25, sampling_ratio=2)
    """

    pool = staticmethod(ps_roi_align)
    options = ("output_size", "spatial_scale", "sampling_ratio")

    def __init__(self, output_size: int | Sequence[int], spatial_scale: float, sampling_ratio: int):
        super().__init__(output_size, spatial_scale)
        self.sampling_ratio = sampling_ratio
