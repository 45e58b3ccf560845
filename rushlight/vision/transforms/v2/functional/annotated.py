"""What each transform of places does to boxes, points and masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.vision.transforms import functional as F1
from rushlight.vision.transforms.arguments import pair_of_sizes
from rushlight.vision.transforms.functional.geometry import check_max_size, resized_size, resize_to
from rushlight.vision.transforms.functional.warps import check_affine, inverse_affine_matrix, perspective_by
from rushlight.vision.transforms.interpolation import InterpolationMode
from rushlight.vision.transforms.kernels.padding import four_sides
from rushlight.vision.transforms.kernels.warp import rotated_size
from rushlight.vision.transforms.v2.functional.box_math import (affine_points, clamped_as, corners_mapped,
                                                                elastic_points, floats, perspective_points,
                                                                refuse_rotated)
from rushlight.vision.transforms.v2.functional.dispatch import mode_from, register
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
    out = values.copy()
    if inpt.format is BoundingBoxFormat.XYXY:
        out[:, [axis, axis + 2]] = length - values[:, [axis + 2, axis]]
    else:  # in the format itself: a centre of whole numbers would be rounded on the way to corners
        out[:, axis] = length - values[:, axis] - (values[:, axis + 2] if inpt.format is BoundingBoxFormat.XYWH else 0)
    return BoundingBoxes.wrap(wrap(out), inpt)


@register("horizontal_flip", BoundingBoxes, KeyPoints)
def _horizontal_flip(inpt: Any) -> Any:
    return _flipped(inpt, 0)


@register("vertical_flip", BoundingBoxes, KeyPoints)
def _vertical_flip(inpt: Any) -> Any:
    return _flipped(inpt, 1)


@register("resize", BoundingBoxes, KeyPoints)
def _resize(inpt: Any, size: Any, max_size: int | None = None, **_: Any) -> Any:
    check_max_size(size, max_size)
    height, width = inpt.canvas_size
    new_height, new_width = resized_size((height, width), [size] if isinstance(size, int) else size, max_size)
    if (new_height, new_width) == (height, width):
        return inpt
    values, ratios = unwrap(inpt), np.array([new_width / width, new_height / height], np.float32)
    if isinstance(inpt, BoundingBoxes):
        refuse_rotated(inpt.format)
        ratios = np.concatenate([ratios, ratios])
    moved = (floats(values) * ratios).astype(values.dtype)  # whole numbers in float32, as PyTorch multiplies them
    return type(inpt).wrap(wrap(moved), inpt, canvas_size=(new_height, new_width))


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
    if 0 in inpt.shape[:-1]:  # nothing to move: the canvas stays as well
        return inpt
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
    if 0 in inpt.shape[:-1]:
        return inpt
    found = coefficients_of(startpoints, endpoints, coefficients)
    return _mapped(inpt, lambda points: perspective_points(points, found))


@register("elastic", BoundingBoxes, KeyPoints)
def _elastic(inpt: Any, displacement: Tensor, interpolation: Any = None, fill: Any = None) -> Any:
    up = np.ceil if isinstance(inpt, BoundingBoxes) else (lambda points: points)
    return _mapped(inpt, lambda points: elastic_points(up(points), displacement, inpt.canvas_size))


# --- masks: as pictures, but without mixing class numbers ---

def _mask_rule(name: str, function: Callable[..., Any]) -> None:
    def on_plain(mask: Any, *args: Any, interpolation: Any = None, antialias: Any = None, **kwargs: Any) -> Any:
        if name == "resize" and interpolation is not None:  # the one transform of masks that can be told how
            kwargs["exact"] = mode_from(interpolation) is InterpolationMode.NEAREST_EXACT
        return function(mask[None], *args, **kwargs)[0] if mask.ndim == 2 else function(mask, *args, **kwargs)
    MASKS[name] = on_plain
    register(name, Mask)(lambda inpt, *args, **kwargs: as_kind(on_plain(plain(inpt), *args, **kwargs), like=inpt))


def _mask_resize(mask: Tensor, size: Any, max_size: int | None = None, exact: bool = False) -> Any:
    check_max_size(size, max_size)
    mode = InterpolationMode.NEAREST_EXACT if exact else NEAREST
    return resize_to(mask, [size] if isinstance(size, int) else size, mode, max_size, False)


def _mask_pad(mask: Tensor, padding: Any, fill: Any = None, padding_mode: str = "constant") -> Any:
    if isinstance(fill, (tuple, list)):
        raise ValueError("Non-scalar fill value is not supported")
    return F1.pad(mask, padding, 0 if fill is None else fill, padding_mode)


def _mask_perspective(mask: Tensor, startpoints: Any, endpoints: Any, fill: Any = None,
                      coefficients: Any = None) -> Any:
    return perspective_by(mask, coefficients_of(startpoints, endpoints, coefficients), NEAREST, fill)


MASKS: dict[str, Callable[..., Any]] = {}  # of plain tensors
RULES: dict[str, Callable[..., Any]] = {
    "horizontal_flip": F1.hflip, "vertical_flip": F1.vflip, "crop": F1.crop, "center_crop": F1.center_crop,
    "resize": _mask_resize, "pad": _mask_pad,
    "resized_crop": lambda mask, top, left, height, width, size: _mask_resize(F1.crop(mask, top, left, height, width), size),
    "affine": lambda mask, *args, **kwargs: F1.affine(mask, *args, interpolation=NEAREST, **kwargs),  # type: ignore[misc]
    "rotate": lambda mask, *args, **kwargs: F1.rotate(mask, *args, interpolation=NEAREST, **kwargs),  # type: ignore[misc]
    "perspective": _mask_perspective,
    "elastic": lambda mask, *args, **kwargs: F1.elastic_transform(mask, *args, interpolation=NEAREST, **kwargs),  # type: ignore[misc]
}
for _name, _function in RULES.items():
    _mask_rule(_name, _function)
