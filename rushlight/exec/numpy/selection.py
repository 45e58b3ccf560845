"""Sorting and selection along one dimension. NaN counts as the largest number;
each function gives values and places (int64)."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exec.numpy import ties
from rushlight.exec.numpy.ordering import order, packed, partition_rows, places as places_of, ranks, sort_rows, taken

Array = np.ndarray[Any, Any]
Pair = tuple[Array, Array]
FEW = 128  # up to this length a sort is as quick as a partition
BLOCKS = 8  # for each of the first few that are looked for


def _keys(x: Array) -> Array:
    """What to sort by: NumPy does not order the NaNs of bfloat16."""
    return x.astype(np.float32) if x.dtype.kind == "V" else x


def sort(x: Array, dim: int, descending: bool) -> Pair:
    """All elements in order."""
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    places = np.ascontiguousarray(order(x, dim, descending))
    return taken(x, places, dim), places


def topk(x: Array, k: int, dim: int, largest: bool, ordered: bool) -> Pair:
    """The k largest or smallest elements in order; `ordered` says only which of equal ones PyTorch names."""
    if k == 0:
        return x[_along(x, dim, slice(0, 0))], np.zeros((*x.shape[:dim], 0, *x.shape[dim + 1:]), np.int64)
    rows = np.moveaxis(_keys(x), dim, -1)
    n = rows.shape[-1]
    if n <= FEW or k * 8 > n:
        ranked = order(rows, -1, largest)
        places, beyond = ranked[..., :k], ranked[..., k:k + 1]
    else:
        places, beyond = _first(rows, k, largest)
    values = taken(rows, np.concatenate([places, beyond], -1), -1)
    # without sorting any order is right: PyTorch's
    tied = np.asarray(_same(values[..., 1:], values[..., :-1]).any(-1)) | (not ordered)
    turned = (lambda keys: [-v for v in keys]) if largest else (lambda keys: keys)
    places = ties.corrected(rows, places, tied, lambda keys: ties.first_few(turned(keys), k, ordered))
    places = np.ascontiguousarray(np.moveaxis(places, -1, dim))
    return np.take_along_axis(x, places, dim), places


def _first(rows: Array, k: int, largest: bool) -> Pair:
    """The places of the first k of each row in order, and that of the next one."""
    found = _candidates(rows, k, largest)
    if found is not None:
        return found[..., :k], found[..., k:]
    pair = packed(rows, largest)
    if pair is not None:
        keys, bits = pair
        partition_rows(keys, k)
        first = np.ascontiguousarray(keys[..., :k])
        sort_rows(first)
        return places_of(first, bits), places_of(keys[..., k:k + 1], bits)
    n = rows.shape[-1]
    parted = np.argpartition(rows, (n - k - 1 if largest else k), axis=-1)
    beyond = parted[..., n - k - 1:n - k] if largest else parted[..., k:k + 1]
    chosen = np.sort(parted[..., n - k:] if largest else parted[..., :k], axis=-1)
    return np.take_along_axis(chosen, order(np.take_along_axis(rows, chosen, -1), -1, largest), -1), beyond


def _candidates(rows: Array, k: int, largest: bool) -> Array | None:
    """The places of the first k + 1 of each row in order, from the few that reach the (k + 1)-th best of the bests of blocks;
    None where they are not few, or not numbers."""
    n = rows.shape[-1]
    blocks = BLOCKS * (k + 1)
    if n < 4 * blocks or not rows.flags.c_contiguous:
        return None
    flat, covered = rows.reshape(-1, n), n // blocks * blocks
    bests = flat[:, :covered].reshape(len(flat), -1, blocks)
    bests = bests.max(1) if largest else bests.min(1)
    bests.partition(blocks - k - 1 if largest else k, axis=-1)
    least = bests[:, blocks - k - 1 if largest else k, None]
    if bests.dtype.kind == "f" and (np.isnan(bests).any() or np.isnan(flat[:, covered:]).any()):
        return None
    chosen = np.flatnonzero(flat >= least if largest else flat <= least)
    pair = ranks(flat.reshape(-1)[chosen]) if chosen.size * 4 <= flat.size else None
    bits, above = max(1, (n - 1).bit_length()), (len(flat) - 1).bit_length()
    if pair is None or pair[1] + bits + above > 64:
        return None
    keys, width = pair
    row, column = np.divmod(chosen, n)
    ordered = np.subtract((1 << width) - 1, keys, dtype=np.uint64) if largest else keys.astype(np.uint64)
    ordered = (row.astype(np.uint64) << np.uint64(width + bits)) | (ordered << np.uint64(bits)) | column.astype(np.uint64)
    ordered.sort()
    first = np.searchsorted(row, np.arange(len(flat)))[:, None] + np.arange(k + 1)
    return places_of(ordered[first], bits).reshape(*rows.shape[:-1], k + 1)


def _same(a: Array, b: Array) -> Array:
    """Where two arrays are equal, NaN to NaN."""
    return (a == b) | ((a != a) & (b != b))


def _along(x: Array, dim: int, part: slice) -> tuple[slice, ...]:
    return (slice(None),) * (dim % x.ndim) + (part,)


def _at(x: Array, places: Array, dim: int, keepdim: bool) -> Pair:
    """The elements of x at places of size 1 along dim."""
    values = np.take_along_axis(x, places, dim)
    return (values, places) if keepdim else (values.squeeze(dim), places.squeeze(dim))


def _kth(x: Array, k: int, dim: int) -> Array:
    """The place of the k-th smallest element (from 0) that a stable sort puts there."""
    pair = packed(np.moveaxis(x, dim, -1), False) if x.size >= max(FEW, 2 * x.shape[dim]) else None  # one row is parted as quickly alone
    if pair is not None:
        rows, bits = pair
        partition_rows(rows, k)
        return np.ascontiguousarray(np.moveaxis(places_of(rows[..., k:k + 1], bits), -1, dim))
    keys = _keys(x)
    parted = np.ascontiguousarray(np.argpartition(keys, k, axis=dim)[_along(x, dim, slice(k, k + 1))])
    value = np.take_along_axis(keys, parted, dim)
    equal = _same(keys, value)
    if (np.count_nonzero(equal, axis=dim) == 1).all():
        return parted
    less = keys < value if x.dtype.kind != "f" and x.dtype.kind != "V" else np.where(
        np.isnan(value), ~np.isnan(keys), keys < value)
    before = k - np.count_nonzero(less, axis=dim, keepdims=True)  # how many of the equal ones come first
    return np.argmax(equal & (np.cumsum(equal, axis=dim) == before + 1), axis=dim, keepdims=True)


def kthvalue(x: Array, k: int, dim: int, keepdim: bool) -> Pair:
    """The k-th smallest element, from 1."""
    places = _kth(x, k - 1, dim)
    rows, at = np.moveaxis(_keys(x), dim, -1), np.moveaxis(places, dim, -1)
    tied = np.count_nonzero(_same(rows, np.take_along_axis(rows, at, -1)), axis=-1) > 1
    at = ties.corrected(rows, at, tied, lambda keys: ties.quickselect(keys, k - 1))
    return _at(x, np.ascontiguousarray(np.moveaxis(at, -1, dim)), dim, keepdim)


def median(x: Array, dim: int, keepdim: bool) -> Pair:
    """The lower median; the first NaN where one occurs."""
    places = _kth(x, (x.shape[dim] - 1) // 2, dim)
    if x.dtype.kind in "fV":
        bad = np.isnan(x)
        if bad.any():
            places = np.where(bad.any(axis=dim, keepdims=True), np.argmax(bad, axis=dim, keepdims=True), places)
    return _at(x, places, dim, keepdim)


def nanmedian(x: Array, dim: int, keepdim: bool) -> Pair:
    """The lower median of what is not NaN; NaN where nothing is left."""
    bad = np.isnan(x) if x.dtype.kind in "fV" else None
    if bad is None or not bad.any():
        return median(x, dim, keepdim)
    count = x.shape[dim] - bad.sum(axis=dim, keepdims=True)
    places = np.take_along_axis(order(x, dim, False), np.maximum(count - 1, 0) // 2, dim)
    at = ties.corrected(np.moveaxis(_keys(x), dim, -1), np.moveaxis(places, dim, -1),
                        np.moveaxis(count == 0, dim, -1)[..., 0], ties.least)
    return _at(x, np.ascontiguousarray(np.moveaxis(at, -1, dim)), dim, keepdim)


def mode(x: Array, dim: int, keepdim: bool) -> Pair:
    """The smallest of the most frequent elements, and the place that stands last of its run when the row is sorted."""
    rows = np.moveaxis(_keys(x), dim, -1)
    places = order(rows, -1, False)
    ranked = np.take_along_axis(rows, places, -1)
    number = np.arange(ranked.shape[-1])
    starts = np.ones(ranked.shape, bool)
    starts[..., 1:] = ranked[..., 1:] != ranked[..., :-1]
    run = number - np.maximum.accumulate(np.where(starts, number, 0), axis=-1)  # how many equal ones stand before
    last = np.argmax(run, axis=-1, keepdims=True)
    best = np.take_along_axis(places, last, -1)
    if ranked.shape[-1] > ties.SHORT:  # what is shorter PyTorch sorts stably
        tied = np.take_along_axis(run, last, -1)[..., 0] > 0
        best = ties.corrected(rows, best, tied, lambda keys: ties.introsort(keys)[_end_of_longest(keys)])
    return _at(x, np.ascontiguousarray(np.moveaxis(best, -1, dim)), dim, keepdim)


def _end_of_longest(keys: list[Any]) -> int:
    """Where the run of the first most frequent key ends among the sorted keys."""
    count = np.bincount(keys)
    return int(count[:int(count.argmax()) + 1].sum()) - 1


def argmax(x: Array, dims: tuple[int, ...], keepdim: bool) -> Array:
    """The first place of the maximum along one dimension, or of a NaN; without dims in the whole array."""
    return np.asarray(np.argmax(_keys(x), axis=dims[0] if dims else None, keepdims=keepdim))


def argmin(x: Array, dims: tuple[int, ...], keepdim: bool) -> Array:
    """The first place of the minimum along one dimension, or of a NaN; without dims in the whole array."""
    return np.asarray(np.argmin(_keys(x), axis=dims[0] if dims else None, keepdims=keepdim))


def max_dim(x: Array, dim: int, keepdim: bool) -> Pair:
    """The maximum along dim, or a NaN, and its first place."""
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    return _at(x, argmax(x, (dim,), True), dim, keepdim)


def min_dim(x: Array, dim: int, keepdim: bool) -> Pair:
    """The minimum along dim, or a NaN, and its first place."""
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    return _at(x, argmin(x, (dim,), True), dim, keepdim)
