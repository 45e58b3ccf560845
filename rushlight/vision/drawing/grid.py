"""make_grid and save_image: many pictures as one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from rushlight.tensor.core import Tensor, unwrap, wrap


def make_grid(tensor: Any, nrow: int = 8, padding: int = 2, normalize: bool = False,
              value_range: tuple[float, float] | None = None, scale_each: bool = False,
              pad_value: float = 0.0) -> Tensor:
    """Pictures (B, C, H, W), or a list of (C, H, W), side by side in rows of
    ``nrow``, as one picture; gray ones in colour.

    ``normalize`` scales the values to 0 … 1 from ``value_range`` or from their own range,
    of each picture where ``scale_each``.

    >>> import rushlight as rl
    >>> make_grid(rl.zeros(5, 3, 4, 4), nrow=2).shape
    torch.Size([3, 20, 14])
    """
    pixels = _as_batch(tensor)
    if normalize:
        if value_range is not None and not isinstance(value_range, tuple):
            raise TypeError("value_range has to be a tuple (min, max) if specified. min and max are numbers")
        pixels = np.stack([_scaled(p, value_range) for p in pixels]) if scale_each else _scaled(pixels, value_range)
    if len(pixels) == 1:
        return wrap(pixels[0].copy())
    count, channels, height, width = pixels.shape
    across = min(nrow, count)
    down = math.ceil(count / across)
    grid = np.full((channels, (height + padding) * down + padding, (width + padding) * across + padding),
                   pad_value, pixels.dtype)
    for i, picture in enumerate(pixels):
        top, left = (i // across) * (height + padding) + padding, (i % across) * (width + padding) + padding
        grid[:, top:top + height, left:left + width] = picture
    return wrap(grid)


def _as_batch(tensor: Any) -> np.ndarray:
    """(B, C, H, W) with at least three channels where there was one."""
    if isinstance(tensor, list):
        wrong = next((t for t in tensor if not isinstance(t, Tensor)), None)
        if wrong is not None:
            raise TypeError(f"tensor or list of tensors expected, got a list containing {type(wrong)}")
        pixels = np.stack([unwrap(t) for t in tensor])
    elif isinstance(tensor, Tensor):
        pixels = unwrap(tensor)
    else:
        raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    pixels = pixels[None] if pixels.ndim == 3 else pixels
    if pixels.ndim != 4:
        raise ValueError(f"make_grid expects pictures (B, C, H, W), got shape {tuple(pixels.shape)}")
    return np.repeat(pixels, 3, 1) if pixels.shape[1] == 1 else pixels


def _scaled(pixels: np.ndarray, value_range: tuple[float, float] | None) -> np.ndarray:
    low, high = value_range if value_range is not None else (float(pixels.min()), float(pixels.max()))
    kind = pixels.dtype.type
    scaled: np.ndarray = (np.clip(pixels, low, high) - kind(low)) / kind(max(high - low, 1e-5))
    return scaled


def save_image(tensor: Any, fp: str | Path | Any, format: str | None = None, **kwargs: Any) -> None:
    """Pictures with values 0 … 1 as a file, several as a grid; ``kwargs`` as for make_grid, ``format`` as for PIL."""
    from PIL import Image
    grid = unwrap(make_grid(tensor, **kwargs))
    scale, half = (255, 0.5) if grid.dtype.kind != "f" else (grid.dtype.type(255), grid.dtype.type(0.5))
    pixels = np.clip(grid * scale + half, 0, 255)
    Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels.astype(np.uint8), 0, -1))).save(fp, format=format)
