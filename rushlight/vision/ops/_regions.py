"""What the region operators share: regions as rows, sampling weights, and reading and writing regions with gradients.

Average pooling of a region by bilinear samples is separable: with ``rows[p, y]`` and ``columns[q, x]``, the mean weight
of each pixel row and column in output cell (p, q), the output is ``rows @ region @ columns.T``. So a region costs two
small products instead of a gather per sample, and its gradient is the same products transposed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.autograd import Function


def as_rows(boxes: Tensor | Sequence[Tensor]) -> Tensor:
    """Regions as ``[K, 5]`` (image, x1, y1, x2, y2), from such a tensor or from one ``[L, 4]`` per image."""
    if isinstance(boxes, (list, tuple)):
        for part in boxes:
            if part.size(1) != 4:
                raise AssertionError("The shape of the tensor in the boxes list is not correct as List[Tensor[L, 4]]")
        ids = rl.cat([rl.full_like(part[:, :1], i) for i, part in enumerate(boxes)])
        return rl.cat([ids, rl.cat(list(boxes))], dim=1)
    if not isinstance(boxes, Tensor):
        raise AssertionError("boxes is expected to be a Tensor[L, 5] or a List[Tensor[K, 4]]")
    if boxes.size(1) != 5:
        raise AssertionError("The boxes tensor shape is not correct as Tensor[K, 5]")
    return boxes


def pair(size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) from one number or two."""
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    return int(height), int(width)


class RegionLayer(nn.Module):
    """A function of pictures and regions as a layer, which has the function's ``options`` as attributes."""

    pool: Callable[..., Tensor]
    options: tuple[str, ...] = ("output_size", "spatial_scale")

    def __init__(self, output_size: int | Sequence[int], spatial_scale: float):
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale

    def forward(self, input: Tensor, rois: Tensor | list[Tensor]) -> Tensor:
        return self.pool(input, rois, *(getattr(self, name) for name in self.options))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)}' for name in self.options)})"


def check(input: Tensor, rois: Tensor, size: tuple[int, int], position_sensitive: bool) -> None:
    """PyTorch's complaints about operands that do not fit."""
    if input.dtype != rois.dtype:
        raise RuntimeError("Expected tensor for input to have the same type as tensor for rois; "
                           f"but type {input.dtype} does not equal {rois.dtype}")
    if position_sensitive and input.size(1) % (size[0] * size[1]):
        raise RuntimeError("input channels must be a multiple of pooling height * pooling width; "
                           f"got {input.size(1)} channels and {size[0]} * {size[1]} cells")


def sampling_weights(start: np.ndarray, length: np.ndarray, bins: int, ratio: int,
                     size: int) -> list[tuple[int, np.ndarray]]:
    """For each region along one axis: its first pixel, and the weights ``[bins, pixels]`` of the pixels from there.

    Each bin holds ``ratio`` samples (where that is not positive: as many as it covers pixels,
    rounded up), a sample is spread linearly over two pixels, beyond the border it is clamped,
    and further than a pixel outside it counts as zero.
    """
    width = length / bins
    result = []
    for first, step in zip(start, width):
        count = ratio if ratio > 0 else int(np.ceil(step))
        offsets = (np.arange(count, dtype=start.dtype) + start.dtype.type(0.5)) * (step / count if count else step)
        points = (first + np.arange(bins, dtype=start.dtype)[:, None] * step) + offsets[None]
        inside = (points >= -1) & (points <= size)
        points = np.clip(points, 0, size - 1)
        low = points.astype(np.int64)
        high = np.minimum(low + 1, size - 1)
        part = points - low
        base, end = (int(low.min()), int(high.max()) + 1) if count else (0, 1)
        weights = np.zeros((bins, end - base), dtype=start.dtype)
        cells = np.broadcast_to(np.arange(bins)[:, None], low.shape)
        share = inside / max(count, 1)
        np.add.at(weights, (cells, low - base), (1 - part) * share)
        np.add.at(weights, (cells, high - base), part * share)
        result.append((base, weights))
    return result


class LinearRegions(Function):
    """Regions read linearly from ``input``: a method object says how one
    region is read, and how its gradient is spread."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, reader: Any) -> Tensor:
        ctx.shape, ctx.dtype, ctx.reader = input.shape, input.dtype, reader
        return rl.from_numpy(reader.read(np.ascontiguousarray(input.detach().numpy())))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        spread = np.zeros(ctx.shape, dtype=grad.detach().numpy().dtype)
        ctx.reader.spread(np.ascontiguousarray(grad.detach().numpy()), spread)
        return rl.from_numpy(spread), None


def rounded(values: np.ndarray) -> np.ndarray:
    """To the nearest whole number, halves away from zero."""
    return np.trunc(values + np.copysign(values.dtype.type(0.5), values)).astype(np.int64)


def pooling_cells(start: np.ndarray, length: np.ndarray, bins: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """First pixels and ends of the bins of each region along one axis, ``[K, bins]`` each, clipped to 0..``last``."""
    width = length.astype(np.float32)[:, None] / np.float32(bins)
    steps = np.arange(bins, dtype=np.float32)
    low, high = np.floor(steps * width).astype(np.int64), np.ceil((steps + 1) * width).astype(np.int64)
    return np.clip(low + start[:, None], 0, last), np.clip(high + start[:, None], 0, last)
