"""RandomCrop and RandomResizedCrop: windows at places, and of sizes, drawn by chance."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from rushlight.nn.modules.module import Module
from rushlight.vision.transforms import draws, whole_batch
from rushlight.vision.transforms import functional as F
from rushlight.vision.transforms.arguments import pair_of_sizes, shown
from rushlight.vision.transforms.interpolation import InterpolationMode, mode_of
from rushlight.vision.transforms.kernels.padding import four_sides

Window = tuple[int, int, int, int]


class RandomCrop(Module):
    """A window of a fixed size anywhere in the picture, which may be padded first."""

    def __init__(self, size: int | Sequence[int], padding: Any = None, pad_if_needed: bool = False, fill: Any = 0,
                 padding_mode: str = "constant"):
        super().__init__()
        self.size = tuple(pair_of_sizes(size))
        self.padding, self.pad_if_needed, self.fill, self.padding_mode = padding, pad_if_needed, fill, padding_mode

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int]) -> Window:
        """(top, left, height, width); ValueError where the picture is smaller than the window."""
        _, height, width = F.get_dimensions(img)
        wanted_height, wanted_width = output_size
        if height < wanted_height or width < wanted_width:
            raise ValueError(f"Required crop size {(wanted_height, wanted_width)} is larger than input image size {(height, width)}; "
                             "pad_if_needed=True would pad it")
        if (height, width) == (wanted_height, wanted_width):
            return 0, 0, height, width
        top = draws.integer(0, height - wanted_height + 1)
        return top, draws.integer(0, width - wanted_width + 1), wanted_height, wanted_width

    def forward(self, img: Any) -> Any:
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        _, height, width = F.get_dimensions(img)
        if self.pad_if_needed and width < self.size[1]:
            img = F.pad(img, [self.size[1] - width, 0], self.fill, self.padding_mode)
        if self.pad_if_needed and height < self.size[0]:
            img = F.pad(img, [0, self.size[0] - height], self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))

    def __repr__(self) -> str:
        return shown(self, f"size={self.size}, padding={self.padding}")


def _padded(transform: RandomCrop, size: whole_batch.Size) -> whole_batch.Size:
    left, right, top, bottom = four_sides(transform.padding) if transform.padding is not None else (0, 0, 0, 0)
    return size[0] + top + bottom, size[1] + left + right


def _place(transform: RandomCrop, size: whole_batch.Size) -> tuple[int, int]:
    height, width = _padded(transform, size)
    if (height, width) == transform.size:
        return 0, 0
    top = draws.integer(0, height - transform.size[0] + 1)
    return top, draws.integer(0, width - transform.size[1] + 1)


def _fits(transform: RandomCrop, size: whole_batch.Size) -> bool:
    """Whether the batch rule can do it: the picture is large enough, padding is none or positive and of one number."""
    height, width = _padded(transform, size)
    simple = transform.padding_mode != "constant" or isinstance(transform.fill, int)
    sides = four_sides(transform.padding) if transform.padding is not None else (0,)
    reflected = transform.padding_mode != "reflect" or max(sides) < min(size)
    return not transform.pad_if_needed and height >= transform.size[0] and width >= transform.size[1] and simple and min(sides) >= 0 and reflected


def _cut(transform: RandomCrop, batch: whole_batch.Batch, places: list[tuple[int, int]]) -> whole_batch.Batch:
    """The windows of all samples, after padding all at once."""
    values, axis = batch.values, 1 if batch.pictures else batch.values.ndim - 2
    if transform.padding is not None:
        left, right, top, bottom = four_sides(transform.padding)
        widths = [(0, 0)] * values.ndim
        widths[axis], widths[axis + 1] = (top, bottom), (left, right)
        options = {"constant_values": transform.fill} if transform.padding_mode == "constant" else {}
        values = np.pad(values, widths, transform.padding_mode, **options)  # type: ignore[call-overload]
    height, width = transform.size
    shape = list(values.shape)
    shape[axis], shape[axis + 1] = height, width
    out = np.empty(shape, values.dtype)
    before = (slice(None),) * (axis - 1)
    for i, (top, left) in enumerate(places):
        out[i] = values[i][(*before, slice(top, top + height), slice(left, left + width))]
    return batch._replace(values=out)


whole_batch.DRAWN[RandomCrop] = whole_batch.Drawn(_place, _cut, lambda transform, size: transform.size, _fits)


def resized_crop_window(height: int, width: int, scale: Sequence[float], ratio: Sequence[float]) -> Window:
    """(top, left, height, width) of a part of the area within ``scale`` and an aspect ratio within ``ratio``.

    After ten windows that do not fit: the largest window in the middle whose ratio is allowed.
    """
    logs = draws.log_bounds(tuple(ratio))  # type: ignore[arg-type]
    for _ in range(draws.ATTEMPTS):
        area, aspect = draws.area_and_ratio(height * width, scale, logs)  # type: ignore[arg-type]
        w, h = int(round(math.sqrt(area * aspect))), int(round(math.sqrt(area / aspect)))
        if 0 < w <= width and 0 < h <= height:
            top = draws.integer(0, height - h + 1)
            return top, draws.integer(0, width - w + 1), h, w
    w, h = width, height
    if width / height < min(ratio):
        h = int(round(w / min(ratio)))
    elif width / height > max(ratio):
        w = int(round(h * max(ratio)))
    return (height - h) // 2, (width - w) // 2, h, w


def check_ranges(scale: Any, ratio: Any) -> None:
    """TypeError unless both are sequences, a warning unless they ascend."""
    for name, value in (("Scale", scale), ("Ratio", ratio)):
        if not isinstance(value, Sequence):
            raise TypeError(f"{name} should be a sequence")
    if scale[0] > scale[1] or ratio[0] > ratio[1]:
        warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=3)


class RandomResizedCrop(Module):
    """A window of random area and aspect ratio, resized to ``size``: the usual crop for training on photographs."""

    def __init__(self, size: int | Sequence[int], scale: Sequence[float] = (0.08, 1.0),
                 ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0), interpolation: Any = InterpolationMode.BILINEAR,
                 antialias: bool | None = True):
        super().__init__()
        self.size = pair_of_sizes(size)
        check_ranges(scale, ratio)
        self.scale, self.ratio, self.antialias = scale, ratio, antialias
        self.interpolation = mode_of(interpolation)

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float]) -> Window:
        """(top, left, height, width)."""
        _, height, width = F.get_dimensions(img)
        return resized_crop_window(height, width, scale, ratio)

    def forward(self, img: Any) -> Any:
        return F.resized_crop(img, *self.get_params(img, self.scale, self.ratio), self.size, self.interpolation,
                              antialias=self.antialias)

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(v, 4) for v in values) for values in (self.scale, self.ratio))
        return shown(self, f"size={self.size}, scale={scale}, ratio={ratio}, interpolation={self.interpolation.value}, antialias={self.antialias}")
