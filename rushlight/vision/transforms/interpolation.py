"""InterpolationMode: how pixels between pixels are computed."""

from __future__ import annotations

from enum import Enum
from typing import Any


class InterpolationMode(Enum):
    """The ways to interpolate; box and hamming are for PIL images only."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


PILLOW = {InterpolationMode.NEAREST: 0, InterpolationMode.NEAREST_EXACT: 0, InterpolationMode.LANCZOS: 1,
          InterpolationMode.BILINEAR: 2,
          InterpolationMode.BICUBIC: 3, InterpolationMode.BOX: 4, InterpolationMode.HAMMING: 5}
BY_NUMBER = {number: mode for mode, number in PILLOW.items() if mode is not InterpolationMode.NEAREST_EXACT}


def mode_of(interpolation: Any) -> InterpolationMode:
    """The mode that an InterpolationMode or one of Pillow's numbers names; TypeError for anything else.

    >>> mode_of(2)
    <InterpolationMode.BILINEAR: 'bilinear'>
    """
    if isinstance(interpolation, InterpolationMode):
        return interpolation
    if isinstance(interpolation, int) and interpolation in BY_NUMBER:
        return BY_NUMBER[interpolation]
    raise TypeError("Argument interpolation should be a InterpolationMode or a corresponding Pillow integer constant, "
                    f"got {interpolation!r}")
