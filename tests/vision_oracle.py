"""torchvision as an oracle where its native operators cannot be loaded:
their schemas, and straightforward loops for some.

Import this module before torchvision. It gives ``torch`` and ``torchvision``, or skips where they are not installed.
"""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")

_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align": "(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, int sampling_ratio, bool aligned) -> Tensor",
    "roi_pool": "(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width) -> (Tensor, Tensor)",
    "ps_roi_align": "(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, int sampling_ratio) -> (Tensor, Tensor)",
    "ps_roi_pool": "(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width) -> (Tensor, Tensor)",
    "deform_conv2d": "(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, int stride_h, int stride_w, int pad_h, int pad_w,"
                     " int dilation_h, int dilation_w, int groups, int offset_groups, bool use_mask) -> Tensor",
}


def nms(boxes: Any, scores: Any, threshold: float) -> Any:
    """Greedy suppression, box by box."""
    order = torch.argsort(scores, descending=True, stable=True)
    boxes = boxes[order]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    gone = torch.zeros(len(boxes), dtype=torch.bool)
    keep: list[int] = []
    for i in range(len(boxes)):
        if gone[i]:
            continue
        keep.append(i)
        low, high = torch.maximum(boxes[i, :2], boxes[i + 1:, :2]), torch.minimum(boxes[i, 2:], boxes[i + 1:, 2:])
        inter = (high - low).clamp(min=0).prod(1)
        gone[i + 1:] |= inter / (area[i] + area[i + 1:] - inter) > threshold
    return order[torch.tensor(keep, dtype=torch.int64)]


def bilinear(image: Any, y: float, x: float) -> Any:
    """The value of every channel at a point, as RoIAlign reads it: zero further than a pixel outside, else clamped."""
    height, width = image.shape[-2:]
    if y < -1 or y > height or x < -1 or x > width:
        return image.new_zeros(image.shape[0])
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    dy, dx = y - y0, x - x0
    return ((1 - dy) * ((1 - dx) * image[:, y0, x0] + dx * image[:, y0, x1])
            + dy * ((1 - dx) * image[:, y1, x0] + dx * image[:, y1, x1]))


def _cells(start: float, size: float, bins: int, ratio: int) -> list[list[float]]:
    count = ratio if ratio > 0 else math.ceil(size / bins)
    return [[start + size / bins * (p + (i + 0.5) / count) for i in range(count)] for p in range(bins)]


def _mean(image: Any, ys: list[float], xs: list[float]) -> Any:
    total = image.new_zeros(image.shape[0])
    for y in ys:
        for x in xs:
            total = total + bilinear(image, y, x)
    return total / max(len(ys) * len(xs), 1)


def roi_align_of_fixed_grids(image: Any, rois: Any, scale: float, height: int, width: int,
                             ratio: int, aligned: bool) -> Any:
    """The same for all regions at once, where every cell has ratio x ratio points (detection networks have 2 x 2)."""
    half = 0.5 if aligned else 0.0
    x0, y0, x1, y1 = (rois[:, 1:] * scale - half).unbind(1)
    h, w = (y1 - y0, x1 - x0) if aligned else ((y1 - y0).clamp(min=1), (x1 - x0).clamp(min=1))
    places = [low[:, None] + size[:, None] / bins * ((torch.arange(bins * ratio) + 0.5) / ratio)
              for low, size, bins in ((y0, h, height), (x0, w, width))]
    inside, low, high, share = [], [], [], []
    for place, size in zip(places, image.shape[-2:], strict=True):
        inside.append((place >= -1) & (place <= size))
        place = place.clamp(0, size - 1)
        low.append(place.long())
        high.append((low[-1] + 1).clamp(max=size - 1))
        share.append(place - low[-1])
    which, channels = rois[:, 0].long()[:, None, None, None], torch.arange(image.shape[1])[None, :, None, None]
    dy, dx = share[0][:, None, :, None], share[1][:, None, None, :]

    def at(y: Any, x: Any) -> Any:
        return image[which, channels, y[:, None, :, None], x[:, None, None, :]]
    value = ((1 - dy) * ((1 - dx) * at(low[0], low[1]) + dx * at(low[0], high[1]))
             + dy * ((1 - dx) * at(high[0], low[1]) + dx * at(high[0], high[1])))
    value = value * (inside[0][:, None, :, None] & inside[1][:, None, None, :])
    return value.reshape(*value.shape[:2], height, ratio, width, ratio).mean((3, 5))


def roi_align(image: Any, rois: Any, scale: float, height: int, width: int, ratio: int, aligned: bool) -> Any:
    if ratio > 0:
        return roi_align_of_fixed_grids(image, rois, scale, height, width, ratio, aligned)
    out = image.new_zeros(len(rois), image.shape[1], height, width)
    for k, roi in enumerate(rois.tolist()):
        x0, y0, x1, y1 = (v * scale - (0.5 if aligned else 0.0) for v in roi[1:])
        h, w = (y1 - y0, x1 - x0) if aligned else (max(y1 - y0, 1.0), max(x1 - x0, 1.0))
        for i, ys in enumerate(_cells(y0, h, height, ratio)):
            for j, xs in enumerate(_cells(x0, w, width, ratio)):
                out[k, :, i, j] = _mean(image[int(roi[0])], ys, xs)
    return out


def ps_roi_align(image: Any, rois: Any, scale: float, height: int, width: int, ratio: int) -> tuple[Any, Any]:
    channels = image.shape[1] // (height * width)
    out = image.new_zeros(len(rois), channels, height, width)
    for k, roi in enumerate(rois.tolist()):
        x0, y0, x1, y1 = (v * scale - 0.5 for v in roi[1:])
        for i, ys in enumerate(_cells(y0, y1 - y0, height, ratio)):
            for j, xs in enumerate(_cells(x0, x1 - x0, width, ratio)):
                out[k, :, i, j] = _mean(image[int(roi[0]), i * width + j:: height * width], ys, xs)
    return out, torch.empty(0)


def _round(value: float) -> int:
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def roi_pool(image: Any, rois: Any, scale: float, height: int, width: int) -> tuple[Any, Any]:
    out = image.new_zeros(len(rois), image.shape[1], height, width)
    for k, roi in enumerate(rois.tolist()):
        x0, y0, x1, y1 = (_round(v * scale) for v in roi[1:])
        h, w = max(y1 - y0 + 1, 1) / height, max(x1 - x0 + 1, 1) / width
        for i in range(height):
            for j in range(width):
                rows = slice(max(math.floor(i * h) + y0, 0), max(math.ceil((i + 1) * h) + y0, 0))
                columns = slice(max(math.floor(j * w) + x0, 0), max(math.ceil((j + 1) * w) + x0, 0))
                part = image[int(roi[0]), :, rows, columns]
                if part.numel():
                    out[k, :, i, j] = part.amax((1, 2))
    return out, torch.empty(0)


def ps_roi_pool(image: Any, rois: Any, scale: float, height: int, width: int) -> tuple[Any, Any]:
    out = image.new_zeros(len(rois), image.shape[1] // (height * width), height, width)
    for k, roi in enumerate(rois.tolist()):
        x0, y0, x1, y1 = (_round(v * scale) for v in roi[1:])
        h, w = max(y1 - y0, 1) / height, max(x1 - x0, 1) / width
        for i in range(height):
            for j in range(width):
                ends = [min(max(v, 0), image.shape[2] - 1)
                        for v in (math.floor(i * h + y0), math.ceil((i + 1) * h + y0))]
                sides = [min(max(v, 0), image.shape[3] - 1)
                         for v in (math.floor(j * w + x0), math.ceil((j + 1) * w + x0))]
                part = image[int(roi[0]), i * width + j:: height * width, slice(*ends), slice(*sides)]
                if part.numel():
                    out[k, :, i, j] = part.mean((1, 2))
    return out, torch.empty(0)


_LOOPS = {"nms": nms, "roi_align": roi_align, "roi_pool": roi_pool,
          "ps_roi_align": ps_roi_align, "ps_roi_pool": ps_roi_pool}
_library = torch.library.Library("torchvision", "FRAGMENT")
if not hasattr(torch.ops.torchvision, "nms"):
    for _name, _schema in _SCHEMAS.items():
        _library.define(_name + _schema)
    for _name, _function in _LOOPS.items():
        _library.impl(_name, _function, "CPU")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torchvision = pytest.importorskip("torchvision")

torchvision.extension._has_ops = lambda: True
sys.modules["torchvision.ops.roi_align"]._roi_align = roi_align  # theirs in Python is compiled when first called
