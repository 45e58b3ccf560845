"""Gathers and scatters. Every index is checked before it is used."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def add(planes: Array, places: Array, values: Array) -> None:
    """planes[z, places[z, i, j], j] += values[z, i, j] one after the other, in that order. A dimension of places may be 1 for all."""
    z, _, inner = planes.shape
    np.add.at(planes, (np.arange(z)[:, None, None], places, np.arange(inner)), values)


def checked(index: Array, size: int, what: str, negative: bool = False) -> Array:
    """The index itself; IndexError names the first that is out of range and its position."""
    if index.size:
        low, high = int(index.min()), int(index.max())
        least = -size if negative else 0
        if low < least or high >= size:
            bad = low if low < least else high
            at = tuple(int(i) for i in np.argwhere(index == bad)[0])
            raise IndexError(f"{what}".format(bad=bad, size=size) + (f" (at position {list(at)})" if at else ""))
    return index


def positions(x: Array) -> Array:
    """The positions of what is not zero, one column each (int64), in the order of memory.

    >>> positions(np.eye(2))
    array([[0, 1],
           [0, 1]])
    """
    flat = np.flatnonzero(x)
    out = np.empty((x.ndim, flat.size), np.int64)
    for d in range(x.ndim - 1, 0, -1):
        np.remainder(flat, x.shape[d], out=out[d])
        flat = flat // x.shape[d]
    out[:1] = flat
    return out


def gather(x: Array, index: Array, dim: int) -> Array:
    if x.ndim == 0:
        return x.reshape(1)[checked(index.reshape(-1), 1, GATHER)].reshape(index.shape)
    if not index.size:
        return np.empty(index.shape, x.dtype)
    checked(index, x.shape[dim], GATHER)
    crop = tuple(slice(None) if d == dim else slice(0, n) for d, n in enumerate(index.shape))
    return np.take_along_axis(x[crop], index.astype(np.int64), dim)


GATHER = "index {bad} is out of bounds for dimension with size {size}"


def _targets(x: Array, index: Array, dim: int) -> tuple[Any, ...]:
    checked(index, x.shape[dim], GATHER)
    places: list[Any] = [np.arange(n).reshape([-1 if d == a else 1 for a in range(index.ndim)])
                         for d, n in enumerate(index.shape)]
    places[dim] = index
    return tuple(places)


def _prepared(overwrite: bool, x: Array, index: Array, src: Any) -> tuple[Array, Array, Any]:
    x = x if overwrite else x.copy()
    if x.ndim == 0:
        x = x.reshape(1)
    if index.ndim == 0:
        index = index.reshape(1)
    if isinstance(src, np.ndarray):
        src = src.reshape(1) if src.ndim == 0 else src[tuple(slice(0, n) for n in index.shape)]
    return x, index, src


def scatter(overwrite: bool, x: Array, index: Array, src: Any, dim: int) -> Array:
    shape = x.shape
    x, index, src = _prepared(overwrite, x, index, src)
    if index.size:
        x[_targets(x, index, dim)] = src
    return x.reshape(shape)


def scatter_add(overwrite: bool, x: Array, index: Array, src: Any, dim: int) -> Array:
    shape = x.shape
    x, index, src = _prepared(overwrite, x, index, src)
    if index.size:
        beside = [n for d, n in enumerate(index.shape) if d != dim]
        if x.flags.c_contiguous and isinstance(src, np.ndarray) and beside == [n for d, n in enumerate(x.shape) if d != dim]:
            checked(index, x.shape[dim], GATHER)
            around = prod(x.shape[:dim]), -1, prod(x.shape[dim + 1:])
            add(x.reshape(around), index.reshape(around), src.reshape(around))
        else:
            np.add.at(x, _targets(x, index, dim), src)
    return x.reshape(shape)


def scatter_reduce(overwrite: bool, x: Array, index: Array, src: Any, dim: int, reduce: str,
                   include_self: bool) -> Array:
    """x with src reduced into it: sum, prod, mean, amax or amin."""
    shape = x.shape
    x, index, src = _prepared(overwrite, x, index, src)
    if not index.size:
        return x.reshape(shape)
    at = _targets(x, index, dim)
    if not include_self:
        x[at] = _neutral(reduce, x.dtype)
    count = np.zeros(x.shape, x.dtype if x.dtype.kind != "b" else np.int64)
    if reduce == "mean":
        np.add.at(count, at, 1)
        count += 1 if include_self else (count == 0)
    UFUNCS[reduce].at(x, at, src)
    if reduce == "mean":
        x = (np.floor_divide(x, count) if x.dtype.kind in "iu" else x / count).astype(x.dtype)
    return x.reshape(shape)


UFUNCS: dict[str, Any] = {"sum": np.add, "mean": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def _neutral(reduce: str, dtype: np.dtype[Any]) -> Any:
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    if dtype.kind == "b":
        return reduce == "amin"
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return info.min if reduce == "amax" else info.max
    return -np.inf if reduce == "amax" else np.inf


def _keys(shape: tuple[int, ...], indices: tuple[Array, ...], dims: tuple[int, ...]) -> tuple[Any, ...]:
    keys: list[Any] = [slice(None)] * len(shape)
    for i, d in zip(indices, dims):
        keys[d] = checked(i, shape[d], f"index {{bad}} is out of bounds for dimension "
                          f"{d} with size {{size}}", negative=True)
    return tuple(keys)


def _together(x: Array, indices: tuple[Array, ...], dims: tuple[int, ...]) -> tuple[Array, Array, tuple[int, ...]] | None:
    """x with the indexed dimensions as one, the places in it, and the shape of what is there; None where they do not lie side by side."""
    first, end = dims[0], dims[-1] + 1
    if tuple(dims) != tuple(range(first, end)) or not x.flags.c_contiguous or not x.size:
        return None
    places = np.zeros((), np.int64)
    for i, n in zip(indices, x.shape[first:end]):
        i = i.astype(np.int64, copy=False)
        places = places * n + (np.where(i < 0, i + n, i) if i.size and i.min() < 0 else i)
    planes = x.reshape(prod(x.shape[:first]), prod(x.shape[first:end]), prod(x.shape[end:]))
    return planes, np.ascontiguousarray(places.reshape(-1)), (*x.shape[:first], *places.shape, *x.shape[end:])


def index(x: Array, *rest: Any) -> Array:
    *indices, dims = rest
    keys = _keys(x.shape, tuple(indices), dims)
    found = _together(x, tuple(indices), dims)
    if found is None:
        return np.asarray(x[keys])
    planes, places, shape = found
    return np.take(planes, places, 1, mode="clip").reshape(shape)  # every index is checked


def index_put(overwrite: bool, x: Array, value: Array, *rest: Any) -> Array:
    *indices, dims, accumulate = rest
    x = x if overwrite else x.copy()
    keys = _keys(x.shape, tuple(indices), dims)
    found = _together(x, tuple(indices), dims) if accumulate and x.dtype.kind in "fiu" else None
    if found is not None and value.shape == found[2]:
        planes, places, _ = found
        add(planes, places[None, :, None], value.reshape(len(planes), -1, planes.shape[2]))
    elif accumulate:
        np.add.at(x, keys, value) if x.dtype.kind != "b" else np.logical_or.at(x, keys, value)
    else:
        x[keys] = value
    return x


def embedding(weight: Array, index: Array) -> Array:
    checked(index, weight.shape[0], "index out of range in self: index {bad}, but the embedding has {size} rows")
    return np.take(weight, index, axis=0)


def embedding_grad(y: Array, index: Array, rows: int) -> Array:
    width = int(np.prod(y.shape[index.ndim:]))
    out = np.zeros((rows, width), y.dtype)
    flat = index.reshape(-1)
    order = np.argsort(flat, kind="stable")
    if flat.size:
        keys, starts = np.unique(flat[order], return_index=True)
        out[keys] = np.add.reduceat(y.reshape(-1, width)[order], starts, axis=0)
    return out.reshape(rows, *y.shape[index.ndim:])


KERNELS: dict[str, Callable[..., Any]] = {
    "gather": gather, "scatter": scatter, "scatter_add": scatter_add, "scatter_reduce": scatter_reduce, "index": index,
    "index_put": index_put, "embedding": embedding, "embedding_grad": embedding_grad,
}
