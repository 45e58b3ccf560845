"""Pooling over the trailing dimensions of an array, in any number of them. Windows are combined tap by tap."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from rushlight.exec.numpy.window import Index, Ints, pad, taps

Array = np.ndarray[Any, Any]
CHUNK = 1 << 14  # results computed at a time, so that the passes over them stay in the cache


def window_count(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows fit; with ceil_mode the last may hang over,
    but must start inside the input or its left padding."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= size + padding else count


def _counts(size: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool) -> Ints:
    return tuple(window_count(*each, ceil_mode) for each in zip(size, kernel, stride, padding, dilation))


def _margins(size: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, out: Ints) -> Ints:
    """Elements to add behind each dimension so that every window lies inside."""
    return tuple(max(0, (o - 1) * s + d * (k - 1) + 1 - n - p)
                 for n, k, s, p, d, o in zip(size, kernel, stride, padding, dilation, out))


def lowest(dtype: np.dtype[Any]) -> Any:
    """The value below all others: -inf, or the smallest integer."""
    return np.iinfo(dtype).min if dtype.kind in "iu" else dtype.type(-np.inf)


# --- maximum ------------------------------------------------------------------------------------------------------
def max_pool(x: Array, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints,
             ceil_mode: bool) -> tuple[Array, Array]:
    """The greatest element of each window and its flat position in the input plane (int64).

    The first of equal elements counts; a NaN is greater than all, and the last NaN of a window counts.
    """
    size = x.shape[x.ndim - len(kernel):]
    out = _counts(size, kernel, stride, padding, dilation, ceil_mode)
    lead = x.shape[:x.ndim - len(kernel)]
    best, positions = np.empty((*lead, *out), x.dtype), np.empty((*lead, *out), np.int64)
    if best.size == 0:
        return best, positions
    nan = x.dtype.kind not in "iub" and bool(np.isnan(x).any())
    high = _margins(size, kernel, stride, padding, dilation, out)
    planes, into, at = x.reshape(-1, *size), best.reshape(-1, *out), positions.reshape(-1, *out)
    step = max(1, CHUNK // prod(out))
    for part in (slice(n, n + step) for n in range(0, len(planes), step)):
        padded = pad(planes[part], padding, high, lowest(x.dtype))
        into[part], where = _greatest(padded, kernel, stride, dilation, out, nan)
        at[part] = _positions(where, size, kernel, stride, padding, dilation, out)
    return best, positions


def _greatest(padded: Array, kernel: Ints, stride: Ints, dilation: Ints, out: Ints, nan: bool) -> tuple[Array, Array]:
    """The maxima and the numbers from 1 of the taps that they come from;
    0 where nothing is greater than the lowest value."""
    where, best = None, None
    for number, (_, index) in enumerate(taps(kernel, stride, dilation, out), 1):
        value = padded[index]
        if best is None or where is None:
            best = value.copy()
            greater = (best > lowest(best.dtype)) | np.isnan(best) if nan else best > lowest(best.dtype)
            where = greater.astype(np.int8 if prod(kernel) < 127 else np.int64)
            continue
        greater = value > best
        if nan:
            greater |= np.isnan(value)
        np.maximum(best, value, out=best)
        # tap numbers grow, so the last tap that was greater has the largest: maxima are faster than masked copies
        np.maximum(where, greater.astype(where.dtype) * where.dtype.type(number), out=where)
    assert best is not None and where is not None
    return best, where


def _positions(where: Array, size: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, out: Ints) -> Array:
    """Flat positions in the plane from tap numbers; 0 stands for the first tap inside the input."""
    weights = [prod(size[axis + 1:]) for axis in range(len(size))]  # of a step along each dimension
    corner, first, offset = (np.zeros((), np.int64) for _ in range(3))
    for k, s, p, d, o, weight in zip(kernel, stride, padding, dilation, out, weights):
        start = np.arange(o) * s - p
        corner = np.add.outer(corner, start * weight)
        first = np.add.outer(first, -(-np.maximum(-start, 0) // d) * d * weight)
        offset = np.add.outer(offset, np.arange(k) * d * weight)
    found = np.append(0, offset)[where]
    if where.min() == 0:
        found = np.where(where == 0, first, found)
    found += corner
    return found


def max_pool_grad(g: Array, positions: Array, x_shape: Ints, kernel: Ints, *_: Ints) -> Array:
    """The gradient of max_pool: g added at flat positions within each plane of the trailing dimensions.

    Windows of padding alone have their position outside, and nothing to add to.
    """
    lead = len(x_shape) - len(kernel)
    planes, size = prod(x_shape[:lead]), prod(x_shape[lead:])
    if g.size == 0 or planes * size == 0:
        return np.zeros(x_shape, g.dtype)
    flat, added = positions.reshape(planes, -1), g.reshape(-1)
    if flat.max() >= size:
        added = np.where((flat < size).reshape(-1), added, 0)
        flat = np.minimum(flat, size - 1)
    flat = flat + (np.arange(planes) * size)[:, None]
    return np.bincount(flat.reshape(-1), added, planes * size).astype(g.dtype).reshape(x_shape)


# --- average ------------------------------------------------------------------------------------------------------
def _divisors(size: Ints, kernel: Ints, stride: Ints, padding: Ints, out: Ints, count_include_pad: bool,
              divisor: int | None) -> Array:
    """What the sum of each window is divided by: its elements,
    in the padded input or in the input, or a given number."""
    if divisor is not None:
        return np.full(out, divisor, np.float64)
    total = np.ones((), np.float64)
    for n, k, s, p, o in zip(size, kernel, stride, padding, out):
        start = np.arange(o) * s - p
        stop = np.minimum(start + k, n + p)
        if not count_include_pad:
            start, stop = np.maximum(start, 0), np.minimum(stop, n)
        total = np.multiply.outer(total, np.asarray(stop - start, np.float64))
    return total


def avg_pool(x: Array, kernel: Ints, stride: Ints, padding: Ints, ceil_mode: bool, count_include_pad: bool,
             divisor: int | None) -> Array:
    """The mean of each window. Elements of the padding count in the divisor
    if count_include_pad; `divisor` replaces it."""
    ones = (1,) * len(kernel)
    size = x.shape[x.ndim - len(kernel):]
    out = _counts(size, kernel, stride, padding, ones, ceil_mode)
    divisors = _divisors(size, kernel, stride, padding, out, count_include_pad, divisor)
    if kernel == size and out == ones and not any(padding):
        total = x.sum(axis=tuple(range(x.ndim - len(kernel), x.ndim)), keepdims=True, dtype=x.dtype)
    else:
        total = pad(x, padding, _margins(size, kernel, stride, padding, ones, out))
        for axis in range(len(kernel)):
            total = _sums(total, x.ndim - len(kernel) + axis, kernel[axis], stride[axis], out[axis])
    if x.dtype.kind in "iu":
        return np.asarray(np.trunc(total / divisors), x.dtype)
    return np.asarray(total / divisors.astype(x.dtype))


def _sums(x: Array, axis: int, kernel: int, stride: int, out: int) -> Array:
    """Sums of windows along one dimension; a window of several dimensions is summed one after the other."""
    lead: Index = (slice(None),) * axis
    def tap(k: int) -> Array:
        part: Array = x[(*lead, slice(k, k + (out - 1) * stride + 1, stride))]
        return part
    total = tap(0).copy()
    for k in range(1, kernel):
        total += tap(k)
    return total


def avg_pool_grad(g: Array, x_shape: Ints, kernel: Ints, stride: Ints, padding: Ints, ceil_mode: bool,
                  count_include_pad: bool, divisor: int | None) -> Array:
    """The gradient of avg_pool: each element of g, divided as its mean was,
    goes to the input elements of its window."""
    lead = len(x_shape) - len(kernel)
    size, out = x_shape[lead:], g.shape[lead:]
    share = g / _divisors(size, kernel, stride, padding, out, count_include_pad, divisor).astype(g.dtype)
    if g.size == 0:
        return np.zeros(x_shape, g.dtype)
    for axis in range(len(kernel)):
        n, k, s, p, o = size[axis], kernel[axis], stride[axis], padding[axis], out[axis]
        length = max(n + 2 * p, (o - 1) * s + k)
        before: Index = (slice(None),) * (lead + axis)
        spread = np.zeros((*share.shape[:lead + axis], length, *share.shape[lead + axis + 1:]), g.dtype)
        for tap in range(k):
            spread[(*before, slice(tap, tap + (o - 1) * s + 1, s))] += share
        share = spread[(*before, slice(p, p + n))]
    return np.ascontiguousarray(share)
