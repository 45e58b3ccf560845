"""Integer arithmetic of quantized layers: the definition. Formulas: rushlight/ops/quantized.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exec.numpy import conv
from rushlight.exec.numpy.window import windows

Array = np.ndarray[Any, Any]
Ints = tuple[int, ...]


def requantized(y: Array, out_scale: Array, zero_out: int, dtype: Any) -> Array:
    """Real numbers as integers of a dtype (itself for float32)."""
    if dtype.is_floating_point:
        return y.astype(dtype.numpy)
    limits = np.iinfo(dtype.numpy)
    return np.clip(np.rint(y * (np.float32(1) / out_scale) + np.float32(zero_out)),
                   limits.min, limits.max).astype(dtype.numpy)


def _finish(total: Array, scale: Array, bias: Array, out_scale: Array, zero_out: int, relu: bool, dtype: Any) -> Array:
    """Sums (…, O) of integers as results."""
    y = total.astype(np.float32) * scale + bias
    return requantized(np.maximum(y, 0) if relu else y, out_scale, zero_out, dtype)


def _centred(x: Array, zero: Array, offset: bool) -> Array:
    """float64 adds integers of 32 bits without error, and is fast."""
    wide = x.astype(np.float64)
    return wide - zero if offset else wide


def qlinear(x: Array, w: Array, packed: Array, scale: Array, bias: Array, out_scale: Array, zero_x: Array, offset: bool,
            zero_out: int, relu: bool, dtype: Any, packing: Any) -> Array:
    total = _centred(x, zero_x, offset) @ w.astype(np.float64).T
    return _finish(total, scale, bias, out_scale, zero_out, relu, dtype)


def qconv(x: Array, w: Array, packed: Array, scale: Array, bias: Array, out_scale: Array, zero_x: Array, stride: Ints,
          padding: Ints, dilation: Ints, groups: int, offset: bool, zero_out: int, relu: bool, dtype: Any,
          packing: Any) -> Array:
    total = conv.convolution(np.moveaxis(_centred(x, zero_x, offset), -1, 1), w.astype(np.float64),
                             stride, padding, dilation, groups)
    return _finish(np.moveaxis(total, 1, -1), scale, bias, out_scale, zero_out, relu, dtype)


def qconv_add(x: Array, w: Array, packed: Array, scale: Array, bias: Array, out_scale: Array, zero_x: Array,
              other: Array, *attrs: Any) -> Array:
    """`qconv` with the integers of an array added before the relu."""
    *window, offset, zero_out, relu, dtype, _ = attrs
    total = conv.convolution(np.moveaxis(_centred(x, zero_x, offset), -1, 1), w.astype(np.float64), *window)
    y = np.moveaxis(total, 1, -1).astype(np.float32) * scale + bias + other.astype(np.float32)
    return requantized(np.maximum(y, 0) if relu else y, out_scale, zero_out, dtype)


def qpool(x: Array, kind: str, kernel: Ints, stride: Ints, padding: Ints, ceil_mode: bool, count_pad: bool,
          zero: int) -> Array:
    from rushlight.ops.quantized import qpool_shape
    (_, shape), = qpool_shape(x, kind, kernel, stride, padding, ceil_mode, count_pad, zero)
    images, out = np.moveaxis(x, -1, 1), shape[1:-1]
    limits = np.iinfo(x.dtype)
    room = [(p, max(0, (o - 1) * s + k - n - p))
            for n, k, s, p, o in zip(images.shape[2:], kernel, stride, padding, out)]

    def padded(a: Array, value: int) -> Array:
        wide = np.pad(a, [(0, 0), (0, 0), *room], constant_values=value)
        view = windows(wide, kernel, stride, (1,) * len(kernel), out)
        return view.reshape(*view.shape[:2], -1, *out)
    if kind == "max":
        return np.moveaxis(padded(images, limits.min).max(axis=2), 1, -1)
    total = padded(images.astype(np.int64) - zero, 0).sum(axis=2)
    ones = np.ones((1, 1, *images.shape[2:]), np.int64)
    if count_pad:
        ones = np.pad(ones, [(0, 0), (0, 0), *((p, p) for p in padding)], constant_values=1)
        ones = np.pad(ones, [(0, 0), (0, 0), *((0, max(0, b - p)) for (_, b), p in zip(room, padding))])
        count = windows(ones, kernel, stride, (1,) * len(kernel), out).reshape(1, 1, -1, *out).sum(axis=2)
    else:
        count = padded(ones, 0).sum(axis=2)
    mean = np.rint(total.astype(np.float32) / count.astype(np.float32)) + zero
    return np.moveaxis(np.clip(mean, limits.min, limits.max).astype(x.dtype), 1, -1)
