"""Autocontrast and equalisation: levels stretched by what the picture holds, per channel."""

from __future__ import annotations

import numpy as np

from rushlight.vision.transforms.kernels.ranges import maximum, working_dtype


def autocontrast(pixels: np.ndarray) -> np.ndarray:
    """Each channel stretched so that its darkest pixel is 0 and its brightest the maximum."""
    dtype, bound = working_dtype(pixels.dtype), maximum(pixels.dtype)
    low = pixels.min((-2, -1), keepdims=True).astype(dtype)
    high = pixels.max((-2, -1), keepdims=True).astype(dtype)
    flat = high == low
    # as PyTorch divides a number
    scale = np.where(flat, dtype.type(1), dtype.type(1) / np.where(flat, dtype.type(1), high - low) * dtype.type(bound))
    out = (pixels - np.where(flat, dtype.type(0), low)) * scale
    return np.clip(out, 0, bound).astype(pixels.dtype)  # type: ignore[no-any-return]


def equalize(pixels: np.ndarray) -> np.ndarray:
    """Each channel of bytes mapped so that its levels are about equally frequent (Pillow's rule)."""
    planes = pixels.reshape(-1, pixels.shape[-2] * pixels.shape[-1])
    out = np.empty_like(planes)
    for plane, result in zip(planes, out):
        result[...] = _table(np.bincount(plane, minlength=256))[plane]
    return out.reshape(pixels.shape)


def _table(counts: np.ndarray) -> np.ndarray:
    used = counts[counts > 0]
    step = int(used[:-1].sum()) // 255
    if step == 0:
        return np.arange(256, dtype=np.uint8)
    before = np.concatenate([[0], np.cumsum(counts)[:-1] + step // 2])
    before[1:] //= step
    return np.clip(before, 0, 255).astype(np.uint8)  # type: ignore[no-any-return]
