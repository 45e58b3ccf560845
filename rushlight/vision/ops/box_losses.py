"""Losses that compare boxes pairwise: 1 less a generalised intersection over union."""

from __future__ import annotations

import math

import rushlight as rl
from rushlight import Tensor
from rushlight.vision.ops._reduction import reduced


def _as_float(t: Tensor) -> Tensor:
    return t if t.dtype in (rl.float32, rl.float64) else t.float()


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection and union of boxes row by row, ``[N]``."""
    size = rl.minimum(a[..., 2:], b[..., 2:]) - rl.maximum(a[..., :2], b[..., :2])
    inter = rl.where((size > 0).all(-1), size[..., 0] * size[..., 1], 0.0)
    areas = [(t[..., 2] - t[..., 0]) * (t[..., 3] - t[..., 1]) for t in (a, b)]
    return inter, areas[0] + areas[1] - inter


def _hull(a: Tensor, b: Tensor) -> Tensor:
    return rl.maximum(a[..., 2:], b[..., 2:]) - rl.minimum(a[..., :2], b[..., :2])


def generalized_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """1 - GIoU of boxes row by row, ``[N, 4]`` each (arXiv 1902.09630).

    >>> boxes = rl.tensor([[0., 0, 1, 1]])
    >>> generalized_box_iou_loss(boxes, boxes, reduction="sum").round(decimals=4)
    tensor(0.)
    """
    boxes1, boxes2 = _as_float(boxes1), _as_float(boxes2)
    inter, union = _overlap(boxes1, boxes2)
    size = _hull(boxes1, boxes2)
    hull = size[..., 0] * size[..., 1]
    return reduced(1 - (inter / (union + eps) - (hull - union) / (hull + eps)), reduction)


def distance_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """1 - DIoU of boxes row by row, ``[N, 4]`` each (arXiv 1911.08287).

    >>> distance_box_iou_loss(rl.tensor([[0., 0, 1, 1]]), rl.tensor([[0., 0, 1, 1]]), reduction="sum").round(decimals=4)
    tensor(0.)
    """
    return reduced(_distance_loss(_as_float(boxes1), _as_float(boxes2), eps)[0], reduction)


def _distance_loss(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    inter, union = _overlap(boxes1, boxes2)
    iou = inter / (union + eps)
    size = _hull(boxes1, boxes2)
    apart = ((boxes1[..., 2:] + boxes1[..., :2]) / 2 - (boxes2[..., :2] + boxes2[..., 2:]) / 2) ** 2
    diagonal = size[..., 0] ** 2 + size[..., 1] ** 2 + eps
    return 1 - iou + (apart[..., 0] + apart[..., 1]) / diagonal, iou


def complete_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """1 - CIoU of boxes row by row, ``[N, 4]`` each: DIoU with a term for aspect ratios (arXiv 1911.08287).

    >>> complete_box_iou_loss(rl.tensor([[0., 0, 1, 1]]), rl.tensor([[0., 0, 1, 1]]), reduction="sum").round(decimals=4)
    tensor(0.)
    """
    boxes1, boxes2 = _as_float(boxes1), _as_float(boxes2)
    loss, iou = _distance_loss(boxes1, boxes2, 1e-7)
    angles = [rl.atan((t[..., 2] - t[..., 0]) / (t[..., 3] - t[..., 1])) for t in (boxes2, boxes1)]
    v = 4 / math.pi ** 2 * (angles[0] - angles[1]) ** 2
    with rl.no_grad():
        alpha = v / (1 - iou + v + eps)
    return reduced(loss + alpha * v, reduction)
