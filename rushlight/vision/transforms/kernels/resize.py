"""Resizing: every method is a banded matrix per axis, from output positions to input pixels."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rushlight.vision.transforms.kernels.ranges import in_floats

BLOCK = 16  # output positions that share one product with the inputs that they need


class Band(NamedTuple):
    """Outputs start … stop are inputs low … high times the matrix (high - low, stop - start)."""

    start: int
    stop: int
    low: int
    high: int
    matrix: np.ndarray


def triangle(x: np.ndarray) -> np.ndarray:
    """The kernel of linear interpolation, 1 - |x|."""
    return np.maximum(0.0, 1.0 - np.abs(x))  # type: ignore[no-any-return]


def lanczos(x: np.ndarray) -> np.ndarray:
    """sinc(x)·sinc(x / 3) up to 3."""
    return np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)


def cubic(a: float, x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel (1981) with parameter a."""
    x = np.abs(x)
    inner = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    outer = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return np.where(x < 1.0, inner, np.where(x < 2.0, outer, 0.0))


class Method(NamedTuple):
    """A kernel, how far it reaches, and the kernel used where no low-pass filter is wanted."""

    kernel: Callable[[np.ndarray], np.ndarray]
    reach: float
    plain: Callable[[np.ndarray], np.ndarray]


METHODS = {"bilinear": Method(triangle, 1.0, triangle), "lanczos": Method(lanczos, 3.0, lanczos),
           "bicubic": Method(functools.partial(cubic, -0.5), 2.0, functools.partial(cubic, -0.75))}


def resize(pixels: np.ndarray, height: int, width: int, method: str, antialias: bool, bytes_between: bool = False) -> np.ndarray:
    """Pictures (..., H, W) resized with PyTorch's conventions (pixel centres at halves, corners not aligned)."""
    if method in ("nearest", "nearest-exact"):
        rows, columns = (nearest(n, m, method) for n, m in zip(pixels.shape[-2:], (height, width)))
        return pixels[..., rows[:, None], columns]
    whole = method in ("bicubic", "lanczos") and pixels.dtype == np.uint8
    between = _bytes if whole and bytes_between else None
    result = in_floats(lambda x: _separable(x, height, width, method, antialias, between), pixels)
    return np.clip(result, 0, 255) if whole else result


def nearest(size: int, wanted: int, method: str) -> np.ndarray:
    """The input pixel of each output position, in float32 as PyTorch computes it."""
    scale = np.float32(size) / np.float32(wanted)
    places = np.arange(wanted, dtype=np.float32) + np.float32(0.5 if method == "nearest-exact" else 0)
    return np.minimum((places * scale).astype(np.int64), size - 1)


def _bytes(x: np.ndarray) -> np.ndarray:
    """What is kept between the two axes of a picture of bytes, as PyTorch's kernel for bytes and Pillow keep it: an overshoot is cut
    off there."""
    return np.clip(np.rint(x), 0, 255)


def _separable(x: np.ndarray, height: int, width: int, method: str, antialias: bool,
               between: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    if x.shape[-1] != width or not antialias:
        x = _along_last(x, bands(x.shape[-1], width, method, antialias))
        x = x if between is None else between(x)
    if x.shape[-2] != height or not antialias:
        x = _along_rows(x, bands(x.shape[-2], height, method, antialias), height)
    return x


def _along_last(x: np.ndarray, parts: tuple[Band, ...]) -> np.ndarray:
    rows = np.ascontiguousarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])
    out = np.empty((rows.shape[0], parts[-1].stop), x.dtype)
    for part in parts:
        np.matmul(rows[:, part.low:part.high], part.matrix.astype(x.dtype, copy=False),
                  out=out[:, part.start:part.stop])
    return out.reshape(*x.shape[:-1], parts[-1].stop)


def _along_rows(x: np.ndarray, parts: tuple[Band, ...], height: int) -> np.ndarray:
    out = np.empty((*x.shape[:-2], height, x.shape[-1]), x.dtype)
    for part in parts:
        np.matmul(part.matrix.T.astype(x.dtype, copy=False), x[..., part.low:part.high, :],
                  out=out[..., part.start:part.stop, :])
    return out


@functools.lru_cache(256)
def bands(size: int, wanted: int, method: str, antialias: bool) -> tuple[Band, ...]:
    """The matrix of an axis in blocks of outputs, float32."""
    first, weights = (_smooth if antialias else _plain)(size, wanted, METHODS[method])
    taps, parts = weights.shape[1], []
    for start in range(0, wanted, BLOCK):
        stop = min(start + BLOCK, wanted)
        places = np.clip(first[start:stop, None] + np.arange(taps), 0, size - 1)
        low, high = int(places.min()), int(places.max()) + 1
        matrix = np.zeros((high - low, stop - start))
        np.add.at(matrix, (places - low, np.arange(stop - start)[:, None]), weights[start:stop])
        parts.append(Band(start, stop, low, high, matrix.astype(np.float32)))
    return tuple(parts)


def _smooth(size: int, wanted: int, method: Method) -> tuple[np.ndarray, np.ndarray]:
    """First input and weights per output, the kernel widened by the scale when shrinking (Pillow's way)."""
    scale = size / wanted
    stretch = max(scale, 1.0)
    reach = method.reach * stretch
    centres = scale * (np.arange(wanted) + 0.5)
    first = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + reach + 0.5).astype(np.int64), size)
    places = first[:, None] + np.arange(math.ceil(reach) * 2 + 1)
    weights = method.kernel((places - centres[:, None] + 0.5) / stretch) * (places < last[:, None])
    return first, weights / weights.sum(1, keepdims=True)


def _plain(size: int, wanted: int, method: Method) -> tuple[np.ndarray, np.ndarray]:
    """First input and weights per output without a low-pass filter; the edge repeats."""
    source = (size / wanted) * (np.arange(wanted) + 0.5) - 0.5
    if method.reach == 1.0:
        source = np.maximum(source, 0.0)
    first = np.floor(source).astype(np.int64) - (int(method.reach) - 1)
    places = first[:, None] + np.arange(2 * int(method.reach))
    return first, method.plain(source[:, None] - places)
