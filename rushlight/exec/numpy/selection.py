"""Sorting and selection along one dimension. NaN counts as the largest number; each function gives values and places (int64)."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Pair = tuple[Array, Array]
FEW = 128  # up to this length a sort is as quick as a partition


def _keys(x: Array) -> Array:
    """What to sort by: NumPy does not order the NaNs of bfloat16."""
    return x.astype(np.float32) if x.dtype.kind == "V" else x


def order(x: Array, dim: int, descending: bool) -> Array:
    """The places that put x in order: stable, NaN last, or first if descending."""
    keys = _keys(x)
    if not descending:
        return np.argsort(keys, axis=dim, kind="stable")
    backwards = np.argsort(np.flip(keys, dim), axis=dim, kind="stable")
    return np.flip(x.shape[dim] - 1 - backwards, dim)


def sort(x: Array, dim: int, descending: bool) -> Pair:
    """All elements in order."""
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    places = np.ascontiguousarray(order(x, dim, descending))
    return np.take_along_axis(x, places, dim), places


def topk(x: Array, k: int, dim: int, largest: bool, ordered: bool) -> Pair:
    """The k largest or smallest elements, in order (`ordered` or not: both are allowed to be)."""
    n = x.shape[dim]
    if n <= FEW or k * 8 > n or k == 0:
        places = order(x, dim, largest)[_along(x, dim, slice(0, k))]
        return np.take_along_axis(x, places, dim), np.ascontiguousarray(places)
    parted = np.argpartition(_keys(x), n - k if largest else k - 1, axis=dim)
    chosen = np.sort(parted[_along(x, dim, slice(n - k, n) if largest else slice(0, k))], axis=dim)
    places = np.take_along_axis(chosen, order(np.take_along_axis(x, chosen, dim), dim, largest), dim)
    return np.take_along_axis(x, places, dim), places


def _along(x: Array, dim: int, part: slice) -> tuple[slice, ...]:
    return (slice(None),) * (dim % x.ndim) + (part,)


def _at(x: Array, places: Array, dim: int, keepdim: bool) -> Pair:
    """The elements of x at places of size 1 along dim."""
    values = np.take_along_axis(x, places, dim)
    return (values, places) if keepdim else (values.squeeze(dim), places.squeeze(dim))


def _kth(x: Array, k: int, dim: int) -> Array:
    """The place of the k-th smallest element (from 0)."""
    parted = np.argpartition(_keys(x), k, axis=dim)
    return np.ascontiguousarray(parted[_along(x, dim, slice(k, k + 1))])


def kthvalue(x: Array, k: int, dim: int, keepdim: bool) -> Pair:
    """The k-th smallest element, from 1."""
    return _at(x, _kth(x, k - 1, dim), dim, keepdim)


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
    return _at(x, np.take_along_axis(order(x, dim, False), np.maximum(count - 1, 0) // 2, dim), dim, keepdim)


def mode(x: Array, dim: int, keepdim: bool) -> Pair:
    """The smallest of the most frequent elements, and the last place where it stands."""
    places = np.moveaxis(order(x, dim, False), dim, -1)
    ranked = np.take_along_axis(np.moveaxis(x, dim, -1), places, -1)
    number = np.arange(ranked.shape[-1])
    starts = np.ones(ranked.shape, bool)
    starts[..., 1:] = ranked[..., 1:] != ranked[..., :-1]
    run = number - np.maximum.accumulate(np.where(starts, number, 0), axis=-1)  # how many equal ones stand before
    best = np.take_along_axis(places, np.argmax(run, axis=-1, keepdims=True), -1)
    return _at(x, np.ascontiguousarray(np.moveaxis(best, -1, dim)), dim, keepdim)


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
