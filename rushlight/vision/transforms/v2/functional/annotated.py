"""What each transform of places does to boxes, points and masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.vision.transforms import functional as F1
from rushlight.vision.transforms.arguments import pair_of_sizes
from rushlight.vision.transforms.functional.geometry import resized_size, resize_to
from rushlight.vision.transforms.functional.warps import check_affine, inverse_affine_matrix, perspective_by
from rushlight.vision.transforms.interpolation import InterpolationMode
from rushlight.vision.transforms.kernels.padding import four_sides
from rushlight.vision.transforms.kernels.warp import rotated_size
from rushlight.vision.transforms.v2.functional.box_math import (affine_points, clamped_as, converted, corners_mapped,
                                                                elastic_points, floats, perspective_points,
                                                                refuse_rotated)
from rushlight.vision.transforms.v2.functional.dispatch import register
from rushlight.vision.transforms.v2.functional.projection import coefficients_of
from rushlight.vision.tv_tensors.base import plain
from rushlight.vision.tv_tensors.base import wrap as as_kind
from rushlight.vision.tv_tensors.boxes import BoundingBoxes, BoundingBoxFormat
from rushlight.vision.tv_tensors.keypoints import KeyPoints
from rushlight.vision.tv_tensors.pictures import Mask

NEAREST = InterpolationMode.NEAREST
Canvas = tuple[int, int]


def _shifted(inpt: Any, x: float, y: float, canvas: Canvas) -> Any:
    """Boxes or points moved, on another canvas."""
    values = unwrap(inpt)
    if isinstance(inpt, KeyPoints):
        return KeyPoints.wrap(wrap(values + np.array([x, y], values.dtype)), inpt, canvas_size=canvas)
    refuse_rotated(inpt.format)
    move = np.array([x, y, x, y] if inpt.format is BoundingBoxFormat.XYXY else [x, y, 0, 0], values.dtype)
    moved = clamped_as(values + move, inpt.format, canvas, inpt.clamping_mode)
    return BoundingBoxes.wrap(wrap(moved), inpt, canvas_size=canvas)


def _points_mapped(inpt: KeyPoints, move: Callable[[np.ndarray], np.ndarray], canvas: Canvas | None = None) -> Any:
    values = unwrap(inpt)
    moved = move(floats(values).reshape(-1, 2)).reshape(values.shape).astype(values.dtype) if values.size else values
    return KeyPoints.wrap(wrap(np.ascontiguousarray(moved)), inpt, canvas_size=canvas or inpt.canvas_size)


def _mapped(inpt: Any, move: Callable[[np.ndarray], np.ndarray], canvas: Canvas | None = None) -> Any:
    return (corners_mapped if isinstance(inpt, BoundingBoxes) else _points_mapped)(inpt, move, canvas)


def _flipped(inpt: Any, axis: int) -> Any:
    length = inpt.canvas_size[1 - axis]
    values = unwrap(inpt)
    if isinstance(inpt, KeyPoints):
        out = values.copy()
        out[..., axis] = length - 1 - out[..., axis]
        return KeyPoints.wrap(wrap(out), inpt)
    refuse_rotated(inpt.format)
    corners = converted(values, inpt.format, BoundingBoxFormat.XYXY).copy()
    corners[:, [axis, axis + 2]] = length - corners[:, [axis + 2, axis]]
    return BoundingBoxes.wrap(wrap(converted(corners, BoundingBoxFormat.XYXY, inpt.format)), inpt)


@register("horizontal_flip", BoundingBoxes, KeyPoints)
def _horizontal_flip(inpt: Any) -> Any:
    return _flipped(inpt, 0)


@register("vertical_flip", BoundingBoxes, KeyPoints)
def _vertical_flip(inpt: Any) -> Any:
    return _flipped(inpt, 1)


@register("resize", BoundingBoxes, KeyPoints)
def _resize(inpt: Any, size: Any, max_size: int | None = None, **_: Any) -> Any:
    height, width = inpt.canvas_size
    new_height, new_width = resized_size((height, width), [size] if isinstance(size, int) else size, max_size)
    if (new_height, new_width) == (height, width):
        return inpt
    values, ratios = unwrap(inpt), np.array([new_width / width, new_height / height], np.float32)
    if isinstance(inpt, BoundingBoxes):
        refuse_rotated(inpt.format)
        ratios = np.concatenate([ratios, ratios])
    return type(inpt).wrap(wrap((values * ratios).astype(values.dtype)), inpt, canvas_size=(new_height, new_width))


@register("crop", BoundingBoxes, KeyPoints)
def _crop(inpt: Any, top: int, left: int, height: int, width: int) -> Any:
    return _shifted(inpt, -left, -top, (height, width))


@register("center_crop", BoundingBoxes, KeyPoints)
def _center_crop(inpt: Any, output_size: Any) -> Any:
    height, width = pair_of_sizes(output_size)
    top, left = (int(round((n - m) / 2.0)) for n, m in zip(inpt.canvas_size, (height, width)))
    return _crop(inpt, top, left, height, width)


@register("resized_crop", BoundingBoxes, KeyPoints)
def _resized_crop(inpt: Any, top: int, left: int, height: int, width: int, size: Any, **_: Any) -> Any:
    return _resize(_crop(inpt, top, left, height, width), size)


@register("pad", BoundingBoxes, KeyPoints)
def _pad(inpt: Any, padding: Any, fill: Any = None, padding_mode: str = "constant") -> Any:
    if padding_mode != "constant":
        raise ValueError(f"Padding mode '{padding_mode}' is not supported with {'bounding boxes' if isinstance(inpt, BoundingBoxes) else 'KeyPoints'}")
    left, right, top, bottom = four_sides(padding)
    height, width = inpt.canvas_size
    return _shifted(inpt, left, top, (height + top + bottom, width + left + right))


def _affine_map(inpt: Any, angle: float, translate: Any, scale: float, shear: Any, center: Any,
                expand: bool = False) -> Any:
    shear = check_affine(angle, translate, scale, shear, center)
    height, width = inpt.canvas_size
    about = [width * 0.5, height * 0.5] if center is None else list(center)
    matrix = inverse_affine_matrix(about, angle, translate, scale, shear, inverted=False)
    if not expand:
        return _mapped(inpt, lambda points: affine_points(points, matrix))
    frame = affine_points(np.array([[0, 0], [0, height], [width, height], [width, 0]], np.float32), matrix)
    back = inverse_affine_matrix(about, angle, translate, scale, shear)
    return _mapped(inpt, lambda points: affine_points(points, matrix) - frame.min(0), rotated_size(back, height, width))


@register("affine", BoundingBoxes, KeyPoints)
def _affine(inpt: Any, angle: float, translate: Any, scale: float, shear: Any, interpolation: Any = None,
            fill: Any = None, center: Any = None) -> Any:
    return _affine_map(inpt, angle, translate, scale, shear, center)


@register("rotate", BoundingBoxes, KeyPoints)
def _rotate(inpt: Any, angle: float, interpolation: Any = None, expand: bool = False, center: Any = None,
            fill: Any = None) -> Any:
    return _affine_map(inpt, -angle, [0.0, 0.0], 1.0, [0.0, 0.0], center, expand)


@register("perspective", BoundingBoxes, KeyPoints)
def _perspective(inpt: Any, startpoints: Any, endpoints: Any, interpolation: Any = None, fill: Any = None,
                 coefficients: Any = None) -> Any:
    found = coefficients_of(startpoints, endpoints, coefficients)
    return _mapped(inpt, lambda points: perspective_points(points, found))


@register("elastic", BoundingBoxes, KeyPoints)
def _elastic(inpt: Any, displacement: Tensor, interpolation: Any = None, fill: Any = None) -> Any:
    up = np.ceil if isinstance(inpt, BoundingBoxes) else (lambda points: points)
    return _mapped(inpt, lambda points: elastic_points(up(points), displacement, inpt.canvas_size))


# --- masks: as pictures, but without mixing class numbers ---

def _mask_rule(name: str, function: Callable[..., Any]) -> None:
    def run(inpt: Mask, *args: Any, interpolation: Any = None, antialias: Any = None, **kwargs: Any) -> Any:
        return as_kind(function(plain(inpt), *args, **kwargs), like=inpt)
    register(name, Mask)(run)


def _mask_resize(mask: Tensor, size: Any, max_size: int | None = None) -> Any:
    return resize_to(mask, [size] if isinstance(size, int) else size, NEAREST, max_size, False)


def _mask_pad(mask: Tensor, padding: Any, fill: Any = None, padding_mode: str = "constant") -> Any:
    if isinstance(fill, (tuple, list)):
        raise ValueError("Non-scalar fill value is not supported")
    return F1.pad(mask, padding, 0 if fill is None else fill, padding_mode)


def _mask_perspective(mask: Tensor, startpoints: Any, endpoints: Any, fill: Any = None,
                      coefficients: Any = None) -> Any:
    return perspective_by(mask, coefficients_of(startpoints, endpoints, coefficients), NEAREST, fill)


MASKS: dict[str, Callable[..., Any]] = {
    "horizontal_flip": F1.hflip, "vertical_flip": F1.vflip, "crop": F1.crop, "center_crop": F1.center_crop,
    "resize": _mask_resize, "pad": _mask_pad,
    "resized_crop": lambda mask, top, left, height, width, size: _mask_resize(F1.crop(mask, top, left, height, width), size),
    "affine": lambda mask, *args, **kwargs: F1.affine(mask, *args, interpolation=NEAREST, **kwargs),  # type: ignore[misc]
    "rotate": lambda mask, *args, **kwargs: F1.rotate(mask, *args, interpolation=NEAREST, **kwargs),  # type: ignore[misc]
    "perspective": _mask_perspective,
    "elastic": lambda mask, *args, **kwargs: F1.elastic_transform(mask, *args, interpolation=NEAREST, **kwargs),  # type: ignore[misc]
}
for _name, _function in MASKS.items():
    _mask_rule(_name, _function)
