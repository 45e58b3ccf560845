"""Boxes: areas, overlaps, conversions, clipping and non-maximum suppression."""

from __future__ import annotations

import math

import numpy as np

import rushlight as rl
from rushlight import Tensor
from rushlight.vision.ops._box_formats import CONVERSIONS, FORMATS

UPRIGHT = ("xyxy", "xywh", "cxcywh")
ROTATED = ("cxcywhr", "xywhr", "xyxyxyxy")
OFFSET_TRICK_LIMIT = 4000  # numbers in the boxes; more are suppressed class by class


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Indices of the boxes that survive non-maximum suppression, best score first.

    A box goes when it overlaps a better one that stays by an IoU above ``iou_threshold``;
    of equal scores the first counts as better. ``boxes`` is ``[N, 4]`` as (x1, y1, x2, y2),
    ``scores`` is ``[N]``; gives int64 ``[kept]``. No gradient.

    >>> nms(rl.tensor([[0., 0, 10, 10], [1, 0, 10, 10], [20, 20, 30, 30]]), rl.tensor([0.5, 0.9, 0.1]), 0.5)
    tensor([1, 2])
    """
    if boxes.dim() != 2:
        raise RuntimeError(f"boxes should be a 2d tensor, got {boxes.dim()}D")
    if boxes.size(1) != 4:
        raise RuntimeError(f"boxes should have 4 elements in dimension 1, got {boxes.size(1)}")
    if scores.dim() != 1:
        raise RuntimeError(f"scores should be a 1d tensor, got {scores.dim()}D")
    if boxes.size(0) != scores.size(0):
        raise RuntimeError("boxes and scores should have same number of elements in dimension 0, "
                           f"got {boxes.size(0)} and {scores.size(0)}")
    return rl.from_numpy(_suppress(boxes.detach().numpy(), scores.detach().numpy(), iou_threshold))


def _suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    order = np.argsort(-scores, kind="stable")
    x1, y1, x2, y2 = boxes[order].T
    area = (x2 - x1) * (y2 - y1)
    alive = np.ones(len(order), dtype=bool)
    limit = np.float64(threshold)  # as in torchvision, compared in double precision
    for i in range(len(order)):
        if not alive[i]:
            continue
        rest = np.flatnonzero(alive[i + 1:]) + i + 1
        width = np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest])
        height = np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest])
        inter = np.maximum(width, 0) * np.maximum(height, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            alive[rest[inter / (area[i] + area[rest] - inter) > limit]] = False
    return order[alive].astype(np.int64)


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """Non-maximum suppression within each group of ``idxs`` (classes, say); gives the survivors, best score first.

    >>> batched_nms(rl.tensor([[0., 0, 1, 1], [0, 0, 1, 1]]), rl.tensor([0.1, 0.2]), rl.tensor([0, 1]), 0.5)
    tensor([1, 0])
    """
    return rl.from_numpy(suppress_groups(boxes.detach().numpy(), scores.detach().numpy(), idxs.numpy(), iou_threshold))


def suppress_groups(boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, threshold: float) -> np.ndarray:
    """:func:`batched_nms` of arrays."""
    if boxes.size == 0:
        return np.zeros(0, dtype=np.int64)
    if boxes.size <= OFFSET_TRICK_LIMIT:
        # Boxes of different groups are moved so far apart that they cannot overlap
        apart = groups.astype(boxes.dtype) * (boxes.max() + boxes.dtype.type(1))
        return _suppress(boxes + apart[:, None], scores, threshold)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    kept = np.sort(np.concatenate([part[_suppress(boxes[part], scores[part], threshold)] for part in members]))
    return kept[np.argsort(-scores[kept], kind="stable")].astype(np.int64)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """Indices of the boxes whose sides are both at least ``min_size``.

    >>> remove_small_boxes(rl.tensor([[0., 0, 1, 9], [0, 0, 5, 5]]), 2)
    tensor([1])
    """
    large = (boxes[..., 2] - boxes[..., 0] >= min_size) & (boxes[..., 3] - boxes[..., 1] >= min_size)
    return rl.where(large)[0]


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes cut at the borders of an image of ``size`` (height, width).

    >>> clip_boxes_to_image(rl.tensor([[-1., 2, 30, 40]]), (20, 10))
    tensor([[ 0.,  2., 10., 20.]])
    """
    height, width = size
    sides = (boxes[..., 0::2].clamp(min=0, max=width), boxes[..., 1::2].clamp(min=0, max=height))
    return rl.stack(sides, dim=boxes.dim()).reshape(boxes.shape)


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Boxes ``[..., K]`` in another format.

    Formats: ``xyxy`` (corners), ``xywh`` (corner and size), ``cxcywh`` (centre and size); the same with an angle in
    degrees as ``xywhr`` and ``cxcywhr``; four corners as ``xyxyxyxy``. Upright and rotated formats do not mix.

    >>> box_convert(rl.tensor([[0., 0, 4, 2]]), "xyxy", "cxcywh")
    tensor([[2., 1., 4., 2.]])
    """
    if in_fmt not in FORMATS or out_fmt not in FORMATS:
        raise ValueError(f"Unsupported Bounding Box Conversions for given in_fmt {in_fmt} and out_fmt {out_fmt}")
    if in_fmt == out_fmt:
        return boxes.clone()
    steps = CONVERSIONS.get((in_fmt, out_fmt))
    if steps is None:
        raise NotImplementedError("Unsupported Bounding Box Conversions for given in_fmt "
                                  f"{in_fmt} and out_fmt {out_fmt}")
    for step in steps:
        boxes = step(boxes)
    return boxes


def widened(t: Tensor) -> Tensor:
    """At least float32 or int32, so that products of sides do not overflow."""
    wide, least = ((rl.float32, rl.float64), rl.float32) if t.is_floating_point() else ((rl.int32, rl.int64), rl.int32)
    return t if t.dtype in wide else t.to(least)


def box_area(boxes: Tensor, fmt: str = "xyxy") -> Tensor:
    """Areas ``[...]`` of boxes ``[..., 4]``.

    >>> box_area(rl.tensor([[0., 0, 4, 2]]))
    tensor([8.])
    """
    if fmt not in UPRIGHT:
        raise ValueError(f"Unsupported Bounding Box area for given format {fmt}")
    boxes = widened(boxes)
    if fmt == "xyxy":
        return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return boxes[..., 2] * boxes[..., 3]


def _corners(boxes: Tensor, fmt: str) -> tuple[Tensor, Tensor]:
    """Low and high corners ``[..., 2]``."""
    first, second = boxes[..., :2], boxes[..., 2:]
    if fmt == "xyxy":
        return first, second
    return (first, first + second) if fmt == "xywh" else (first - second / 2, first + second / 2)


def _overlap(boxes1: Tensor, boxes2: Tensor, fmt: str = "xyxy") -> tuple[Tensor, Tensor]:
    """Intersection and union of every pair, ``[..., N, M]``."""
    (low1, high1), (low2, high2) = _corners(boxes1, fmt), _corners(boxes2, fmt)
    low = rl.maximum(low1[..., None, :], low2[..., None, :, :])
    high = rl.minimum(high1[..., None, :], high2[..., None, :, :])
    size = widened(high - low).clamp(min=0)
    inter = size[..., 0] * size[..., 1]
    return inter, box_area(boxes1, fmt)[..., None] + box_area(boxes2, fmt)[..., None, :] - inter


def _hull(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Width and height of the smallest box around each pair."""
    low = rl.minimum(boxes1[..., None, :2], boxes2[..., None, :, :2])
    return widened(rl.maximum(boxes1[..., None, 2:], boxes2[..., None, :, 2:]) - low).clamp(min=0)


def box_iou(boxes1: Tensor, boxes2: Tensor, fmt: str = "xyxy") -> Tensor:
    """Intersection over union of every pair: ``[N, 4]`` and ``[M, 4]`` give ``[N, M]``; leading dimensions are batches.

    Rotated formats raise NotImplementedError.

    >>> box_iou(rl.tensor([[0., 0, 2, 2]]), rl.tensor([[1., 0, 3, 2], [5., 5, 6, 6]]))
    tensor([[0.3333, 0.0000]])
    """
    if fmt in ROTATED:
        raise NotImplementedError(f"box_iou of rotated boxes ({fmt}) is not provided; "
                                  f"use boxes as {', '.join(UPRIGHT)}")
    if fmt not in UPRIGHT:
        raise ValueError(f"Unsupported format '{fmt}'. Supported axis-aligned formats: {UPRIGHT}. "
                         f"Supported rotated formats: {ROTATED}.")
    inter, union = _overlap(boxes1, boxes2, fmt)
    return inter / union


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """GIoU of every pair, ``[N, M]``: IoU less the part of the common hull that neither covers (arXiv 1902.09630).

    >>> generalized_box_iou(rl.tensor([[0., 0, 1, 1]]), rl.tensor([[1., 0, 2, 1]]))
    tensor([[0.]])
    """
    inter, union = _overlap(boxes1, boxes2)
    size = _hull(boxes1, boxes2)
    hull = size[..., 0] * size[..., 1]
    return inter / union - (hull - union) / hull


def distance_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """DIoU of every pair, ``[N, M]``: IoU less (distance of centres / diagonal of the hull)² (arXiv 1911.08287).

    >>> distance_box_iou(rl.tensor([[0., 0, 2, 2]]), rl.tensor([[0., 0, 2, 2]]))
    tensor([[1.]])
    """
    return _distance_and_plain(widened(boxes1), widened(boxes2), eps)[0]


def _distance_and_plain(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    iou = box_iou(boxes1, boxes2)
    size = _hull(boxes1, boxes2)
    diagonal = size[..., 0] ** 2 + size[..., 1] ** 2 + eps
    centre1, centre2 = (boxes1[..., :2] + boxes1[..., 2:]) / 2, (boxes2[..., :2] + boxes2[..., 2:]) / 2
    apart = widened(centre1[..., None, :] - centre2[..., None, :, :]) ** 2
    return iou - (apart[..., 0] + apart[..., 1]) / diagonal, iou


def complete_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """CIoU of every pair, ``[N, M]``: DIoU less a term for different aspect ratios (arXiv 1911.08287).

    >>> complete_box_iou(rl.tensor([[0., 0, 2, 2]]), rl.tensor([[0., 0, 2, 2]]))
    tensor([[1.]])
    """
    boxes1, boxes2 = widened(boxes1), widened(boxes2)
    diou, iou = _distance_and_plain(boxes1, boxes2, eps)
    size1, size2 = boxes1[..., 2:] - boxes1[..., :2], boxes2[..., 2:] - boxes2[..., :2]
    angle1, angle2 = rl.atan(size1[..., 0] / size1[..., 1]), rl.atan(size2[..., 0] / size2[..., 1])
    v = 4 / math.pi ** 2 * (angle1[..., None] - angle2[..., None, :]) ** 2
    with rl.no_grad():
        alpha = v / (1 - iou + v + eps)
    return diou - alpha * v


def masks_to_boxes(masks: Tensor) -> Tensor:
    """Boxes ``[N, 4]`` (x1, y1, x2, y2), both ends inclusive, around masks ``[N, H, W]``; zeros for an empty mask.

    >>> masks_to_boxes(rl.tensor([[[0, 0, 0], [0, 1, 1]]]))
    tensor([[1., 1., 2., 1.]])
    """
    if masks.numel() == 0:
        return rl.zeros((0, 4))
    _, height, width = masks.shape
    filled = masks.to(rl.bool)
    rows, columns = filled.any(dim=2).to(rl.int32), filled.any(dim=1).to(rl.int32)
    ends = (columns.argmax(1), rows.argmax(1), width - 1 - columns.flip(1).argmax(1),
            height - 1 - rows.flip(1).argmax(1))
    return rl.stack(ends, dim=1).float() * rows.amax(1)[:, None]
