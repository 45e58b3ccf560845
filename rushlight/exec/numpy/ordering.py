"""Running results, sorting and selection. NaN counts as the largest number, as in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Pair = tuple[Array, Array]


def cumsum(x: Array, dim: int) -> Array:
    return np.cumsum(x, axis=dim, dtype=x.dtype)


def cumprod(x: Array, dim: int) -> Array:
    return np.cumprod(x, axis=dim, dtype=x.dtype)


def logcumsumexp(x: Array, dim: int) -> Array:
    if x.dtype.kind != "c":
        return np.logaddexp.accumulate(x, axis=dim)
    if not x.size:
        return x.copy()
    top = x.real.max(axis=dim, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    return (np.log(np.cumsum(np.exp(x - top), axis=dim)) + top).astype(x.dtype)


def _running(x: Array, dim: int, ufunc: Any) -> Pair:
    """The running extremum and the last position where it stands."""
    values = ufunc.accumulate(x, axis=dim)
    n = x.shape[dim]
    shape = [1] * x.ndim
    shape[dim] = n
    position = np.arange(n).reshape(shape)
    new = (x == values) | (np.isnan(x) if x.dtype.kind == "f" else False)
    return values, np.maximum.accumulate(np.where(new, position, 0), axis=dim)


def cummax(x: Array, dim: int) -> Pair:
    return _running(x, dim, np.maximum)


def cummin(x: Array, dim: int) -> Pair:
    return _running(x, dim, np.minimum)


def _order(x: Array, dim: int, descending: bool) -> Array:
    """Stable positions in ascending or descending order, NaN last or first."""
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    backwards = np.argsort(np.flip(x, dim), axis=dim, kind="stable")
    return np.flip(x.shape[dim] - 1 - backwards, dim)


def sort(x: Array, dim: int, descending: bool) -> Pair:
    order = np.ascontiguousarray(_order(x, dim, descending))
    return np.take_along_axis(x, order, dim), order


def _at(x: Array, order: Array, dim: int, places: slice | int) -> Pair:
    index = order[(slice(None),) * dim + (places,)]
    if isinstance(places, int):
        index = np.expand_dims(index, dim)
    return np.take_along_axis(x, index, dim), index


def topk(x: Array, k: int, dim: int, largest: bool, ordered: bool) -> Pair:
    return _at(x, _order(x, dim, largest), dim, slice(0, k))


def _kept(values: Array, index: Array, dim: int, keepdim: bool) -> Pair:
    return (values, index) if keepdim else (values.squeeze(dim), index.squeeze(dim))


def kthvalue(x: Array, k: int, dim: int, keepdim: bool) -> Pair:
    return _kept(*_at(x, _order(x, dim, False), dim, k - 1), dim, keepdim)


def median(x: Array, dim: int, keepdim: bool) -> Pair:
    """The lower median; a NaN where one occurs."""
    order = _order(x, dim, False)
    values, index = _at(x, order, dim, (x.shape[dim] - 1) // 2)
    if x.dtype.kind == "f":
        bad = np.isnan(x)
        first = np.expand_dims(np.argmax(bad, axis=dim), dim)
        some = bad.any(axis=dim, keepdims=True)
        index = np.where(some, first, index)
        values = np.take_along_axis(x, index, dim)
    return _kept(values, index, dim, keepdim)


def nanmedian(x: Array, dim: int, keepdim: bool) -> Pair:
    """The lower median of what is not NaN."""
    if x.dtype.kind != "f":
        return median(x, dim, keepdim)
    order = _order(x, dim, False)
    count = x.shape[dim] - np.isnan(x).sum(axis=dim, keepdims=True)
    index = np.take_along_axis(order, np.maximum(count - 1, 0) // 2, dim)
    return _kept(np.take_along_axis(x, index, dim), index, dim, keepdim)


def mode(x: Array, dim: int, keepdim: bool) -> Pair:
    """The smallest of the most frequent values, and the last place where it stands."""
    order = _order(x, dim, False)
    ranked = np.moveaxis(np.take_along_axis(x, order, dim), dim, -1)
    places = np.moveaxis(order, dim, -1)
    n = ranked.shape[-1]
    starts = np.ones(ranked.shape, bool)
    starts[..., 1:] = ranked[..., 1:] != ranked[..., :-1]
    start = np.maximum.accumulate(np.where(starts, np.arange(n), 0), axis=-1)
    length = np.arange(n) - start
    best = np.expand_dims(np.argmax(length, axis=-1), -1)
    values, index = np.take_along_axis(ranked, best, -1), np.take_along_axis(places, best, -1)
    values, index = np.moveaxis(values, -1, dim), np.moveaxis(index, -1, dim)
    return _kept(np.ascontiguousarray(values), np.ascontiguousarray(index), dim, keepdim)


def argmax(x: Array, dims: tuple[int, ...], keepdim: bool) -> Array:
    return np.asarray(np.argmax(x, axis=dims[0], keepdims=keepdim))


def argmin(x: Array, dims: tuple[int, ...], keepdim: bool) -> Array:
    return np.asarray(np.argmin(x, axis=dims[0], keepdims=keepdim))


def max_dim(x: Array, dim: int, keepdim: bool) -> Pair:
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    index = np.expand_dims(np.argmax(x, axis=dim), dim)
    return _kept(np.take_along_axis(x, index, dim), index, dim, keepdim)


def min_dim(x: Array, dim: int, keepdim: bool) -> Pair:
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    index = np.expand_dims(np.argmin(x, axis=dim), dim)
    return _kept(np.take_along_axis(x, index, dim), index, dim, keepdim)
