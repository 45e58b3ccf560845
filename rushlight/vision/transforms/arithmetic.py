"""The arithmetic of transforms on arrays, shared by the paths for one sample and for a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rushlight.ir.dtype import DType


def channels_first(pictures: np.ndarray) -> np.ndarray:
    """(..., H, W, C) as a contiguous (..., C, H, W)."""
    return np.ascontiguousarray(np.moveaxis(pictures, -1, -3))


def bytes_to_unit(values: np.ndarray, dtype: DType) -> np.ndarray:
    """uint8 0..255 as floats 0..1: v / 255."""
    floats = values.astype(dtype.numpy)
    return np.divide(floats, floats.dtype.type(255), out=floats)  # type: ignore[no-any-return]


def per_channel(numbers: Sequence[float], dtype: np.dtype) -> np.ndarray:
    """One number per channel, or one for all, shaped to broadcast over (..., C, H, W)."""
    return np.asarray(numbers, dtype).reshape(-1, 1, 1) if np.ndim(numbers) else np.asarray(numbers, dtype)


def normalized(values: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """(values - mean) / std per channel."""
    out = np.subtract(values, per_channel(mean, values.dtype))
    return np.divide(out, per_channel(std, values.dtype), out=out)  # type: ignore[no-any-return]
