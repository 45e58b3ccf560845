"""Colours by name or number, and the checks that all drawing shares."""

from __future__ import annotations

from typing import Any

from rushlight.ir import dtype as dtypes
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.vision.transforms.kernels.ranges import maximum

PALETTE = (2**25 - 1, 2**15 - 1, 2**21 - 1)
Colour = tuple[int, int, int]


def colours_of(colors: Any, count: int) -> list[Any]:
    """One (red, green, blue) per object, of a list, of one colour for all, or of a palette for None."""
    if colors is None:
        return [tuple(i * p % 255 for p in PALETTE) for i in range(count)]
    if isinstance(colors, list):
        if len(colors) < count:
            raise ValueError("Number of colors must be equal or larger than the number of objects, "
                             f"but got {len(colors)} < {count}.")
    elif not isinstance(colors, (tuple, str)):
        raise ValueError(f"colors must be a tuple or a string, or a list thereof, but got {colors}.")
    elif isinstance(colors, tuple) and len(colors) != 3:
        raise ValueError(f"If passed as tuple, colors should be an RGB triplet, but got {colors}.")
    else:
        colors = [colors] * count
    from PIL import ImageColor
    return [ImageColor.getrgb(color) if isinstance(color, str) else color for color in colors]


def check_picture(image: Any, channels: tuple[int, ...], said: str, about: str) -> None:
    """TypeError and ValueError unless it is one picture of bytes or floats with such channels."""
    if not isinstance(image, Tensor):
        raise TypeError(f"{said}, got {type(image)}")
    if image.dtype is not dtypes.uint8 and not image.dtype.is_floating_point:
        raise ValueError(f"The image dtype must be uint8 or float, got {image.dtype}")
    shape = image._spec.shape
    if len(shape) != 3:
        raise ValueError("Pass individual images, not batches")
    if shape[0] not in channels:
        raise ValueError(about)


def as_pil(image: Tensor) -> Any:
    """A picture (1 or 3, H, W) as a PIL image in colour."""
    import numpy as np
    from PIL import Image
    pixels = unwrap(image)
    if pixels.dtype.kind == "f":
        pixels = (pixels * pixels.dtype.type(256 - 1e-3)).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(np.moveaxis(pixels, 0, -1), (*pixels.shape[1:], 3))))


def from_pil(image: Any, like: Tensor) -> Tensor:
    """A PIL image in colour as (3, H, W) of the number type of another tensor."""
    import numpy as np
    pixels = np.moveaxis(np.asarray(image), -1, 0)
    dtype = like.dtype.numpy
    return wrap(pixels.astype(dtype) / dtype.type(maximum(pixels.dtype)) if dtype.kind == "f"
                else np.ascontiguousarray(pixels))
