"""The range of a number type as a picture, and the way to float32 and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def is_float(dtype: np.dtype) -> bool:
    """Whether numbers of the type are floats: bfloat16 too, which NumPy does not count among them."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def maximum(dtype: np.dtype) -> int:
    """The brightest value: 1 for floats and booleans, the largest number for integers."""
    return int(np.iinfo(dtype).max) if dtype.kind in "iu" else 1


def working_dtype(dtype: np.dtype) -> np.dtype:
    """What arithmetic happens in: the type itself where it is floating, else float32."""
    return dtype if dtype.kind == "f" else np.dtype(np.float32)


def in_floats(kernel: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, halves: bool = False) -> np.ndarray:
    """kernel(pixels) computed in float32 or float64, rounded to even where the pixels are integers.

    ``halves`` keeps the float types below float32 as they are.
    """
    dtype = pixels.dtype
    keep = dtype in (np.float32, np.float64) or (halves and is_float(dtype))
    out = kernel(pixels if keep else pixels.astype(np.float32))
    if keep:
        return out
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        out = np.clip(np.rint(out), info.min, info.max)
    return out.astype(dtype)
