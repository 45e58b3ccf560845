"""RoIAlign: regions of a feature map, averaged from bilinear samples to one size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rushlight import Tensor
from rushlight.vision.ops._regions import LinearRegions, RegionLayer, as_rows, check, pair, sampling_weights


class _Reader:
    """Reads regions channels last, so that the channels are the long side of every product."""

    def __init__(self, rois: np.ndarray, size: tuple[int, int], scale: float, ratio: int, aligned: bool):
        self.images = rois[:, 0].astype(np.int64)
        corners = rois[:, 1:] * rois.dtype.type(scale) - rois.dtype.type(0.5 if aligned else 0.0)
        self.start, self.length = corners[:, :2], corners[:, 2:] - corners[:, :2]
        if not aligned:  # a region is at least a pixel large, as in the first published version
            self.length = np.maximum(self.length, 1)
        self.size, self.ratio = size, ratio

    def weights(self, height: int, width: int) -> list[tuple[int, tuple[int, np.ndarray], tuple[int, np.ndarray]]]:
        rows = sampling_weights(self.start[:, 1], self.length[:, 1], self.size[0], self.ratio, height)
        columns = sampling_weights(self.start[:, 0], self.length[:, 0], self.size[1], self.ratio, width)
        return list(zip(self.images.tolist(), rows, columns, strict=True))

    def read(self, x: np.ndarray) -> np.ndarray:
        _, channels, height, width = x.shape
        last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        out = np.zeros((len(self.images), *self.size, channels), dtype=x.dtype)
        for k, (image, (y, rows), (left, columns)) in enumerate(self.weights(height, width)):
            region = last[image, y:y + rows.shape[1], left:left + columns.shape[1]]
            lines = rows @ region.reshape(rows.shape[1], -1)
            out[k] = columns @ lines.reshape(self.size[0], columns.shape[1], channels)
        return np.ascontiguousarray(out.transpose(0, 3, 1, 2))

    def spread(self, grad: np.ndarray, x: np.ndarray) -> None:
        _, channels, height, width = x.shape
        total = np.zeros((x.shape[0], height, width, channels), dtype=x.dtype)
        last = np.ascontiguousarray(grad.transpose(0, 2, 3, 1))
        for k, (image, (y, rows), (left, columns)) in enumerate(self.weights(height, width)):
            lines = columns.T @ last[k]
            region = (rows.T @ lines.reshape(self.size[0], -1)).reshape(rows.shape[1], columns.shape[1], channels)
            total[image, y:y + rows.shape[1], left:left + columns.shape[1]] += region
        x += total.transpose(0, 3, 1, 2)


def roi_align(input: Tensor, boxes: Tensor | list[Tensor], output_size: int | Sequence[int], spatial_scale: float = 1.0,
              sampling_ratio: int = -1, aligned: bool = False) -> Tensor:
    """Regions of ``[N, C, H, W]`` as ``[K, C, height, width]``,
    each cell the mean of bilinear samples (arXiv 1703.06870).

    Args:
        boxes: ``[K, 5]`` (image, x1, y1, x2, y2), or a list with one ``[L, 4]`` per image.
        spatial_scale: factor from the boxes' coordinates to the feature map's.
        sampling_ratio: samples per cell along each axis; not positive: as many as the cell covers pixels, rounded up.
        aligned: shift by half a pixel, so that a pixel's value stands at its middle.

    Gradients flow to ``input``. RuntimeError where the types differ, AssertionError for boxes of another shape.

    >>> import rushlight as rl
    >>> roi_align(rl.arange(16.).reshape(1, 1, 4, 4), [rl.tensor([[0., 0, 4, 4]])], 2, aligned=True)
    tensor([[[[ 2.5000,  4.5000],
              [10.5000, 12.5000]]]])
    """
    rois = as_rows(boxes)
    size = pair(output_size)
    check(input, rois, size, False)
    return LinearRegions.apply(input, _Reader(rois.detach().numpy(), size, spatial_scale, sampling_ratio, aligned))


class RoIAlign(RegionLayer):
    """:func:`roi_align` as a layer.

    >>> RoIAlign(7, 0.25, 2)
    RoIAlign(output_size=7, spatial_scale=0.25, sampling_ratio=2, aligned=False)
    """

    pool = staticmethod(roi_align)
    options = ("output_size", "spatial_scale", "sampling_ratio", "aligned")

    def __init__(self, output_size: int | Sequence[int], spatial_scale: float, sampling_ratio: int,
                 aligned: bool = False):
        super().__init__(output_size, spatial_scale)
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned
