"""Transforms of PIL images by Pillow itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rushlight.vision.transforms.functional.pixels import is_pil_image
from rushlight.vision.transforms.kernels.padding import four_sides


def check(img: Any) -> None:
    """TypeError unless it is a PIL image."""
    if not is_pil_image(img):
        raise TypeError(f"img should be PIL Image. Got {type(img)}")


def fill_of(fill: Any, img: Any) -> Any:
    """A fill as Pillow wants it: one number per channel, whole unless the picture holds floats."""
    channels = len(img.getbands())
    fill = 0 if fill is None else fill
    if isinstance(fill, (int, float)) and channels > 1:
        fill = (fill,) * channels
    if isinstance(fill, (list, tuple)):
        if len(fill) == 1:
            fill = tuple(fill) * channels
        elif len(fill) != channels:
            raise ValueError("The number of elements in 'fill' does not match the number of channels of the image "
                             f"({len(fill)} != {channels})")
        return tuple(fill) if img.mode == "F" else tuple(int(f) for f in fill)
    return fill if img.mode == "F" else int(fill)


def flip(img: Any, horizontally: bool) -> Any:
    """Mirrored."""
    check(img)
    from PIL.Image import Transpose
    return img.transpose(Transpose.FLIP_LEFT_RIGHT if horizontally else Transpose.FLIP_TOP_BOTTOM)


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """The window; black where it lies outside the picture."""
    check(img)
    return img.crop((left, top, left + width, top + height))


def resize(img: Any, height: int, width: int, resample: int) -> Any:
    """Resized; Pillow always applies a low-pass filter when it shrinks."""
    check(img)
    return img.resize((width, height), resample)


def pad(img: Any, padding: int | Sequence[int], fill: Any, mode: str) -> Any:
    """Padded; a palette stays."""
    check(img)
    from PIL import Image, ImageOps
    palette = img.getpalette() if img.mode == "P" else None
    if mode == "constant":
        border: Any = tuple(padding) if isinstance(padding, (list, tuple)) else padding
        border = border[0] if isinstance(border, tuple) and len(border) == 1 else border
        out = ImageOps.expand(img, border, fill=fill_of(fill, img))
    else:
        out = Image.fromarray(_pad_array(img, padding, mode))
    if palette:
        out.putpalette(palette)
    return out


def _pad_array(img: Any, padding: int | Sequence[int], mode: Any) -> np.ndarray:
    left, right, top, bottom = four_sides(padding)
    if min(left, right, top, bottom) < 0:
        img = img.crop((max(-left, 0), max(-top, 0), img.width - max(-right, 0), img.height - max(-bottom, 0)))
    pixels = np.asarray(img)
    widths = [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)), (0, 0)][:pixels.ndim]
    return np.pad(pixels, widths, mode)


def rotate(img: Any, angle: float, resample: int, expand: bool, center: Any, fill: Any) -> Any:
    """Turned against the clock."""
    check(img)
    return img.rotate(angle, resample, expand, center, fillcolor=fill_of(fill, img))


def map_back(img: Any, kind: str, coefficients: Sequence[float], resample: int, fill: Any) -> Any:
    """Each output pixel from where an "AFFINE" or "PERSPECTIVE" map of it lies in the picture."""
    check(img)
    from PIL.Image import Transform
    return img.transform(img.size, Transform[kind], coefficients, resample, fillcolor=fill_of(fill, img))


def enhance(img: Any, what: str, factor: float) -> Any:
    """One of Pillow's enhancers: Brightness, Contrast, Color, Sharpness."""
    check(img)
    from PIL import ImageEnhance
    return getattr(ImageEnhance, what)(img).enhance(factor)


def hue(img: Any, shift: float) -> Any:
    """Colours turned by a part of the circle, in Pillow's HSV of bytes."""
    check(img)
    if img.mode in ("L", "1", "I", "F"):
        return img
    from PIL import Image
    h, s, v = img.convert("HSV").split()
    turned = np.asarray(h) + np.array(int(shift * 255) & 0xFF, np.uint8)
    return Image.merge("HSV", (Image.fromarray(turned), s, v)).convert(img.mode)


def gamma(img: Any, exponent: float, gain: float) -> Any:
    """gain·v ** exponent through a table of 256 levels."""
    check(img)
    table = [int((255 + 1 - 1e-3) * gain * (level / 255.0) ** exponent) for level in range(256)] * 3
    return img.convert("RGB").point(table).convert(img.mode)


def grayscale(img: Any, channels: int) -> Any:
    """Gray in one or three channels."""
    check(img)
    if channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    gray = img.convert("L")
    if channels == 1:
        return gray
    from PIL import Image
    return Image.merge("RGB", (gray, gray, gray))


def operation(img: Any, name: str, *args: Any) -> Any:
    """One of the functions of PIL.ImageOps."""
    check(img)
    from PIL import ImageOps
    function: Callable[..., Any] = getattr(ImageOps, name)
    return function(img, *args)
