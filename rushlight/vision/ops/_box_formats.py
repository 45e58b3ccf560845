"""The formats of boxes, and the steps between them."""

from __future__ import annotations

import math
from collections.abc import Callable

import rushlight as rl
from rushlight import Tensor

FORMATS = ("xyxy", "xywh", "cxcywh", "xywhr", "cxcywhr", "xyxyxyxy")


def _columns(*parts: Tensor) -> Tensor:
    return rl.stack(parts, dim=-1)


def centre_to_corners(boxes: Tensor) -> Tensor:
    cx, cy, w, h = boxes.unbind(-1)
    return _columns(cx - 0.5 * w, cy - 0.5 * h, cx + 0.5 * w, cy + 0.5 * h)


def corners_to_centre(boxes: Tensor) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(-1)
    return _columns((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)


def size_to_corners(boxes: Tensor) -> Tensor:
    x, y, w, h = boxes.unbind(-1)
    return _columns(x, y, x + w, y + h)


def corners_to_size(boxes: Tensor) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(-1)
    return _columns(x1, y1, x2 - x1, y2 - y1)


def _rotated(rule: Callable[..., tuple[Tensor, ...]]) -> Callable[[Tensor], Tensor]:
    """A step between rotated formats: whole numbers stay whole numbers, rounded."""

    def step(boxes: Tensor) -> Tensor:
        result = _columns(*rule(*boxes.unbind(-1)))
        return result if boxes.is_floating_point() else result.round().to(boxes.dtype)

    return step


def _turn(degrees: Tensor) -> tuple[Tensor, Tensor]:
    radians = degrees * math.pi / 180.0
    return rl.cos(radians), rl.sin(radians)


@_rotated
def rotated_centre_to_size(cx: Tensor, cy: Tensor, w: Tensor, h: Tensor, r: Tensor) -> tuple[Tensor, ...]:
    cos, sin = _turn(r)
    return cx - w / 2 * cos - h / 2 * sin, cy - h / 2 * cos + w / 2 * sin, w, h, r


@_rotated
def rotated_size_to_centre(x: Tensor, y: Tensor, w: Tensor, h: Tensor, r: Tensor) -> tuple[Tensor, ...]:
    cos, sin = _turn(r)
    return x + w / 2 * cos + h / 2 * sin, y - w / 2 * sin + h / 2 * cos, w, h, r


@_rotated
def rotated_size_to_corners(x: Tensor, y: Tensor, w: Tensor, h: Tensor, r: Tensor) -> tuple[Tensor, ...]:
    cos, sin = _turn(r)
    x2, y2 = x + w * cos, y - w * sin
    return x, y, x2, y2, x2 + h * sin, y2 + h * cos, x + h * sin, y + h * cos


@_rotated
def rotated_corners_to_size(x1: Tensor, y1: Tensor, x2: Tensor, y2: Tensor, x3: Tensor, y3: Tensor, x4: Tensor,
                            y4: Tensor) -> tuple[Tensor, ...]:
    width, height = ((x2 - x1) ** 2 + (y1 - y2) ** 2).sqrt(), ((x3 - x2) ** 2 + (y3 - y2) ** 2).sqrt()
    return x1, y1, width, height, rl.atan2(y1 - y2, x2 - x1) * 180 / math.pi


CONVERSIONS: dict[tuple[str, str], tuple[Callable[[Tensor], Tensor], ...]] = {
    ("xywh", "xyxy"): (size_to_corners,),
    ("cxcywh", "xyxy"): (centre_to_corners,),
    ("xyxy", "xywh"): (corners_to_size,),
    ("xyxy", "cxcywh"): (corners_to_centre,),
    ("xywh", "cxcywh"): (size_to_corners, corners_to_centre),
    ("cxcywh", "xywh"): (centre_to_corners, corners_to_size),
    ("cxcywhr", "xywhr"): (rotated_centre_to_size,),
    ("xywhr", "cxcywhr"): (rotated_size_to_centre,),
    ("cxcywhr", "xyxyxyxy"): (rotated_centre_to_size, rotated_size_to_corners),
    ("xyxyxyxy", "cxcywhr"): (rotated_corners_to_size, rotated_size_to_centre),
    ("xywhr", "xyxyxyxy"): (rotated_size_to_corners,),
    ("xyxyxyxy", "xywhr"): (rotated_corners_to_size,),
}
