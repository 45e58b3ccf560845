"""Sizes, formats of boxes, and what lies within a canvas."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.vision.transforms import functional as F1
from rushlight.vision.transforms.functional.pixels import is_pil_image
from rushlight.vision.transforms.v2.functional.box_math import clamped_as, converted
from rushlight.vision.transforms.v2.functional.dispatch import is_pure_tensor
from rushlight.vision.tv_tensors.base import plain
from rushlight.vision.tv_tensors.boxes import BoundingBoxes, BoundingBoxFormat, format_of
from rushlight.vision.tv_tensors.keypoints import KeyPoints
from rushlight.vision.tv_tensors.pictures import Image, Mask, Video


def get_size(inpt: Any) -> list[int]:
    """[height, width] of a picture, or of the canvas of boxes and points."""
    if isinstance(inpt, (BoundingBoxes, KeyPoints)):
        return list(inpt.canvas_size)
    if isinstance(inpt, Mask):
        return [int(n) for n in inpt.shape[-2:]]  # type: ignore[attr-defined]
    return F1.get_dimensions(inpt)[1:]


def get_dimensions(inpt: Any) -> list[int]:
    """[channels, height, width] of a picture."""
    if not (is_pil_image(inpt) or is_pure_tensor(inpt) or isinstance(inpt, (Image, Video))):
        raise TypeError(f"get_dimensions is for pictures, got {type(inpt)}")
    return F1.get_dimensions(inpt)


def get_num_channels(inpt: Any) -> int:
    """How many channels a picture has."""
    return get_dimensions(inpt)[0]


def get_num_frames(inpt: Any) -> int:
    """How many frames a video (..., T, C, H, W) has."""
    if not (is_pure_tensor(inpt) or isinstance(inpt, Video)):
        raise TypeError(f"Functional F.get_num_frames supports inputs of type Video and Tensor, but got {type(inpt)} instead.")
    return int(inpt.shape[-4])


def _facts(inpt: Any, given: dict[str, Any]) -> dict[str, Any]:
    """What is known of boxes: by themselves, or as given for plain tensors."""
    if isinstance(inpt, BoundingBoxes):
        named = [name for name, value in given.items() if value is not None]
        if named:
            raise ValueError(f"For bounding box tv_tensor inputs, `{'` and `'.join(given)}` must not be passed.")
        return {name: getattr(inpt, {"old_format": "format"}.get(name, name)) for name in given}
    if not is_pure_tensor(inpt):
        raise TypeError(f"Input can either be a plain tensor or a bounding box tv_tensor, but got {type(inpt)} instead.")
    if any(value is None for value in given.values()):
        raise ValueError(f"For pure tensor inputs, `{'` and `'.join(given)}` has to be passed.")
    return given


def _need(inpt: Any, kind: type, error: type[Exception], text: str) -> None:
    if not isinstance(inpt, kind):
        raise error(text.format(type(inpt)))


def convert_bounding_box_format(inpt: Any, old_format: Any = None, new_format: Any = None,
                                inplace: bool = False) -> Any:
    """Boxes in another format; plain tensors need ``old_format``. With ``inplace`` the numbers themselves change.

    >>> import rushlight as rl
    >>> convert_bounding_box_format(rl.tensor([1., 2., 3., 4.]), "XYWH", "XYXY")
    tensor([1., 2., 4., 6.])
    """
    if new_format is None:
        raise TypeError("convert_bounding_box_format() missing 1 required argument: 'new_format'")
    new = format_of(new_format)
    old = format_of(_facts(inpt, {"old_format": old_format})["old_format"])
    out: Any = wrap(np.array(converted(unwrap(inpt), old, new)))
    if inplace and out.shape == inpt.shape:
        out = plain(inpt).copy_(out)  # type: ignore[attr-defined]
    return BoundingBoxes.wrap(out, inpt, format=new) if isinstance(inpt, BoundingBoxes) else inpt if inplace else out


def clamp_bounding_boxes(inpt: Any, format: Any = None, canvas_size: Any = None,
                         clamping_mode: str | None = "auto") -> Any:  # noqa: A002
    """Boxes within their canvas; plain tensors need ``format``, ``canvas_size`` and a clamping mode."""
    if clamping_mode not in (None, "soft", "hard", "auto"):
        raise ValueError(f"clamping_mode must be soft, hard, auto or None, got {clamping_mode}")
    known = _facts(inpt, {"format": format, "canvas_size": canvas_size})
    if clamping_mode == "auto":
        if not isinstance(inpt, BoundingBoxes):
            raise ValueError("For pure tensor inputs, `format`, `canvas_size` and `clamping_mode` have to be passed.")
        clamping_mode = inpt.clamping_mode
    out = wrap(np.array(clamped_as(unwrap(inpt), format_of(known["format"]), known["canvas_size"], clamping_mode)))
    return BoundingBoxes.wrap(out, inpt) if isinstance(inpt, BoundingBoxes) else out


def clamp_keypoints(inpt: Any, canvas_size: Any = None) -> Any:
    """Points within their canvas; plain tensors need ``canvas_size``."""
    if is_pure_tensor(inpt) and canvas_size is None:
        raise ValueError("For pure tensor inputs, `canvas_size` has to be passed.")
    if not is_pure_tensor(inpt):
        _need(inpt, KeyPoints, TypeError, "Input can either be a plain tensor or a keypoints tv_tensor, but got {} instead.")
    height, width = inpt.canvas_size if isinstance(inpt, KeyPoints) else canvas_size
    values = unwrap(inpt)
    out = wrap(np.stack([np.clip(values[..., 0], 0, width - 1), np.clip(values[..., 1], 0, height - 1)],
                        -1).astype(values.dtype))
    return KeyPoints.wrap(out, inpt) if isinstance(inpt, KeyPoints) else out


def valid_boxes(boxes: Any, form: BoundingBoxFormat, canvas: tuple[int, int], min_size: float,
                min_area: float) -> np.ndarray:
    """Which boxes are large enough and within the canvas."""
    corners = converted(unwrap(boxes), form, BoundingBoxFormat.XYXY)
    width, height = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    large = (width >= min_size) & (height >= min_size) & (width * height >= min_area)
    inside = (corners >= 0).all(-1) & (corners[:, 0::2] <= canvas[1]).all(-1) & (corners[:, 1::2] <= canvas[0]).all(-1)
    return np.asarray(large & inside)


def sanitize_bounding_boxes(bounding_boxes: Any, format: Any = None, canvas_size: Any = None, min_size: float = 1.0,  # noqa: A002
                            min_area: float = 1.0) -> tuple[Any, Tensor]:
    """(the boxes that are large enough and within the canvas, which those were)."""
    if not is_pure_tensor(bounding_boxes):
        _need(bounding_boxes, BoundingBoxes, ValueError, "bounding_boxes must be a tv_tensors.BoundingBoxes instance or a pure tensor.")
    known = _facts(bounding_boxes, {"format": format, "canvas_size": canvas_size})
    valid = valid_boxes(bounding_boxes, format_of(known["format"]), known["canvas_size"], min_size, min_area)
    kept = wrap(unwrap(bounding_boxes)[valid])
    return (BoundingBoxes.wrap(kept, bounding_boxes) if isinstance(bounding_boxes, BoundingBoxes)
            else kept), wrap(valid)


def sanitize_keypoints(key_points: Any, canvas_size: Any = None) -> tuple[Any, Tensor]:
    """(the points, or groups of points, within the canvas, which those were)."""
    if is_pure_tensor(key_points) and canvas_size is None:
        raise ValueError("canvas_size cannot be None if key_points is a pure tensor. Set it to an appropriate value "
                         "or pass key_points as a tv_tensors.KeyPoints object.")
    if not is_pure_tensor(key_points):
        _need(key_points, KeyPoints, ValueError, "key_points must be a tv_tensors.KeyPoints instance or a pure tensor.")
    height, width = key_points.canvas_size if isinstance(key_points, KeyPoints) else canvas_size
    values = unwrap(key_points)
    valid = (values[..., 0] >= 0) & (values[..., 0] < width) & (values[..., 1] >= 0) & (values[..., 1] < height)
    valid = valid.reshape(len(valid), -1).all(1) if valid.ndim > 1 else valid  # type: ignore[assignment]
    kept = wrap(values[valid])
    return (KeyPoints.wrap(kept, key_points) if isinstance(key_points, KeyPoints) else kept), wrap(valid)
