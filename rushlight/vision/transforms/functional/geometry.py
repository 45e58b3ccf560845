"""Sizes and places: resize, crop, pad, flip, erase. Every function takes a PIL image or a tensor (..., C, H, W)."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from rushlight.tensor.core import Tensor
from rushlight.vision.transforms import pillow
from rushlight.vision.transforms.arguments import TWO_DIMENSIONS, check_padding_mode, pair_of_sizes
from rushlight.vision.transforms.functional.pixels import check_tensor, follows_gradient, get_dimensions, on_pixels
from rushlight.vision.transforms.interpolation import PILLOW, InterpolationMode, mode_of
from rushlight.vision.transforms.kernels import padding as padding_kernels
from rushlight.vision.transforms.kernels import resize as resize_kernels

TENSOR_RESIZES = ("nearest", "nearest-exact", "bilinear", "bicubic", "lanczos")


def resized_size(size: tuple[int, int], wanted: Sequence[int] | None, max_size: int | None = None) -> list[int]:
    """[height, width] that ``resize`` makes of a size.

    One number is the shorter edge, whose longer then may not pass ``max_size``; none makes the longer edge max_size.

    >>> resized_size((100, 200), [50]), resized_size((100, 200), [50], 60), resized_size((100, 200), None, 80)
    ([50, 100], [30, 60], [40, 80])
    """
    height, width = size
    if wanted is not None and len(wanted) > 1:
        return [wanted[0], wanted[1]]
    short, long = min(size), max(size)
    if wanted is None:
        if not isinstance(max_size, int):
            raise ValueError(f"max_size must be an integer when size is None, but got {max_size} instead.")
        new_short, new_long = int(max_size * short / long), max_size
    else:
        new_short, new_long = wanted[0], int(wanted[0] * long / short)
        if max_size is not None:
            if max_size <= wanted[0]:
                raise ValueError(f"max_size = {max_size} must be strictly greater than the requested size for the smaller edge size = {wanted}")
            if new_long > max_size:
                new_short, new_long = int(max_size * new_short / new_long), max_size
    return [new_long, new_short] if width <= height else [new_short, new_long]


def resize(img: Any, size: int | Sequence[int], interpolation: Any = InterpolationMode.BILINEAR,
           max_size: int | None = None, antialias: bool | None = True) -> Any:
    """The picture at another size: (height, width), or the length of the shorter edge.

    ``antialias`` filters before shrinking (bilinear and bicubic); PIL images are always filtered. Integers are rounded.

    >>> import rushlight as rl
    >>> resize(rl.arange(4.).reshape(1, 2, 2), [1, 1])
    tensor([[[1.5000]]])
    """
    mode = mode_of(interpolation)
    if mode is InterpolationMode.LANCZOS and isinstance(img, Tensor):
        raise ValueError("Lanczos mode requires antialias=True, which only transforms v2 have for it")
    if isinstance(size, (list, tuple)):
        if len(size) not in (1, 2):
            raise ValueError(f"Size must be an int or a 1 or 2 element tuple/list, not a {len(size)} element tuple/list")
        if max_size is not None and len(size) != 1:
            raise ValueError("max_size should only be passed if size specifies the length of the smaller edge, "
                             "i.e. size should be an int or a sequence of length 1 in torchscript mode.")
    return resize_to(img, [size] if isinstance(size, int) else size, mode, max_size, antialias)


def check_max_size(size: Any, max_size: int | None) -> None:
    """ValueError for a longest edge where both edges are given."""
    if max_size is not None and isinstance(size, (list, tuple)) and len(size) != 1:
        raise ValueError("max_size should only be passed if size is None or specifies the length of the smaller edge, "
                         "i.e. size should be an int or a sequence of length 1 in torchscript mode.")


def resize_to(img: Any, size: Sequence[int] | None, mode: InterpolationMode, max_size: int | None,
              antialias: bool | None, bytes_between: bool = False) -> Any:
    """`resize` with arguments that have been checked; ``size`` may be None. ``bytes_between``: pictures of bytes are bytes again after the
    first axis, as in v2."""
    _, height, width = get_dimensions(img)
    wanted = resized_size((height, width), size, max_size)
    if [height, width] == wanted:
        return img
    if not isinstance(img, Tensor):
        if antialias is False:
            warnings.warn("Anti-alias option is always applied for PIL Image input. Argument antialias is ignored.",
                          stacklevel=3)
        return pillow.resize(img, *wanted, PILLOW[mode])  # type: ignore[call-arg]
    if mode.value not in TENSOR_RESIZES:
        raise NotImplementedError(f"Interpolation mode {mode.value!r} is for PIL images only; tensors know {', '.join(TENSOR_RESIZES)}")
    smooth = bool(antialias) and mode.value in ("bilinear", "bicubic", "lanczos")
    if follows_gradient(img):
        return _resize_tensor(img, wanted, mode.value, smooth)
    return on_pixels(resize_kernels.resize, img, *wanted, mode.value, smooth, bytes_between)


def _resize_tensor(img: Any, size: list[int], method: str, antialias: bool) -> Tensor:
    """With gradients, by the differentiable operation."""
    from rushlight.nn.functional import interpolate  # type: ignore[attr-defined]
    corners = {} if method.startswith("nearest") else {"align_corners": False, "antialias": antialias}
    flat = img.reshape(-1, *img.shape[-3:])
    return interpolate(flat, size=size, mode=method, **corners).reshape(*img.shape[:-2], *size)  # type: ignore[attr-defined, no-any-return]


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """The window (top, left, height, width), black where it lies outside the picture."""
    if not isinstance(img, Tensor):
        return pillow.crop(img, top, left, height, width)
    _, h, w = get_dimensions(img)
    if follows_gradient(img):
        inside: Any = img
        right, bottom = left + width, top + height
        sides = [max(-left + min(0, right), 0), max(-top + min(0, bottom), 0), max(right - max(w, left), 0),
                 max(bottom - max(h, top), 0)]
        inside = inside[..., max(top, 0):max(bottom, 0), max(left, 0):max(right, 0)]
        return pad(inside, sides) if any(sides) else inside
    return on_pixels(padding_kernels.crop, img, top, left, height, width)


def center_crop(img: Any, output_size: Any) -> Any:
    """The window of that size (height, width) in the middle; smaller pictures are padded with zeros first."""
    height, width = pair_of_sizes(output_size)
    _, h, w = get_dimensions(img)
    if width > w or height > h:
        down, across = max(height - h, 0), max(width - w, 0)
        img = pad(img, [across // 2, down // 2, (across + 1) // 2, (down + 1) // 2], fill=0)
        _, h, w = get_dimensions(img)
        if (h, w) == (height, width):
            return img
    return crop(img, int(round((h - height) / 2.0)), int(round((w - width) / 2.0)), height, width)


def resized_crop(img: Any, top: int, left: int, height: int, width: int, size: Any,
                 interpolation: Any = InterpolationMode.BILINEAR, antialias: bool | None = True) -> Any:
    """`crop`, then `resize`."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def pad(img: Any, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant") -> Any:
    """Padded by one number, (left and right, top and bottom) or (left, top, right, bottom).

    ``padding_mode``: "constant" (with ``fill``), "edge" repeats the border, "reflect" and "symmetric" mirror without
    and
    with it. Negative padding crops.
    """
    if not isinstance(padding, (numbers.Number, tuple, list)):
        raise TypeError("Got inappropriate padding arg")
    if fill is not None and not isinstance(fill, (numbers.Number, tuple, list)):
        raise TypeError("Got inappropriate fill arg")
    if not isinstance(padding_mode, str):
        raise TypeError("Got inappropriate padding_mode arg")
    if isinstance(padding, (list, tuple)) and len(padding) not in (1, 2, 4):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple")
    check_padding_mode(padding_mode)
    if not isinstance(img, Tensor):
        return pillow.pad(img, padding, fill, padding_mode)
    check_tensor(img)
    sides = padding_kernels.four_sides(padding)
    if follows_gradient(img):
        return _pad_tensor(img, sides, 0 if fill is None else fill, padding_mode)
    return on_pixels(padding_kernels.pad, img, sides, padding_mode, 0 if fill is None else fill)


def _pad_tensor(img: Any, sides: tuple[int, ...], fill: Any, mode: str) -> Tensor:
    from rushlight.nn import functional
    if mode == "symmetric" or np.ndim(fill):
        raise NotImplementedError(f"pad with mode {mode!r} and fill {fill} of a tensor that requires gradients is not provided")
    if mode == "constant":
        return functional.pad(img, sides, value=float(fill))  # type: ignore[attr-defined]
    flat = img.reshape(-1, *img.shape[-3:])
    out = functional.pad(flat, sides, mode={"edge": "replicate"}.get(mode, mode))  # type: ignore[attr-defined]
    return out.reshape(*img.shape[:-2], *out.shape[-2:])  # type: ignore[attr-defined, no-any-return]


def hflip(img: Any) -> Any:
    """Left and right exchanged."""
    return _flip(img, -1)


def vflip(img: Any) -> Any:
    """Top and bottom exchanged."""
    return _flip(img, -2)


def _flip(img: Any, axis: int) -> Any:
    if not isinstance(img, Tensor):
        return pillow.flip(img, axis == -1)
    check_tensor(img)
    return img.flip(axis) if follows_gradient(img) else on_pixels(np.flip, img, axis)  # type: ignore[attr-defined]


def five_crop(img: Any, size: Any) -> tuple[Any, Any, Any, Any, Any]:
    """The windows of that size in the four corners (top left, top right, bottom left, bottom right) and in the
    middle."""
    height, width = pair_of_sizes(size, TWO_DIMENSIONS)
    _, h, w = get_dimensions(img)
    if width > w or height > h:
        raise ValueError(f"Requested crop size {(height, width)} is bigger than input size {(h, w)}")
    corners = [crop(img, top, left, height, width) for top in (0, h - height) for left in (0, w - width)]
    return corners[0], corners[1], corners[2], corners[3], center_crop(img, [height, width])


def ten_crop(img: Any, size: Any, vertical_flip: bool = False) -> tuple[Any, ...]:
    """`five_crop` of the picture and of the flipped picture."""
    size = pair_of_sizes(size, TWO_DIMENSIONS)
    return five_crop(img, size) + five_crop(vflip(img) if vertical_flip else hflip(img), size)


def erase(img: Any, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Any:
    """A tensor with the window (top i, left j, height h, width w) set to the tensor ``v``."""
    if not isinstance(img, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
    check_tensor(img)
    out: Any = img if inplace else img.clone()  # type: ignore[attr-defined]
    out[..., i:i + h, j:j + w] = v
    return out
