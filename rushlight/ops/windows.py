"""Shapes of sliding windows."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import int64
from rushlight.ops.table import Types

Ints = tuple[int, ...]


def window_count(size: int, kernel: int, stride: int, pad: int, dilation: int = 1, ceil_mode: bool = False) -> int:
    """How many windows fit: floor((size + 2 pad - dilation (kernel - 1) - 1) / stride) + 1;
    with ceil_mode the last may hang over.

    >>> window_count(5, 2, 2, 0), window_count(5, 2, 2, 0, ceil_mode=True)
    (2, 3)
    """
    room = size + 2 * pad - dilation * (kernel - 1) - 1
    count = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + pad:
        count -= 1
    return count


def max_pool_shape(x: Any, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool) -> Types:
    lead = len(x.shape) - len(kernel)
    out = tuple(window_count(n, k, s, p, d, ceil_mode)
                for n, k, s, p, d in zip(x.shape[lead:], kernel, stride, padding, dilation))
    return (x.dtype, x.shape[:lead] + out), (int64, x.shape[:lead] + out)


def avg_pool_shape(x: Any, kernel: Ints, stride: Ints, padding: Ints, ceil_mode: bool, *_: Any) -> Types:
    lead = len(x.shape) - len(kernel)
    out = tuple(window_count(n, k, s, p, 1, ceil_mode) for n, k, s, p in zip(x.shape[lead:], kernel, stride, padding))
    return ((x.dtype, x.shape[:lead] + out),)
