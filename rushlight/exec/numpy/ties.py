"""Which of several equal elements a selection names: the place that PyTorch's CPU kernels give.

Selections are defined by values; of equal elements any place is right. PyTorch gives those that its algorithms leave:
Hoare's quickselect (kthvalue) and the introsort and introselect of the C++ standard library (topk, mode; Musser,
"Introspective sorting and selection algorithms", 1997). Written here on lists, for rows short enough that nobody waits;
each function takes the keys of one row as a list without NaN and gives places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Keys = list[Any]
LIMIT = 4096  # elements in all rows with ties up to which they are selected as PyTorch does
SHORT = 16  # introsort leaves shorter parts to insertion sort


def corrected(x: np.ndarray, places: np.ndarray, tied: np.ndarray, select: Callable[[Keys], Any]) -> np.ndarray:
    """The places (rows, k) with those of rows that have ties replaced by what `select` finds, if they are few enough.

    The rows are the last dimension of x, `tied` has its leading dimensions. NaN counts as the largest of all.
    """
    if not tied.any() or np.count_nonzero(tied) * x.shape[-1] > LIMIT:
        return places
    places = np.array(places)
    for at in np.argwhere(tied):
        row = x[tuple(at)]
        keys = np.unique(row, return_inverse=True)[1].reshape(-1).tolist()
        places[tuple(at)] = select(keys)
    return places


def quickselect(keys: Keys, k: int) -> int:
    """The place of the k-th smallest key (from 0): Hoare's selection with the median of three as the pivot."""
    a, at = list(keys), list(range(len(keys)))

    def swap(i: int, j: int) -> None:
        a[i], a[j] = a[j], a[i]
        at[i], at[j] = at[j], at[i]
    low, high = 0, len(a) - 1
    while high > low + 1:
        swap(low + (high - low) // 2, low + 1)
        for i, j in ((low + 1, high), (low, high), (low + 1, low)):
            if a[i] > a[j]:
                swap(i, j)
        i, j, pivot = low + 1, high, a[low]
        while True:
            i += 1
            while pivot > a[i]:
                i += 1
            j -= 1
            while a[j] > pivot:
                j -= 1
            if j < i:
                break
            swap(i, j)
        swap(low, j)
        low, high = i if j <= k else low, j - 1 if j >= k else high
    if high == low + 1 and a[low] > a[high]:
        swap(low, high)
    return at[k]


def _partition(a: list[tuple[Any, int]], low: int, high: int) -> int:
    """Parts a[low:high] around the median of three; where the upper part starts."""
    mid = low + (high - low) // 2
    x, y, z = a[low + 1][0], a[mid][0], a[high - 1][0]
    if x < y:
        pick = mid if y < z else high - 1 if x < z else low + 1
    else:
        pick = low + 1 if x < z else high - 1 if y < z else mid
    a[low], a[pick] = a[pick], a[low]
    pivot, i, j = a[low][0], low + 1, high
    while True:
        while a[i][0] < pivot:
            i += 1
        j -= 1
        while pivot < a[j][0]:
            j -= 1
        if i >= j:
            return i
        a[i], a[j] = a[j], a[i]
        i += 1


def _sift(a: list[tuple[Any, int]], low: int, hole: int, size: int, value: tuple[Any, int]) -> None:
    """Puts a value into the heap a[low:low + size] at a hole: down to a leaf, then up."""
    top = child = hole
    while child < (size - 1) // 2:
        child = 2 * (child + 1)
        if a[low + child][0] < a[low + child - 1][0]:
            child -= 1
        a[low + hole] = a[low + child]
        hole = child
    if size % 2 == 0 and child == (size - 2) // 2:
        child = 2 * (child + 1)
        a[low + hole] = a[low + child - 1]
        hole = child - 1
    while hole > top and a[low + (hole - 1) // 2][0] < value[0]:
        a[low + hole] = a[low + (hole - 1) // 2]
        hole = (hole - 1) // 2
    a[low + hole] = value


def _heap_select(a: list[tuple[Any, int]], low: int, mid: int, high: int) -> None:
    """The smallest mid - low of a[low:high] as a heap in front."""
    size = mid - low
    for parent in range((size - 2) // 2, -1, -1) if size > 1 else ():
        _sift(a, low, parent, size, a[low + parent])
    for i in range(mid, high):
        if a[i][0] < a[low][0]:
            value, a[i] = a[i], a[low]
            _sift(a, low, 0, size, value)


def _partial_sort(a: list[tuple[Any, int]], low: int, mid: int, high: int) -> None:
    """The smallest mid - low of a[low:high] in order in front."""
    _heap_select(a, low, mid, high)
    for end in range(mid - 1, low, -1):
        value, a[end] = a[end], a[low]
        _sift(a, low, 0, end - low, value)


def _by_insertion(a: list[tuple[Any, int]], low: int, high: int) -> None:
    """Insertion sort is stable, and so is Python's."""
    a[low:high] = sorted(a[low:high], key=lambda p: p[0])


def _sort(a: list[tuple[Any, int]], low: int, high: int) -> None:
    """Introsort."""
    parts = [(low, high, 2 * ((high - low).bit_length() - 1))] if high > low else []
    while parts:
        i, j, depth = parts.pop()
        while j - i > SHORT:
            if not depth:
                _partial_sort(a, i, j, j)
                break
            depth -= 1
            cut = _partition(a, i, j)
            parts.append((cut, j, depth))
            j = cut
    _by_insertion(a, low, high)


def _select(a: list[tuple[Any, int]], nth: int) -> None:
    """Introselect: the nth smallest at its place, smaller ones before it."""
    low, high, depth = 0, len(a), 2 * (len(a).bit_length() - 1)
    while high - low > 3:
        if not depth:
            _heap_select(a, low, nth + 1, high)
            a[low], a[nth] = a[nth], a[low]
            return
        depth -= 1
        cut = _partition(a, low, high)
        low, high = (cut, high) if cut <= nth else (low, cut)
    _by_insertion(a, low, high)


def _paired(keys: Keys) -> list[tuple[Any, int]]:
    return [(v, i) for i, v in enumerate(keys)]


def introsort(keys: Keys) -> list[int]:
    """The places in ascending order of the keys."""
    a = _paired(keys)
    _sort(a, 0, len(a))
    return [i for _, i in a]


def least(keys: Keys) -> int:
    """The place of the smallest key, by introselect."""
    a = _paired(keys)
    _select(a, 0)
    return a[0][1]


def first_few(keys: Keys, k: int, ordered: bool) -> list[int]:
    """The places of the k smallest keys: by a heap where k is small,
    else by introselect and a sort of what it leaves."""
    a = _paired(keys)
    if k * 64 <= len(a):
        _partial_sort(a, 0, k, len(a))
    else:
        _select(a, k - 1)
        if ordered:
            _sort(a, 0, k - 1)
    return [i for _, i in a[:k]]
