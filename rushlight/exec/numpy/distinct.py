"""The distinct values of an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exec.numpy.ordering import order

Array = np.ndarray[Any, Any]
TABLE = 4  # entries of a table for each element, at most


def distinct(x: Array, inverse: bool, counts: bool) -> tuple[Array, Array | None, Array | None]:
    """The values of a flat array in ascending order, where each element's value stands among them, and how often each occurs.

    Every NaN is a value of its own.
    """
    if x.dtype.kind in "iub" and x.size:
        least = int(x.min())
        size = int(x.max()) - least + 1
        if size <= TABLE * x.size:
            return _by_table(x, least, size, inverse, counts)
    if not inverse and x.dtype.kind != "V":
        ranked, places = np.sort(x), None
    else:
        places = order(x, 0, False)
        ranked = x[places]
    new = np.ones(x.size, bool)
    np.not_equal(ranked[1:], ranked[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    where = None
    if places is not None and inverse:
        where = np.empty(x.size, np.int64)
        where[places] = np.cumsum(new) - 1
    return ranked[starts], where, np.diff(starts, append=x.size) if counts else None


def _by_table(x: Array, least: int, size: int, inverse: bool, counts: bool) -> tuple[Array, Array | None, Array | None]:
    """By a table over the range of integers."""
    places = x.astype(np.int64) - least if x.dtype.kind != "u" or x.dtype.itemsize < 8 else (x - x.dtype.type(least)).astype(np.int64)
    if counts:
        often = np.bincount(places, minlength=size)
        there = often > 0
    else:
        there = np.zeros(size, bool)
        there[places] = True
    found = np.flatnonzero(there)
    values = found.astype(x.dtype) + x.dtype.type(least) if x.dtype.kind != "b" else (found + least).astype(bool)
    return values, (np.cumsum(there) - 1)[places] if inverse else None, often[found] if counts else None
