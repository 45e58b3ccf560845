"""Sliding windows over the spatial dimensions of (samples, channels, *spatial) arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

Array = np.ndarray[Any, Any]
Ints = tuple[int, ...]
Index = tuple[Any, ...]


def pad(x: Array, low: Ints, high: Ints, value: Any = 0) -> Array:
    """x with `low` and `high` elements of `value` around each spatial dimension; x itself where there are none."""
    if not any(low) and not any(high):
        return x
    lead = x.ndim - len(low)
    shape = x.shape[:lead] + tuple(a + n + b for a, n, b in zip(low, x.shape[lead:], high))
    out = np.full(shape, value, x.dtype) if value else np.zeros(shape, x.dtype)
    inner: Index = (..., *(slice(a, a + n) for a, n in zip(low, x.shape[lead:])))
    out[inner] = x
    return out


def windows(x: Array, kernel: Ints, stride: Ints, dilation: Ints, out: Ints) -> Array:
    """A view (*lead, *kernel, *out) of a padded x: element [k,
    o] is x[o * stride + k * dilation]. Do not write to it."""
    lead, steps = x.ndim - len(kernel), x.strides[x.ndim - len(kernel):]
    strides = (*x.strides[:lead], *(d * s for d, s in zip(dilation, steps)), *(t * s for t, s in zip(stride, steps)))
    return as_strided(x, (*x.shape[:lead], *kernel, *out), strides, writeable=False)


def taps(kernel: Ints, stride: Ints, dilation: Ints, out: Ints) -> Iterator[tuple[Index, Index]]:
    """The index (..., *position) of each element of the kernel, with the index (..., *slices) of the elements of a
    padded array that it meets."""
    for tap in itertools.product(*map(range, kernel)):
        yield (..., *tap), (...,
                            *(slice(k * d, k * d + (n - 1) * s + 1, s)
                              for k, d, s, n in zip(tap, dilation, stride, out)))
