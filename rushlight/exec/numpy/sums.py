"""Sums and small products in the order that `exec.order` writes down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.exec import order

Array = np.ndarray[Any, Any]


def sum_of(x: Array, dims: tuple[int, ...], keepdim: bool) -> Array:
    """The sum over dimensions; of floating-point numbers over neighbouring
    ones in the order of `total` or `columns`."""
    kept = [d for d, n in enumerate(x.shape) if d not in dims and n != 1]
    removed = [d for d in dims if x.shape[d] != 1]
    apart = any(removed[0] < d < removed[-1] for d in kept) if removed else True
    if x.dtype.kind != "f" or not x.size or apart:
        return x.sum(axis=dims, keepdims=keepdim, dtype=x.dtype)
    size = int(np.prod([x.shape[d] for d in removed]))
    if not kept or kept[-1] < removed[0]:
        out = total(x.reshape(-1, size))
    else:
        ones = [d for d, n in enumerate(x.shape) if n == 1]
        turned = x.transpose(*ones, *kept[:-1], *removed, kept[-1])
        out = columns(turned.reshape(-1, size, x.shape[kept[-1]]))
    shape = [1 if d in dims else n for d, n in enumerate(x.shape) if keepdim or d not in dims]
    return out.reshape(shape)


def total(x: Array) -> Array:
    """(rows, n) -> (rows,): the sum of each row."""
    rows, n = x.shape
    width = order.group(x.dtype.itemsize)
    if n < width:  # the groups of a round have one number each
        first = order.GROUPS if n >= order.GROUPS else 0
        return _one_by_one(np.zeros(rows, x.dtype), x,
                           [0, *range(first, n), *range(1, first)] if first else [*range(n)])
    rounds = n // (order.GROUPS * width)
    whole = rounds * order.GROUPS * width
    groups = _levels(x[:, :whole].reshape(rows, rounds, order.GROUPS, width))
    rest = n // width * width
    sums = groups[:, 0]
    for at in range(whole, rest, width):
        sums = sums + x[:, at:at + width]
    for g in range(1, order.GROUPS):
        sums = sums + groups[:, g]
    left = _one_by_one(np.zeros(rows, x.dtype), x, range(rest, n))
    return _one_by_one(left, sums, range(width))


def columns(x: Array) -> Array:
    """(…, rows, n) -> (…, n): the sum of each column."""
    n, width = x.shape[-1], order.group(x.dtype.itemsize)
    whole = order.GROUPS * (width if n >= width else 1)
    inside = n // whole * whole
    return np.concatenate([_levels(x[..., :inside]), _by_fours(x[..., inside:])], -1)


def _by_fours(x: Array) -> Array:
    """Four sums for row mod 4, the last rows to the first of them."""
    rounds = x.shape[1] // order.GROUPS
    whole = rounds * order.GROUPS
    groups = _levels(x[:, :whole].reshape(x.shape[0], rounds, order.GROUPS, x.shape[2]))
    sums = groups[:, 0]
    for row in range(whole, x.shape[1]):
        sums = sums + x[:, row]
    for g in range(1, order.GROUPS):
        sums = sums + groups[:, g]
    return sums


def _levels(x: Array) -> Array:
    """(rows, rounds, …) -> (rows, …): the rounds added up, level by level."""
    zero = np.zeros((x.shape[0], *x.shape[2:]), x.dtype)
    sums = []
    for level in range(order.LEVELS):
        whole = x.shape[1] // order.LEVEL * order.LEVEL if level < order.LEVELS - 1 else 0
        sums.append(_in_order(zero, x[:, whole:]))
        blocks = x[:, :whole].reshape(x.shape[0], whole // order.LEVEL, order.LEVEL, *x.shape[2:])
        x = _in_order(np.zeros((x.shape[0], blocks.shape[1], *x.shape[2:]), x.dtype), np.moveaxis(blocks, 2, 1))
    return _in_order(sums[0], np.stack(sums[1:], 1))


def _in_order(start: Array, x: Array) -> Array:
    """start + x[:, 0] + x[:, 1] + …"""
    for i in range(x.shape[1]):
        start = start + x[:, i]
    return start


def _one_by_one(start: Array, x: Array, places: Any) -> Array:
    for i in places:
        start = start + x[:, i]
    return start


def product(x: Array, y: Array) -> Array:
    """Matrix products: small ones of float32 in the order that `exec.order` says."""
    (m, k), n = x.shape[-2:], y.shape[-1]
    if x.dtype != np.float32 or not k:
        return np.matmul(x, y)
    a, b = ((t.strides[-2] // 4, t.strides[-1] // 4) for t in (x, y))
    return WAYS[order.product(m, n, k, a, b)](x, y)


def _apart(x: Array, y: Array, first: int = 0, last: int | None = None, step: int = 1) -> Array:
    """Σ over some of k in order, rounded after each product and each sum."""
    zero = np.zeros((*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1]), x.dtype)
    for k in range(first, x.shape[-1] if last is None else last, step):
        zero = zero + x[..., k:k + 1] * y[..., k:k + 1, :]
    return zero


def _lanes(x: Array, y: Array) -> Array:
    columns = y.shape[-1] // order.LANES * order.LANES
    return np.concatenate([_in_lanes(x, y[..., :columns], order.LANES),
                           _in_lanes(x, y[..., columns:], 2 * order.LANES)], -1)


def _in_lanes(x: Array, y: Array, lanes: int) -> Array:
    whole = x.shape[-1] // lanes * lanes
    s = [_apart(x, y, lane, whole, lanes) for lane in range(lanes)]
    s = [a + b for a, b in zip(s, s[order.LANES:])] or s
    out = (s[0] + s[2]) + (s[1] + s[3])
    for k in range(whole, x.shape[-1]):
        out = out + x[..., k:k + 1] * y[..., k:k + 1, :]
    return out


def dot(x: Array, y: Array) -> Any:
    """Σ x y of float32 vectors: rounds of two groups of eight, then eight, four,
    and one at a time at the front of the first group."""
    p = x * y
    n, width = p.shape[-1], order.group(4)
    rounds = n // (2 * width)
    whole = rounds * 2 * width
    pairs = p[..., :whole].reshape(*p.shape[:-1], rounds, 2, width)
    sums = np.zeros((*p.shape[:-1], 2, width), p.dtype)
    for i in range(rounds):
        sums += pairs[..., i, :, :]
    for size in (width, width // 2, 1, 1, 1):
        if whole + size <= n:
            sums[..., 0, :size] += p[..., whole:whole + size]
            whole += size
    quarters = sums.reshape(*p.shape[:-1], 4, width // 2)
    s = ((quarters[..., 0, :] + quarters[..., 1, :]) + quarters[..., 2, :]) + quarters[..., 3, :]
    return (s[..., 0] + s[..., 2]) + (s[..., 1] + s[..., 3])


def _dot(x: Array, y: Array) -> Array:
    return np.asarray(dot(x[..., 0, :], y[..., :, 0]))[..., None, None]


WAYS: dict[str, Callable[[Array, Array], Array]] = {"apart": _apart, "lanes": _lanes, "dot": _dot, "chain": np.matmul}
