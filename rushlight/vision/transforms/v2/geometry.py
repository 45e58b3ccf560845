"""Transforms v2 of sizes and places, without chance."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from rushlight.vision import transforms as v1
from rushlight.vision.transforms.arguments import check_padding_mode, pair_of_sizes
from rushlight.vision.transforms.v2 import functional as F
from rushlight.vision.transforms.v2.fills import fill_for, fills
from rushlight.vision.transforms.v2.transform import Transform, has_any
from rushlight.vision.tv_tensors.boxes import BoundingBoxes
from rushlight.vision.tv_tensors.keypoints import KeyPoints
from rushlight.vision.tv_tensors.pictures import Mask


class Resize(Transform):
    """Another size: (height, width), the shorter edge, or with None the longer edge ``max_size``."""

    _v1_transform_cls = v1.Resize

    def __init__(self, size: Any, interpolation: Any = "bilinear", max_size: int | None = None,
                 antialias: bool | None = True):
        super().__init__()
        if isinstance(size, int):
            size = [size]
        elif isinstance(size, Sequence) and len(size) in (1, 2):
            size = list(size)
        elif size is not None:
            raise ValueError(f"size can be an integer, a sequence of one or two integers, or None, but got {size} instead.")
        elif not isinstance(max_size, int):
            raise ValueError(f"max_size must be an integer when size is None, but got {max_size} instead.")
        self.size, self.interpolation, self.max_size, self.antialias = size, interpolation, max_size, antialias

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.resize, inpt, self.size, interpolation=self.interpolation, max_size=self.max_size,
                                 antialias=self.antialias)


class CenterCrop(Transform):
    """The window in the middle."""

    _v1_transform_cls = v1.CenterCrop

    def __init__(self, size: Any):
        super().__init__()
        self.size = pair_of_sizes(size)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.center_crop, inpt, output_size=self.size)


def check_padding(padding: Any) -> None:
    """ValueError unless it is a whole number, or 1, 2 or 4 of them."""
    several = isinstance(padding, (tuple, list)) and len(padding) in (1, 2,
                                                                      4) and all(isinstance(p, int) for p in padding)
    if not several and not isinstance(padding, int):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element of tuple or list, got {padding}.")


class Pad(Transform):
    """Padded on the sides; ``fill`` may be a dictionary by kind of input."""

    _v1_transform_cls = v1.Pad

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant"):
        super().__init__()
        check_padding(padding)
        check_padding_mode(padding_mode)
        self.padding = padding if isinstance(padding, int) else list(padding)
        self.fill, self._fill, self.padding_mode = fill, fills(fill), padding_mode

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.pad, inpt, padding=self.padding, fill=fill_for(self._fill, inpt),
                                 padding_mode=self.padding_mode)


class _Crops(Transform):
    """Base of transforms that make several pictures of one."""

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        if has_any(flat_inputs, BoundingBoxes, Mask):
            raise TypeError(f"BoundingBoxes'es and Mask's are not supported by {type(self).__name__}()")
        if has_any(flat_inputs, KeyPoints):
            warnings.warn(f"{type(self).__name__}() is currently passing through inputs of type tv_tensors.KeyPoints.",
                          stacklevel=2)


class FiveCrop(_Crops):
    """Four corners and the middle, as a tuple."""

    _v1_transform_cls = v1.FiveCrop

    def __init__(self, size: Any):
        super().__init__()
        self.size = pair_of_sizes(size)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.five_crop, inpt, self.size)


class TenCrop(_Crops):
    """Five crops of the picture and of the flipped picture, as a tuple."""

    _v1_transform_cls = v1.TenCrop

    def __init__(self, size: Any, vertical_flip: bool = False):
        super().__init__()
        self.size, self.vertical_flip = pair_of_sizes(size), vertical_flip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.ten_crop, inpt, self.size, vertical_flip=self.vertical_flip)
