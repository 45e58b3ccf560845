"""Triangular solves and LU factorisation of stacks of matrices, in blocks:
Python loops over rows, NumPy over batch and columns."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
FEW = 64  # rows below which LAPACK's general solver is faster
INVERTED = 32  # rows of a block that is inverted
BLOCK = 48  # rows that are eliminated one by one before a matrix product does the rest


def solve_triangular(a: Array, b: Array, upper: bool, unitriangular: bool = False) -> Array:
    """The x with a x = b for triangular a; the other triangle, and a unit diagonal, are not read.

    (*batch, n, n), (*batch, n, k) -> (*batch, n, k); a zero on the diagonal gives inf or NaN.
    """
    dtype = np.result_type(a, b)
    if dtype.itemsize == 2:
        a, b = a.astype(np.float32), b.astype(np.float32)
    if np.isfinite(a).all() and np.isfinite(b).all():  # else it would spread to where substitution does not take it
        try:
            with np.errstate(all="ignore"):
                found = (_by_lapack if a.shape[-1] < FEW else _by_blocks)(a, b, upper, unitriangular)
        except np.linalg.LinAlgError:  # a zero on the diagonal
            found = None
        if found is not None and np.isfinite(found).all():  # the inverse of a tiny number is infinite where a quotient need not be
            return np.asarray(found, dtype)
    return np.asarray(substitute(a, b, upper, unitriangular), dtype)


def _triangle(a: Array, upper: bool, unit: bool) -> Array:
    """What is read of a, with zeros in the other triangle."""
    part = np.triu(a, int(unit)) if upper else np.tril(a, -int(unit))
    return part + np.eye(a.shape[-1], dtype=a.dtype) if unit else part


def _by_lapack(a: Array, b: Array, upper: bool, unit: bool) -> Array:
    """The same from LAPACK's solver for all matrices.

    It is given upper triangles (a lower one with rows and columns in reverse order): nothing is eliminated or exchanged then.
    """
    if not upper:
        return _by_lapack(a[..., ::-1, ::-1], b[..., ::-1, :], True, unit)[..., ::-1, :]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return np.asarray(np.linalg.solve(_triangle(a, True, unit), np.broadcast_to(b, (*batch, *b.shape[-2:]))))


def _by_blocks(a: Array, b: Array, upper: bool, unit: bool) -> Array:
    """The same by products with the inverses of the blocks on the diagonal, which are inverted together."""
    n = a.shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = np.array(np.broadcast_to(b, (*batch, *b.shape[-2:])), np.result_type(a, b))
    starts = range(0, n, INVERTED)
    blocks = np.zeros((len(starts), *a.shape[:-2], INVERTED, INVERTED), a.dtype)
    blocks[:] = np.eye(INVERTED)
    for block, low in zip(blocks, starts):
        part = _triangle(a[..., low:low + INVERTED, low:low + INVERTED], upper, unit)
        block[..., :part.shape[-1], :part.shape[-1]] = part
    inverses = _triangle(np.linalg.inv(blocks), upper, False)
    for inverse, low in reversed([*zip(inverses, starts)]) if upper else zip(inverses, starts):
        high = min(low + INVERTED, n)
        x[..., low:high, :] = inverse[..., :high - low, :high - low] @ x[..., low:high, :]
        rest = slice(0, low) if upper else slice(high, n)
        if rest.start < rest.stop:
            x[..., rest, :] -= a[..., rest, low:high] @ x[..., low:high, :]
    return x


def substitute(a: Array, b: Array, upper: bool, unit: bool) -> Array:
    """Forward substitution for lower triangles, backward for upper ones."""
    n = a.shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = np.array(np.broadcast_to(b, (*batch, *b.shape[-2:])), np.result_type(a, b))
    starts = range(0, n, BLOCK)
    with np.errstate(all="ignore"):
        for low in reversed(starts) if upper else starts:
            high = min(low + BLOCK, n)
            _solve_block(a, x, low, high, upper, unit)
            rest = slice(0, low) if upper else slice(high, n)
            if rest.start < rest.stop:
                x[..., rest, :] -= a[..., rest, low:high] @ x[..., low:high, :]
    return x


def _solve_block(a: Array, x: Array, low: int, high: int, upper: bool, unit: bool) -> None:
    for i in reversed(range(low, high)) if upper else range(low, high):
        known = slice(i + 1, high) if upper else slice(low, i)
        if known.start < known.stop:
            x[..., i, :] -= (a[..., i:i + 1, known] @ x[..., known, :])[..., 0, :]
        if not unit:
            x[..., i, :] /= a[..., i, i, None]


def lu_factor(a: Array) -> tuple[Array, Array, Array]:
    """L (below a unit diagonal) and U in one matrix, the pivots (from 1,
    int32) and info (int32), with partial pivoting.

    Row i was exchanged with row pivots[i] - 1. info is 0, or the position (from 1) of the first zero on U's diagonal.
    """
    dtype = a.dtype if a.dtype.kind in "fc" and a.dtype.itemsize > 2 else np.dtype(np.float32)
    m, n = a.shape[-2:]
    k = min(m, n)
    out = np.array(a, dtype).reshape(prod(a.shape[:-2]), m, n)
    pivots = np.zeros((len(out), k), np.int32)
    with np.errstate(all="ignore"):
        for low in range(0, k, BLOCK):
            high = min(low + BLOCK, k)
            for j in range(low, high):
                _eliminate(out, pivots, j, high)
            if high < n:
                out[:, low:high, high:] = substitute(out[:, low:high, low:high], out[:, low:high, high:], False, True)
                out[:, high:, high:] -= out[:, high:, low:high] @ out[:, low:high, high:]
    zero = np.diagonal(out, axis1=-2, axis2=-1) == 0
    info = np.where(zero.any(axis=-1), zero.argmax(axis=-1) + 1 if k else 0, 0).astype(np.int32)
    return out.reshape(a.shape), pivots.reshape(*a.shape[:-2], k), info.reshape(a.shape[:-2])


def _eliminate(x: Array, pivots: Array, j: int, high: int) -> None:
    """Brings the largest element of column j to its diagonal and eliminates below it, up to column `high`."""
    column = x[:, j:, j]
    size = np.abs(column.real) + np.abs(column.imag) if x.dtype.kind == "c" else np.abs(column)
    other = size.argmax(axis=1) + j
    pivots[:, j] = other + 1
    moved = np.flatnonzero(other != j)
    if moved.size:
        x[moved, j], x[moved, other[moved]] = x[moved, other[moved]], x[moved, j]
    pivot = x[:, j, j, None]
    x[:, j + 1:, j] = np.where(pivot == 0, x[:, j + 1:, j], x[:, j + 1:, j] / pivot)
    x[:, j + 1:, j + 1:high] -= x[:, j + 1:, j, None] * x[:, j, None, j + 1:high]
