"""Transforms of size and place that decide nothing by chance."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

from rushlight.nn.modules.module import Module
from rushlight.vision.transforms import functional as F
from rushlight.vision.transforms.arguments import check_padding_mode, pair_of_sizes, shown
from rushlight.vision.transforms.interpolation import InterpolationMode, mode_of


class Resize(Module):
    """Another size: (height, width), or one number for the shorter edge; see `functional.resize`."""

    def __init__(self, size: int | Sequence[int], interpolation: Any = InterpolationMode.BILINEAR,
                 max_size: int | None = None, antialias: bool | None = True):
        super().__init__()
        if not isinstance(size, (int, Sequence)):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        if isinstance(size, Sequence) and len(size) not in (1, 2):
            raise ValueError("If size is a sequence, it should have 1 or 2 values")
        self.size, self.max_size, self.antialias = size, max_size, antialias
        self.interpolation = mode_of(interpolation)

    def forward(self, img: Any) -> Any:
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def __repr__(self) -> str:
        return shown(self, f"size={self.size}, interpolation={self.interpolation.value}, max_size={self.max_size}, antialias={self.antialias}")


class CenterCrop(Module):
    """The window of that size in the middle."""

    def __init__(self, size: int | Sequence[int]):
        super().__init__()
        self.size = pair_of_sizes(size)

    def forward(self, img: Any) -> Any:
        return F.center_crop(img, self.size)

    def __repr__(self) -> str:
        return shown(self, f"size={self.size}")


class Pad(Module):
    """Padded on all sides; see `functional.pad`."""

    def __init__(self, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant"):
        super().__init__()
        if not isinstance(padding, (numbers.Number, tuple, list)):
            raise TypeError("Got inappropriate padding arg")
        if not isinstance(fill, (numbers.Number, tuple, list)):
            raise TypeError("Got inappropriate fill arg")
        check_padding_mode(padding_mode)
        if isinstance(padding, Sequence) and len(padding) not in (1, 2, 4):
            raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple")
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def forward(self, img: Any) -> Any:
        return F.pad(img, self.padding, self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return shown(self, f"padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode}")


class FiveCrop(Module):
    """The four corners and the middle, as a tuple of five."""

    def __init__(self, size: int | Sequence[int]):
        super().__init__()
        self.size = pair_of_sizes(size)

    def forward(self, img: Any) -> tuple[Any, ...]:
        return F.five_crop(img, self.size)

    def __repr__(self) -> str:
        return shown(self, f"size={self.size}")


class TenCrop(Module):
    """`FiveCrop` of the picture and of the flipped picture, as a tuple of ten."""

    def __init__(self, size: int | Sequence[int], vertical_flip: bool = False):
        super().__init__()
        self.size, self.vertical_flip = pair_of_sizes(size), vertical_flip

    def forward(self, img: Any) -> tuple[Any, ...]:
        return F.ten_crop(img, self.size, self.vertical_flip)

    def __repr__(self) -> str:
        return shown(self, f"size={self.size}, vertical_flip={self.vertical_flip}")
