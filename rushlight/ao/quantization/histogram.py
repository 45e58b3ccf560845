"""Histograms of activations, and the part of one that is best quantized.

The search cuts the tails in steps of 1e-5 of all counts, the longer way of the two first, for as long as the expected
square error falls, as NormMinimization of Caffe2 did. The error of a bin whose numbers lie evenly is an integral of x².
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Histogram = tuple[Array, float, float]  # counts, least, greatest
STEP = 1e-5
FINER = 16  # parts of a bin when bins move


def count(x: Array, bins: int, low: float | None = None, high: float | None = None) -> Histogram:
    """The histogram of numbers over a range, theirs by default."""
    low, high = float(x.min()) if low is None else low, float(x.max()) if high is None else high
    wide = (low, high) if low < high else (low - 1, high + 1)
    # bins may be finer than float32
    return np.histogram(x.astype(np.float64), bins, wide)[0].astype(np.float32), low, high


def joined(old: Histogram, x: Array, bins: int) -> Histogram:
    """A histogram with more numbers in it, over a range that holds all."""
    counts, low, high = old
    new_low, new_high = min(low, float(x.min())), max(high, float(x.max()))
    new, _, _ = count(x, bins, new_low, new_high)
    if (new_low, new_high) == (low, high):
        return counts + new, low, high
    if low == high:
        moved = count(np.array([low], np.float32), bins, new_low, new_high)[0] * counts.sum()
    else:
        fine = np.repeat(counts, FINER) / FINER
        middles = low + (np.arange(fine.size) + 0.5) * ((high - low) / fine.size)
        at = np.clip(((middles - new_low) * (bins / (new_high - new_low))).astype(np.int64), 0, bins - 1)
        moved = np.bincount(at, fine, bins)
    return (moved + new).astype(np.float32), new_low, new_high


def best_range(counts: Array, low: float, high: float, levels: int) -> tuple[float, float]:
    """The part of the range with the least square error when it is quantized to so many levels."""
    bins = counts.size
    width = (high - low) / bins
    total = np.cumsum(counts, dtype=np.float64)
    whole = total[-1]
    alpha, beta, start, end, least = 0.0, 1.0, 0, bins - 1, np.inf
    while alpha < beta:
        left = min(max(int(np.searchsorted(total, (alpha + STEP) * whole)), start), end)
        if left == start:  # only the upper end can move: go on to where it does
            gap = beta - total[end] / whole
            beta -= STEP * max(0, int(gap / STEP) - 1) if gap > 0 else 0
            if alpha >= beta:
                break
        right = max(min(int(np.searchsorted(total, (beta - STEP) * whole, "right")) - 1, end), start)
        new_start, new_end = start, end
        if left - start > end - right:
            new_start, alpha = left, alpha + STEP
        else:
            new_end, beta = right, beta - STEP
        if (new_start, new_end) == (start, end):
            continue
        error = _error(counts, width, new_start, new_end, levels)
        if error > least:
            break
        least, start, end = error, new_start, new_end
    return low + width * start, low + width * (end + 1)


def _error(counts: Array, width: float, start: int, end: int, levels: int) -> float:
    """The square error of all numbers when bins start … end are spread over the levels, the rest goes to the ends."""
    step = width * (end - start + 1) / levels
    if step == 0:
        return 0.0
    begin = (np.arange(counts.size) - start) * width
    stop = begin + width
    first, last = (np.clip(np.floor(edge / step), 0, levels - 1) for edge in (begin, stop))
    density = counts / width
    parts = _cubes(begin - (first + 0.5) * step, step / 2) + (last - first - 1) * _cubes(-step / 2, step / 2) \
        + _cubes(-step / 2, stop - (last + 0.5) * step)
    return float((density * parts).sum())


def _cubes(a: Any, b: Any) -> Any:
    """The integral of x² from a to b."""
    return (b ** 3 - a ** 3) / 3
