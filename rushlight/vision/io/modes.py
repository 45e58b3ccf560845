"""ImageReadMode: which channels a picture is read with."""

from __future__ import annotations

from enum import Enum
from typing import Any


class ImageReadMode(Enum):
    """The channels wanted: as in the file, gray, gray and opacity, colours, colours and opacity."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4
    RGBA = RGB_ALPHA


PILLOW = {ImageReadMode.GRAY: "L", ImageReadMode.GRAY_ALPHA: "LA", ImageReadMode.RGB: "RGB",
          ImageReadMode.RGB_ALPHA: "RGBA"}
# modes that no tensor has
UNCHANGED = {"1": "L", "P": "RGB", "PA": "RGBA", "YCbCr": "RGB", "HSV": "RGB", "LAB": "RGB", "RGBX": "RGB"}


def read_mode(mode: Any) -> ImageReadMode:
    """The mode that an ImageReadMode or its name in any letters gives."""
    return ImageReadMode[mode.upper()] if isinstance(mode, str) else ImageReadMode(mode)
