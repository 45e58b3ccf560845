"""Transforms v2 for training detectors: crops that keep boxes, sizes drawn by chance, boxes put in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.vision.transforms import draws
from rushlight.vision.transforms.functional.pixels import is_pil_image
from rushlight.vision.transforms.v2 import functional as F
from rushlight.vision.transforms.v2.functional.box_math import converted
from rushlight.vision.transforms.v2.functional.dispatch import is_pure_tensor
from rushlight.vision.transforms.v2.functional.meta import sanitize_keypoints, valid_boxes
from rushlight.vision.transforms.v2.transform import Transform, has_any, query_size
from rushlight.vision.transforms.v2.tree import flatten
from rushlight.vision.tv_tensors.base import plain
from rushlight.vision.tv_tensors.base import wrap as as_kind
from rushlight.vision.tv_tensors.boxes import BoundingBoxes, BoundingBoxFormat
from rushlight.vision.tv_tensors.keypoints import KeyPoints
from rushlight.vision.tv_tensors.pictures import Image, Mask


def the_first(flat: list[Any], kind: type, name: str) -> Any:
    """The first value of a kind; ValueError where there is none."""
    found = next((value for value in flat if isinstance(value, kind)), None)
    if found is None:
        raise ValueError(f"No {name} were found in the sample")
    return found


class RandomIoUCrop(Transform):
    """A window that overlaps some box by at least a ratio drawn from ``sampler_options`` (the crop of SSD).

    Boxes whose centre lies outside become zero; `SanitizeBoundingBoxes` takes them away.
    """

    def __init__(self, min_scale: float = 0.3, max_scale: float = 1.0, min_aspect_ratio: float = 0.5,
                 max_aspect_ratio: float = 2.0, sampler_options: list[float] | None = None, trials: int = 40):
        super().__init__()
        self.min_scale, self.max_scale = min_scale, max_scale
        self.min_aspect_ratio, self.max_aspect_ratio = min_aspect_ratio, max_aspect_ratio
        self.options = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0] if sampler_options is None else sampler_options
        self.trials = trials

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        if not (has_any(flat_inputs, BoundingBoxes) and has_any(flat_inputs, is_pil_image, Image, is_pure_tensor)):
            raise TypeError(f"{type(self).__name__}() requires input sample to contain tensor or PIL images and bounding boxes. "
                            "Sample can also contain masks.")

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        size = query_size(flat_inputs)
        boxes = the_first(flat_inputs, BoundingBoxes, "bounding boxes")
        corners = converted(unwrap(boxes), boxes.format, BoundingBoxFormat.XYXY)
        while True:
            wanted = self.options[draws.integer(0, len(self.options))]
            if wanted >= 1.0:
                return {}
            for _ in range(self.trials):
                found = self._window(size, corners, wanted)
                if found is not None:
                    return found

    def _window(self, size: tuple[int, int], corners: np.ndarray, wanted: float) -> dict[str, Any] | None:
        height, width = size
        r = np.float32(self.min_scale) + np.float32(self.max_scale - self.min_scale) * draws.units(2)
        w, h = int(width * r[0]), int(height * r[1])
        if h == 0 or not self.min_aspect_ratio <= w / h <= self.max_aspect_ratio:
            return None
        r = draws.units(2)
        left, top = int((width - w) * r[0]), int((height - h) * r[1])
        if w == 0:
            return None
        middle = 0.5 * (corners[:, :2] + corners[:, 2:])
        within = (middle > [left, top]).all(-1) & (middle < [left + w, top + h]).all(-1)
        if not within.any():
            return None
        kept = corners[within].astype(np.float64)
        overlap = np.clip(np.minimum(kept[:, 2:], [left + w, top + h]) - np.maximum(kept[:, :2], [left, top]), 0,
                          None).prod(-1)
        if (overlap / ((kept[:, 2:] - kept[:, :2]).prod(-1) + w * h - overlap)).max() < wanted:
            return None
        return {"top": top, "left": left, "height": h, "width": w, "within": within}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not params:
            return inpt
        out = self._call_kernel(F.crop, inpt, **{name: params[name] for name in ("top", "left", "height", "width")})
        if isinstance(out, BoundingBoxes):
            return as_kind(wrap(unwrap(out) * params["within"][:, None].astype(unwrap(out).dtype)), like=out)
        return out


class _RandomSize(Transform):
    """Base of transforms to a size drawn by chance."""

    interpolation: Any
    antialias: bool | None

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.resize, inpt, size=params["size"], interpolation=self.interpolation,
                                 antialias=self.antialias)


class ScaleJitter(_RandomSize):
    """Scaled to fit ``target_size``, times a factor drawn from a range."""

    def __init__(self, target_size: tuple[int, int], scale_range: tuple[float, float] = (0.1, 2.0),
                 interpolation: Any = "bilinear", antialias: bool | None = True):
        super().__init__()
        self.target_size, self.scale_range, self.interpolation, self.antialias = target_size, scale_range, interpolation, antialias

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        scale = np.float32(self.scale_range[0]) + draws.units(1)[0] * np.float32(self.scale_range[1] - self.scale_range[0])
        r = np.float32(min(self.target_size[1] / height, self.target_size[0] / width)) * scale
        return {"size": (int(np.float32(height) * r), int(np.float32(width) * r))}


class RandomShortestSize(_RandomSize):
    """The shorter edge one of some lengths, the longer not above ``max_size``."""

    def __init__(self, min_size: Any, max_size: int | None = None, interpolation: Any = "bilinear",
                 antialias: bool | None = True):
        super().__init__()
        self.min_size, self.max_size = [min_size] if isinstance(min_size, int) else list(min_size), max_size
        self.interpolation, self.antialias = interpolation, antialias

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        r = self.min_size[draws.integer(0, len(self.min_size))] / min(height, width)
        if self.max_size is not None:
            r = min(r, self.max_size / max(height, width))
        return {"size": (int(height * r), int(width * r))}


class RandomResize(_RandomSize):
    """The shorter edge of a length drawn from [min_size, max_size)."""

    def __init__(self, min_size: int, max_size: int, interpolation: Any = "bilinear", antialias: bool | None = True):
        super().__init__()
        self.min_size, self.max_size, self.interpolation, self.antialias = min_size, max_size, interpolation, antialias

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"size": [draws.integer(self.min_size, self.max_size)]}


def default_labels(sample: Any) -> Any:
    """Where labels usually are: the tensor or the dictionary beside the picture, there under a key like "labels"."""
    inner = sample[1] if isinstance(sample, (tuple, list)) else sample
    if is_pure_tensor(inner):
        return inner
    if not isinstance(inner, Mapping):
        raise ValueError("When using the default labels_getter, the input passed to forward must be a dictionary or a two-tuple "
                         f"whose second item is a dictionary or a tensor, but got {inner} instead.")
    key = next((k for k in inner if k.lower() == "labels"), None) or next((k for k in inner if "label" in k.lower()),
                                                                          None)
    if key is None:
        raise ValueError("Could not infer where the labels are in the sample. Try passing a callable as the labels_getter parameter?"
                         "If there are no labels in the sample by design, pass labels_getter=None.")
    return inner[key]


def labels_from(getter: Any) -> Callable[[Any], Any]:
    """The function that finds labels: "default", one of the caller's, or None for no labels."""
    if getter == "default":
        return default_labels
    if callable(getter):
        return getter  # type: ignore[no-any-return]
    if getter is None:
        return lambda _: None
    raise ValueError(f"labels_getter should either be 'default', a callable, or None, but got {getter}.")


class _Sanitize(Transform):
    """Base of transforms that take rows away from boxes or points and from what belongs to them."""

    def __init__(self, labels_getter: Any):
        super().__init__()
        self.labels_getter, self._labels_getter = labels_getter, labels_from(labels_getter)

    def _valid(self, flat: list[Any]) -> np.ndarray:
        raise NotImplementedError

    def _belongs(self, value: Any, labels: tuple[Any, ...]) -> bool:
        raise NotImplementedError

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        found = self._labels_getter(sample)
        labels = () if found is None else (found,) if isinstance(found, Tensor) else found
        if not isinstance(labels, (tuple, list)) or not all(isinstance(label, Tensor) for label in labels):
            raise ValueError(f"The labels in the input to forward() must be a tensor or None, got {type(found)} instead.")
        flat, rebuild = flatten(sample)
        valid = self._valid(flat)
        for label in labels:
            if len(valid) != label.shape[0]:
                raise ValueError(f"Number of boxes ({len(valid)}) and must match the number of labels. "
                                 f"Found labels with shape={tuple(label.shape)}).")
        return rebuild([self._kept(value, valid) if self._belongs(value, tuple(labels)) else value for value in flat])

    def _kept(self, value: Any, valid: np.ndarray) -> Any:
        rows = unwrap(plain(value))
        return as_kind(wrap(rows[valid]), like=value) if rows.ndim and len(rows) == len(valid) else value


class SanitizeBoundingBoxes(_Sanitize):
    """Boxes that are too small or reach beyond the canvas taken away, with their labels and masks."""

    def __init__(self, min_size: float = 1.0, min_area: float = 1.0, labels_getter: Any = "default"):
        super().__init__(labels_getter)
        for name, value in (("min_size", min_size), ("min_area", min_area)):
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}.")
        self.min_size, self.min_area = min_size, min_area

    def _valid(self, flat: list[Any]) -> np.ndarray:
        boxes = the_first(flat, BoundingBoxes, "bounding boxes")
        return valid_boxes(boxes, boxes.format, boxes.canvas_size, self.min_size, self.min_area)

    def _belongs(self, value: Any, labels: tuple[Any, ...]) -> bool:
        return isinstance(value, (BoundingBoxes, Mask)) or any(value is label for label in labels)


class SanitizeKeyPoints(_Sanitize):
    """Points beyond the canvas taken away, with their labels."""

    def __init__(self, labels_getter: Any = None):
        super().__init__(labels_getter)

    def _valid(self, flat: list[Any]) -> np.ndarray:
        return unwrap(sanitize_keypoints(the_first(flat, KeyPoints, "keypoints"))[1])

    def _belongs(self, value: Any, labels: tuple[Any, ...]) -> bool:
        return isinstance(value, KeyPoints) or any(value is label for label in labels)


class ConvertBoundingBoxFormat(Transform):
    """Boxes in another format."""

    _transformed_types = (BoundingBoxes,)

    def __init__(self, format: Any):  # noqa: A002
        super().__init__()
        self.format = format

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.convert_bounding_box_format(inpt, new_format=self.format)


class ClampBoundingBoxes(Transform):
    """Boxes within their canvas."""

    _transformed_types = (BoundingBoxes,)

    def __init__(self, clamping_mode: str | None = "auto"):
        super().__init__()
        self.clamping_mode = clamping_mode

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.clamp_bounding_boxes(inpt, clamping_mode=self.clamping_mode)


class ClampKeyPoints(Transform):
    """Points within their canvas."""

    _transformed_types = (KeyPoints,)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.clamp_keypoints(inpt)


class SetClampingMode(Transform):
    """Boxes that are kept within the canvas from now on, or not."""

    _transformed_types = (BoundingBoxes,)

    def __init__(self, clamping_mode: str | None):
        super().__init__()
        if clamping_mode not in (None, "soft", "hard"):
            raise ValueError(f"clamping_mode must be soft, hard or None, got {clamping_mode}")
        self.clamping_mode = clamping_mode

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        out = inpt.clone()
        out.clamping_mode = self.clamping_mode
        return out
