"""Colours: brightness, contrast, saturation, hue, gamma, inversion, fewer bits."""

from __future__ import annotations

import numpy as np

from rushlight.vision.transforms.kernels.ranges import is_float, maximum, working_dtype

LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601, as rounded by PyTorch


def grayscale(pixels: np.ndarray) -> np.ndarray:
    """(..., 3, H, W) as (..., 1, H, W) of the same type, 0.2989·r + 0.587·g + 0.114·b, truncated for integers."""
    return luminance(pixels).astype(pixels.dtype)


def luminance(pixels: np.ndarray) -> np.ndarray:
    """The weighted sum of the colours in floats."""
    dtype = working_dtype(pixels.dtype)
    r, g, b = (pixels[..., i:i + 1, :, :].astype(dtype) * dtype.type(weight) for i, weight in enumerate(LUMA))
    return r + g + b  # type: ignore[no-any-return]


def blend(pixels: np.ndarray, other: np.ndarray | float, ratio: float) -> np.ndarray:
    """ratio·pixels + (1 - ratio)·other, within the range of the type."""
    dtype = working_dtype(pixels.dtype)
    out = pixels.astype(dtype) * dtype.type(ratio)
    if isinstance(other, np.ndarray):
        out += other.astype(dtype, copy=False) * dtype.type(1.0 - ratio)
    return np.clip(out, 0, maximum(pixels.dtype)).astype(pixels.dtype)  # type: ignore[no-any-return]


def contrast(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Away from (factor above 1) or towards the mean brightness of each picture."""
    gray = grayscale(pixels) if pixels.shape[-3] == 3 else pixels
    mean = gray.astype(working_dtype(pixels.dtype)).mean((-3, -2, -1), keepdims=True, dtype=np.float64)
    return blend(pixels, mean.astype(working_dtype(pixels.dtype)), factor)


def saturation(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Away from or towards gray."""
    return pixels if pixels.shape[-3] == 1 else blend(pixels, grayscale(pixels), factor)


def hue(pixels: np.ndarray, shift: float) -> np.ndarray:
    """Colours turned by a part of the circle, in HSV."""
    top = maximum(pixels.dtype)
    floats = pixels if is_float(pixels.dtype) else pixels.astype(np.float32) / np.float32(top)
    h, s, v = _hsv(floats.astype(np.float32, copy=False))
    turned = _rgb(np.mod(h + np.float32(shift), np.float32(1)), s, v)
    return turned.astype(pixels.dtype) if is_float(pixels.dtype) else (turned * np.float32(top + 1 - 1e-3)).astype(pixels.dtype)


def _hsv(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r, g, b = (pixels[..., i, :, :] for i in range(3))
    high, low = pixels.max(-3), pixels.min(-3)
    flat, span = high == low, high - low
    s = span / np.where(flat, np.float32(1), high)
    span = np.where(flat, np.float32(1), span)
    rc, gc, bc = (high - r) / span, (high - g) / span, (high - b) / span
    is_r, is_g = high == r, high == g
    h = np.where(is_r, bc - gc, np.where(is_g, 2 + rc - bc, 4 + gc - rc))
    return np.fmod(h / np.float32(6) + np.float32(1), np.float32(1)), s, high


def _rgb(h: np.ndarray, s: np.ndarray, v: np.ndarray) -> np.ndarray:
    sixths = h * np.float32(6)
    sector = np.floor(sixths)
    f = sixths - sector
    p, q, t = (np.clip(v * (1 - x), 0, 1) for x in (s, s * f, s * (1 - f)))
    index = (sector.astype(np.int32) % 6)[None]
    red, green, blue = ((v, q, p, p, t, v), (t, v, v, q, p, p), (p, p, t, v, v, q))
    return np.stack([np.take_along_axis(np.stack(c), index, 0)[0] for c in (red, green, blue)], -3)


def gamma(pixels: np.ndarray, exponent: float, gain: float) -> np.ndarray:
    """gain·pixels ** exponent, with the brightest value as 1."""
    top = maximum(pixels.dtype)
    floats = pixels.astype(working_dtype(pixels.dtype)) if is_float(pixels.dtype) else pixels.astype(np.float32) / np.float32(top)
    out = np.clip(floats.dtype.type(gain) * np.power(floats, floats.dtype.type(exponent)), 0, 1)
    return (out if is_float(pixels.dtype) else out * np.float32(top + 1 - 1e-3)).astype(pixels.dtype)  # type: ignore[no-any-return]


def invert(pixels: np.ndarray) -> np.ndarray:
    """The brightest value minus the pixels."""
    return pixels.dtype.type(maximum(pixels.dtype)) - pixels  # type: ignore[no-any-return]


def posterize(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Only the highest bits of bytes."""
    return pixels & np.uint8(256 - (1 << (8 - bits)) & 0xFF)


def solarize(pixels: np.ndarray, threshold: float) -> np.ndarray:
    """Pixels from the threshold on inverted."""
    return np.where(pixels >= working_dtype(pixels.dtype).type(threshold), invert(pixels), pixels)
