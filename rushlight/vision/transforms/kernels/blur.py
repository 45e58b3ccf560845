"""Gaussian blur and sharpness: small convolutions of each channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rushlight.vision.transforms.kernels.color import blend
from rushlight.vision.transforms.kernels.ranges import in_floats


def gaussian_weights(size: int, sigma: float, dtype: np.dtype) -> np.ndarray:
    """exp(-x²/2σ²) at whole distances from the middle, with sum 1."""
    half = (size - 1) * 0.5
    x = np.linspace(-half, half, size, dtype=dtype)
    weights = np.exp(dtype.type(-0.5) * np.square(x / dtype.type(sigma)))
    return weights / weights.sum()  # type: ignore[no-any-return]


def gaussian_blur(pixels: np.ndarray, kernel_size: Sequence[int], sigma: Sequence[float]) -> np.ndarray:
    """Pictures (..., H, W) blurred, mirrored at the edges; kernel_size and sigma are (horizontal, vertical)."""
    return in_floats(lambda x: _blurred(x, kernel_size, sigma), pixels, halves=True)


def _blurred(x: np.ndarray, kernel_size: Sequence[int], sigma: Sequence[float]) -> np.ndarray:
    for axis, size, spread in ((-1, kernel_size[0], sigma[0]), (-2, kernel_size[1], sigma[1])):
        if x.shape[axis] <= size // 2:
            raise RuntimeError(f"Padding size should be less than the corresponding input dimension, but got: padding ({size // 2}, {size // 2}) "
                               f"at dimension {axis} of input {list(x.shape)}; use a smaller kernel_size")
        x = _along(x, gaussian_weights(size, spread, x.dtype), axis)
    return x


def _along(x: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    half = len(weights) // 2
    widths = [(0, 0)] * x.ndim
    widths[axis] = (half, half)
    padded = np.pad(x, widths, "reflect")
    length = x.shape[axis]
    cut = (lambda i: padded[..., i:i + length]) if axis == -1 else (lambda i: padded[..., i:i + length, :])
    out = cut(half) * weights[half]  # type: ignore[no-untyped-call]
    for i in range(half):
        out += (cut(i) + cut(2 * half - i)) * weights[i]  # type: ignore[no-untyped-call]
    return out  # type: ignore[no-any-return]


def sharpness(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Away from or towards a picture smoothed with (1 1 1, 1 5 1, 1 1 1) / 13, whose border is left as it is."""
    if pixels.shape[-1] <= 2 or pixels.shape[-2] <= 2:
        return pixels
    smooth = pixels.copy()
    smooth[..., 1:-1, 1:-1] = in_floats(smoothed, pixels, halves=True)
    return blend(pixels, smooth, factor)


def smoothed(x: np.ndarray) -> np.ndarray:
    """The inner part of float pictures (..., H, W) after a convolution with (1 1 1, 1 5 1, 1 1 1) / 13."""
    one, five = x.dtype.type(1 / 13), x.dtype.type(5 / 13)
    height, width = x.shape[-2] - 2, x.shape[-1] - 2
    out = x[..., 1:-1, 1:-1] * five
    for i in range(3):
        for j in range(3):
            if (i, j) != (1, 1):
                out += x[..., i:i + height, j:j + width] * one
    return out  # type: ignore[no-any-return]
