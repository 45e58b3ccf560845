"""The order of numbers: keys that sort as the numbers do, each in one unsigned integer with the place that it comes from.

NumPy sorts unsigned integers by the processor's vectors, several times as fast as it finds a stable order of floats; and
integers with a place in them are all different, so any sort of them is a stable one.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from rushlight.exec import threads
from rushlight.exec.numpy.parallel import at_once, parts

Array = np.ndarray[Any, Any]
FEW = 1 << 10  # elements, below which NumPy's own stable sort is as quick
SHARED = 1 << 16  # elements, from which on several threads sort rows
HALVED = 1 << 18  # elements of one row, likewise


def order(x: Array, dim: int, descending: bool) -> Array:
    """The places (int64) that put x in order along a dimension: stable, NaN last, or first if descending."""
    rows = np.moveaxis(x, dim, -1)
    found = packed(rows, descending) if x.size >= FEW else None
    if found is not None:
        sort_rows(found[0])
        return np.moveaxis(places(*found), -1, dim)
    keys = rows.astype(np.float32) if x.dtype.kind == "V" else rows  # NumPy does not order the NaNs of bfloat16
    at = _stable_order(keys[..., ::-1])[..., ::-1] if descending else _stable_order(keys)
    return np.moveaxis(x.shape[dim] - 1 - at if descending else at, -1, dim)


def _stable_order(keys: Array) -> Array:
    """NumPy's own stable order of rows, of several in several threads."""
    if keys.ndim < 2 or keys.size < SHARED:
        return np.argsort(keys, axis=-1, kind="stable")
    rows = keys.reshape(-1, keys.shape[-1])
    out = np.empty(rows.shape, np.int64)

    def part(some: Array, into: Array) -> None:
        into[...] = np.argsort(some, axis=-1, kind="stable")
    at_once([partial(part, *pair) for pair in zip(parts(rows, SHARED), parts(out, SHARED))])
    return out.reshape(keys.shape)


def packed(rows: Array, descending: bool) -> tuple[Array, int] | None:
    """Unsigned integers that sort as the numbers of each row, the places in their low bits, and how many bits these are;
    None where the numbers and their places need more than 64."""
    found = ranks(rows)
    if found is None:
        return None
    keys, width = found
    bits = max(1, (rows.shape[-1] - 1).bit_length())
    if width + bits > 64:
        return None
    kind = np.uint32 if width + bits <= 32 else np.uint64
    out: Any = keys.astype(kind, order="C")
    if descending:
        np.subtract(kind((1 << width) - 1), out, out=out)
    out <<= kind(bits)
    out |= np.arange(rows.shape[-1], dtype=kind)
    return out, bits


def partition_rows(keys: Array, k: int) -> None:
    """Bring the k-th smallest of each row (from 0) to its place, and what is smaller before it, in several threads where there are many."""
    rows = keys.reshape(-1, keys.shape[-1])
    at_once([partial(part.partition, k) for part in parts(rows, SHARED)])


def places(keys: Array, bits: int) -> Array:
    """The places within packed keys."""
    return (keys & keys.dtype.type((1 << bits) - 1)).astype(np.int64)


def ranks(x: Array) -> tuple[Array, int] | None:
    """Unsigned integers in the order of x, and how many bits they have; None for floats of 64 bits."""
    kind, size = x.dtype.kind, x.dtype.itemsize
    if kind in "iu" and size == 8:  # ids and labels have a small range
        least, most = (int(x.min()), int(x.max())) if x.size else (0, 0)
        return (x - x.dtype.type(least)).view(np.uint64), max(1, (most - least).bit_length())
    if kind not in "biufV" or size > 4:
        return None
    unsigned, width = np.dtype(f"u{size}"), 8 * size
    if kind in "bu":
        return x.view(unsigned), width
    top = unsigned.type(1 << width - 1)
    if kind == "i":
        return x.view(unsigned) ^ top, width
    number = np.isnan(x)
    bits = np.ascontiguousarray(x + x.dtype.type(0)).view(unsigned)  # zeros have one sign
    keys = bits ^ ((bits.view(f"i{size}") >> (width - 1)).view(unsigned) | top)
    if number.any():
        keys[number] = unsigned.type((1 << width) - 1)
    return keys, width


def sort_rows(keys: Array) -> None:
    """Sort the last dimension of different integers where they lie, in several threads where there are many."""
    rows = keys.reshape(-1, keys.shape[-1])
    count = threads.count()
    if count > 1 and len(rows) == 1 and rows.size >= HALVED:
        cuts = [rows.size * i // count for i in range(1, count)]
        rows[0].partition(cuts)
        at_once([part.sort for part in np.split(rows[0], cuts)])
    else:
        at_once([part.sort for part in parts(rows, SHARED)])


def taken(x: Array, at: Array, dim: int) -> Array:
    """The elements of x at places along a dimension, which are all inside."""
    if dim % x.ndim != x.ndim - 1 or not x.flags.c_contiguous or x.shape[:-1] != at.shape[:-1]:
        return np.take_along_axis(x, at, dim)
    starts: Any = np.arange(0, x.size, x.shape[-1]).reshape(*x.shape[:-1], 1) if x.size else 0
    return x.reshape(-1).take(at + starts)
