"""Boxes as arrays: formats, clamping, maps of their corners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.tensor.core import unwrap, wrap
from rushlight.vision.tv_tensors.boxes import ROTATED, BoundingBoxes, BoundingBoxFormat

F = BoundingBoxFormat
CORNERS = [[0, 1], [2, 1], [2, 3], [0, 3]]  # of a box of two corners, all four


def refuse_rotated(format: BoundingBoxFormat) -> None:  # noqa: A002
    """NotImplementedError for turned boxes."""
    if format in ROTATED:
        raise NotImplementedError(f"transforms of turned boxes ({format.value}) are not provided; boxes may be XYXY, XYWH or CXCYWH")


def converted(boxes: np.ndarray, old: BoundingBoxFormat, new: BoundingBoxFormat) -> np.ndarray:
    """Boxes (..., 4) in another format."""
    if old is new:
        return boxes
    if (old in ROTATED) != (new in ROTATED):
        raise ValueError("Cannot convert between rotated and unrotated bounding boxes.")
    refuse_rotated(old)
    first, second = boxes[..., :2], boxes[..., 2:]
    whole = boxes.dtype.kind in "iu"
    if old is F.XYWH:
        first, second = first, first + second
    elif old is F.CXCYWH:  # whole numbers by way of floats, which are cut off towards 0
        centre, size = floats(first), floats(second)
        first = centre - size / size.dtype.type(2)
        first, second = first.astype(boxes.dtype), (first + size).astype(boxes.dtype)
    if new is F.XYWH:
        second = second - first
    elif new is F.CXCYWH:
        first, second = ((first + second) // 2 if whole else (first + second) / boxes.dtype.type(2)), second - first
    return np.concatenate([first, second], -1)


def clamped(corners: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """Boxes of two corners within a canvas (height, width)."""
    out = corners.copy()
    out[..., 0::2] = np.clip(out[..., 0::2], 0, canvas[1])
    out[..., 1::2] = np.clip(out[..., 1::2], 0, canvas[0])
    return out


def floats(values: np.ndarray) -> np.ndarray:
    """The numbers as floats, float32 where they were whole."""
    return values if values.dtype.kind == "f" else values.astype(np.float32)


def clamped_as(values: np.ndarray, form: BoundingBoxFormat, canvas: tuple[int, int], mode: str | None) -> np.ndarray:
    """Boxes in any format within a canvas, unless the mode is None."""
    if mode is None:
        return values
    refuse_rotated(form)
    inside = clamped(converted(floats(values), form, F.XYXY), canvas)
    return converted(inside, F.XYXY, form).astype(values.dtype)


def corners_mapped(boxes: BoundingBoxes, move: Callable[[np.ndarray], np.ndarray],
                   canvas: tuple[int, int] | None = None) -> Any:
    """The boxes around the images of all four corners under ``move``, a function of points (N, 2)."""
    refuse_rotated(boxes.format)
    values, canvas = unwrap(boxes), canvas or boxes.canvas_size
    if not values.size:
        return BoundingBoxes.wrap(boxes, boxes, canvas_size=canvas)
    corners = converted(floats(values), boxes.format, F.XYXY)[:, CORNERS]
    moved = move(corners.reshape(-1, 2)).reshape(-1, 4, 2)
    around = np.concatenate([moved.min(1), moved.max(1)], -1).astype(corners.dtype)
    if boxes.clamping_mode is not None:
        around = clamped(around, canvas)
    return BoundingBoxes.wrap(wrap(converted(around, F.XYXY, boxes.format).astype(values.dtype)), boxes,
                              canvas_size=canvas)


def affine_points(points: np.ndarray, matrix: list[float]) -> np.ndarray:
    """Points (N, 2) under a map (a, b, c, d, e, f)."""
    theta = np.asarray(matrix, points.dtype).reshape(2, 3)
    return points @ theta[:, :2].T + theta[:, 2]  # type: ignore[no-any-return]


def perspective_points(points: np.ndarray, c: list[float]) -> np.ndarray:
    """Points (N, 2) under the inverse of a projective map; RuntimeError where it has none."""
    if c[0] * c[4] == c[1] * c[3]:
        raise RuntimeError(f"Provided perspective_coeffs {c} can not be inverted to transform bounding boxes. Denominator is zero, denom=0.0")
    inverse = np.linalg.inv(np.array([[c[0], c[1], c[2]], [c[3], c[4], c[5]], [c[6], c[7], 1.0]]))
    lifted = np.concatenate([points, np.ones((len(points), 1))], -1) @ inverse.T
    return lifted[:, :2] / lifted[:, 2:]  # type: ignore[no-any-return]


def elastic_points(points: np.ndarray, displacement: Any, canvas: tuple[int, int]) -> np.ndarray:
    """Points (N, 2) moved against the displacement at the pixel where they lie."""
    from rushlight.vision.transforms.kernels.warp import identity_grid
    if tuple(displacement.shape) != (1, *canvas, 2):
        raise ValueError(f"Argument displacement shape should be {(1, *canvas, 2)}, but given {tuple(displacement.shape)}")
    back = identity_grid(*canvas) - unwrap(displacement)[0]
    x, y = (np.clip(points[:, i].astype(np.int64), 0, n - 1) for i, n in ((0, canvas[1]), (1, canvas[0])))
    moved: np.ndarray = (back[y, x] + 1) * (np.float32(0.5) * np.array(canvas[::-1], np.float32)) - np.float32(0.5)
    return moved
