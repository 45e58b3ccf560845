"""Cropping and padding of pictures (..., H, W)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

MODES = {"constant": "constant", "edge": "edge", "reflect": "reflect", "symmetric": "symmetric"}


def four_sides(padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) of one number, (sides, top and bottom) or (left, top, right, bottom).

    >>> four_sides([1, 2]), four_sides([1, 2, 3, 4])
    ((1, 1, 2, 2), (1, 3, 2, 4))
    """
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if len(padding) == 1:
        return padding[0], padding[0], padding[0], padding[0]
    if len(padding) == 2:
        return padding[0], padding[0], padding[1], padding[1]
    left, top, right, bottom = padding
    return left, right, top, bottom


def pad(pixels: np.ndarray, sides: tuple[int, int, int, int], mode: str, fill: Any) -> np.ndarray:
    """Padded by (left, right, top, bottom); negative sides crop. ``fill`` is a number or one per channel."""
    left, right, top, bottom = sides
    height, width = pixels.shape[-2:]
    pixels = pixels[..., max(-top, 0):height - max(-bottom, 0), max(-left, 0):width - max(-right, 0)]
    widths = [(0, 0)] * (pixels.ndim - 2) + [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    if mode != "constant":
        _check_reflect(pixels, widths, mode)
        return np.pad(pixels, widths, mode)  # type: ignore[call-overload,no-any-return]
    shape = [n + a + b for n, (a, b) in zip(pixels.shape, widths)]
    out = np.empty(shape, pixels.dtype)
    out[...] = np.asarray(fill).reshape(-1, 1, 1).astype(pixels.dtype) if np.ndim(fill) else pixels.dtype.type(fill)
    out[..., widths[-2][0]:widths[-2][0] + pixels.shape[-2], widths[-1][0]:widths[-1][0] + pixels.shape[-1]] = pixels
    return out


def _check_reflect(pixels: np.ndarray, widths: list[tuple[int, int]], mode: str) -> None:
    if mode != "reflect":
        return
    for size, (before, after) in zip(pixels.shape[-2:], widths[-2:]):
        if max(before, after) >= size:
            raise RuntimeError(f"Padding size should be less than the corresponding input dimension, but got: padding ({before}, {after}) "
                               f"for a side of {size} pixels; use padding_mode='edge' or smaller padding")


def crop(pixels: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """The window, with zeros where it lies outside the picture."""
    h, w = pixels.shape[-2:]
    if top >= 0 and left >= 0 and top + height <= h and left + width <= w:
        return pixels[..., top:top + height, left:left + width]
    out = np.zeros((*pixels.shape[:-2], height, width), pixels.dtype)
    y0, y1, x0, x1 = max(top, 0), min(top + height, h), max(left, 0), min(left + width, w)
    if y0 < y1 and x0 < x1:
        out[..., y0 - top:y1 - top, x0 - left:x1 - left] = pixels[..., y0:y1, x0:x1]
    return out
