"""Colours and levels of tensors where v2's arithmetic is not v1's: other orders of rounding, and more number types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.rng.exact import fma32
from rushlight.tensor.core import Tensor
from rushlight.vision.transforms import functional as F1
from rushlight.vision.transforms.functional.pixels import check_channels, on_pixels
from rushlight.vision.transforms.kernels import blur, color, histogram
from rushlight.vision.transforms.kernels.ranges import is_float, maximum, working_dtype


def _plus(x: np.ndarray, y: np.ndarray, factor: float) -> np.ndarray:
    """x + factor·y, rounded once in float32 as PyTorch's ``add`` with ``alpha``."""
    if x.dtype == np.float32:
        return fma32(y, np.float32(factor), x).reshape(np.broadcast_shapes(x.shape, y.shape))
    return x + x.dtype.type(factor) * y  # type: ignore[no-any-return]


def _luminance(pixels: np.ndarray) -> np.ndarray:
    r, g, b = (pixels[..., i:i + 1, :, :].astype(working_dtype(pixels.dtype)) for i in range(3))
    red, green, blue = color.LUMA
    return _plus(_plus(r * r.dtype.type(red), g, green), b, blue)


def _gray(pixels: np.ndarray) -> np.ndarray:
    """The luminance in floats, whole numbers where the pixels are."""
    if pixels.shape[-3] != 3:
        return pixels.astype(working_dtype(pixels.dtype))
    light = _luminance(pixels)
    return light if is_float(pixels.dtype) else np.floor(light)


def _blend(pixels: np.ndarray, other: np.ndarray, ratio: float) -> np.ndarray:
    dtype = working_dtype(pixels.dtype)
    out = _plus(pixels.astype(dtype) * dtype.type(ratio), other, 1.0 - ratio)
    return np.clip(out, 0, maximum(pixels.dtype)).astype(pixels.dtype)  # type: ignore[no-any-return]


def _contrast(pixels: np.ndarray, factor: float) -> np.ndarray:
    gray = _gray(pixels)
    total = gray.sum((-3, -2, -1), keepdims=True, dtype=np.float64).astype(gray.dtype)
    return _blend(pixels, total / gray.dtype.type(np.prod(gray.shape[-3:])), factor)


def _saturation(pixels: np.ndarray, factor: float) -> np.ndarray:
    return pixels if pixels.shape[-3] == 1 else _blend(pixels, _gray(pixels), factor)


def _sharpness(pixels: np.ndarray, factor: float) -> np.ndarray:
    if pixels.shape[-1] <= 2 or pixels.shape[-2] <= 2:
        return pixels
    floats = pixels.astype(working_dtype(pixels.dtype))
    smooth = blur.smoothed(floats)
    inner = floats[..., 1:-1, 1:-1]
    inner[...] = _plus(inner, (smooth if is_float(pixels.dtype) else np.rint(smooth)) - inner, 1.0 - factor)
    return np.clip(floats, 0, maximum(pixels.dtype)).astype(pixels.dtype)  # type: ignore[no-any-return]


def _autocontrast(pixels: np.ndarray) -> np.ndarray:
    dtype, bound = working_dtype(pixels.dtype), maximum(pixels.dtype)
    low, high = (extreme((-2, -1), keepdims=True).astype(dtype) for extreme in (pixels.min, pixels.max))
    flat = high == low
    span = np.where(flat, dtype.type(1), (high - low) * dtype.type(1.0 / bound))
    out = (pixels.astype(dtype) - np.where(flat, dtype.type(0), low)) / span
    return np.clip(out, 0, bound).astype(pixels.dtype)  # type: ignore[no-any-return]


def _posterize(pixels: np.ndarray, bits: int) -> np.ndarray:
    if is_float(pixels.dtype):
        levels, dtype = 1 << bits, working_dtype(pixels.dtype)
        out = np.clip(np.floor(pixels.astype(dtype) * dtype.type(levels)), 0, levels - 1)
        return (out * dtype.type(1.0 / levels)).astype(pixels.dtype)  # type: ignore[no-any-return]
    size = maximum(pixels.dtype).bit_length()
    return pixels if bits >= size else pixels & pixels.dtype.type(((1 << bits) - 1) << (size - bits))


def _picture(kernel: Callable[..., np.ndarray], name: str, factor: str = "") -> Callable[..., Any]:
    """A function of PIL images, which are v1's matter, and of tensors; ``factor`` names an argument that is not
    negative."""
    def run(inpt: Any, *args: Any) -> Any:
        if not isinstance(inpt, Tensor):
            return getattr(F1, name)(inpt, *args)
        if factor and args[0] < 0:
            raise ValueError(f"{factor} ({args[0]}) is not non-negative.")
        check_channels(inpt)
        return inpt if 0 in inpt.shape else on_pixels(kernel, inpt, *args, name=name)
    return run


def posterize(inpt: Any, bits: int) -> Any:
    """Only the highest bits; of floats as many levels."""
    if isinstance(inpt, Tensor) and (not isinstance(bits, int) or not 0 <= bits <= 8):
        raise TypeError(f"bits must be a positive integer in the range [0, 8], got {bits} instead.")
    return on_pixels(_posterize, inpt, bits, name="posterize") if isinstance(inpt, Tensor) else F1.posterize(inpt, bits)


def equalize(inpt: Any) -> Any:
    """Levels made equally frequent; other number types by way of bytes."""
    from rushlight.ir.dtype import uint8
    if not isinstance(inpt, Tensor) or inpt.dtype is uint8:
        return F1.equalize(inpt)
    as_bytes = F1.convert_image_dtype(inpt, uint8)
    return F1.convert_image_dtype(on_pixels(histogram.equalize, as_bytes, name="equalize"), inpt.dtype)


def _on_tensor(kernel: Callable[..., np.ndarray], name: str) -> Callable[..., Any]:
    """A function of PIL images, which are v1's matter, and of tensors with any number of channels."""
    def run(inpt: Any, *args: Any) -> Any:
        return on_pixels(kernel, inpt, *args, name=name) if isinstance(inpt, Tensor) else getattr(F1, name)(inpt, *args)
    return run


def adjust_gamma(inpt: Any, gamma: float, gain: float = 1) -> Any:
    """gain·v ** gamma, where v runs from 0 to 1."""
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    _check_width(inpt)
    return _on_tensor(color.gamma, "adjust_gamma")(inpt, gamma, gain)


def adjust_hue(inpt: Any, hue_factor: float) -> Any:
    """Colours turned by a part of the colour circle."""
    if isinstance(inpt, Tensor) and -0.5 <= hue_factor <= 0.5 and len(inpt._spec.shape) > 2 and inpt._spec.shape[-3] == 3 and inpt._spec.numel:
        _check_width(inpt)
    return F1.adjust_hue(inpt, hue_factor)


def _check_width(inpt: Any) -> None:
    """RuntimeError for whole numbers that come back from float32 with other values."""
    if isinstance(inpt, Tensor) and inpt.dtype.name in ("int32", "int64"):
        raise RuntimeError(f"The conversion from torch.float32 to {inpt.dtype} cannot be performed safely.")


def solarize(inpt: Any, threshold: float) -> Any:
    """Bright pixels inverted."""
    if isinstance(inpt, Tensor) and threshold > maximum(inpt.dtype.numpy):
        raise TypeError("Threshold should be less than bound of img.")
    return _on_tensor(color.solarize, "solarize")(inpt, threshold)


def rgb_to_grayscale(inpt: Any, num_output_channels: int = 1) -> Any:
    """Gray in one channel or three."""
    if num_output_channels not in (1, 3):
        raise ValueError(f"num_output_channels must be 1 or 3, got {num_output_channels}.")
    if not isinstance(inpt, Tensor):
        return F1.to_grayscale(inpt, num_output_channels)

    channels = inpt._spec.shape[-3] if len(inpt._spec.shape) > 2 else 0
    if channels not in (1, 3):
        raise ValueError(f"not enough values to unpack: gray is made of 3 channels or 1, found {channels}")

    def run(pixels: np.ndarray) -> np.ndarray:
        gray = pixels if pixels.shape[-3] == 1 else _luminance(pixels).astype(pixels.dtype)
        return np.repeat(gray, num_output_channels, -3)
    return on_pixels(run, inpt, name="rgb_to_grayscale")


adjust_contrast = _picture(_contrast, "adjust_contrast", "contrast_factor")
adjust_saturation = _picture(_saturation, "adjust_saturation", "saturation_factor")
adjust_sharpness = _picture(_sharpness, "adjust_sharpness", "sharpness_factor")
autocontrast = _picture(_autocontrast, "autocontrast")
invert = _on_tensor(color.invert, "invert")
