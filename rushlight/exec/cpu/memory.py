"""Where the values of a plan live: inputs, fresh results, memory taken over from inputs, and one arena for the rest."""

from __future__ import annotations

import ctypes
import mmap
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

ALIGN = 64
HUGE, MAPPED = 4 << 20, 32 << 20

Array = np.ndarray[Any, Any]


def _system_call() -> Any:
    """madvise, where the system has it and huge pages."""
    if not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return function


_madvise = _system_call()


@dataclass(slots=True)
class Span:
    """A value of the arena: its size in bytes, and the first and last step that touch it."""

    value: int
    size: int
    first: int
    last: int


def arrange(spans: list[Span]) -> tuple[dict[int, int], int]:
    """Offsets in one arena such that spans alive at the same step do not overlap, and the arena's size.

    Large spans first, each at the lowest offset where it fits.

    >>> arrange([Span(0, 64, 0, 1), Span(1, 64, 1, 2), Span(2, 64, 2, 3)])
    ({0: 0, 1: 64, 2: 0}, 128)
    """
    offsets: dict[int, int] = {}
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last; sorted by offset
    total = 0
    for s in sorted(spans, key=lambda s: (-s.size, s.first)):
        size = -(-max(s.size, 1) // ALIGN) * ALIGN
        at = 0
        for offset, end, first, last in placed:
            if last < s.first or first > s.last:
                continue
            if offset - at >= size:
                break
            at = max(at, end)
        offsets[s.value] = at
        insort(placed, (at, at + size, s.first, s.last))
        total = max(total, at + size)
    return dict(sorted(offsets.items())), total


def allocator(size: int) -> Callable[[int, Any], Array]:
    """What makes arrays of so many bytes."""
    return _in_small_pages if HUGE <= size < MAPPED and _madvise is not None else np.empty


def _in_small_pages(size: int, dtype: Any) -> Array:
    """An array in ordinary pages.

    NumPy asks for huge ones from 4 MiB on. Looking for them took up to 0.2 s of a network's first step where memory was in
    pieces, and they made no later step faster. Larger arrays are as NumPy makes them: the C library maps these anew each time, page
    by page.
    """
    made = np.empty(size, dtype)
    begin = made.__array_interface__["data"][0] // mmap.PAGESIZE * mmap.PAGESIZE
    _madvise(begin, made.nbytes, mmap.MADV_NOHUGEPAGE)
    return made


def _mapped(size: int) -> mmap.mmap:
    """Memory of this process alone: what mmap gives unasked, a forked child would share."""
    return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) if hasattr(mmap, "MAP_PRIVATE") else mmap.mmap(-1, size)


class Scratch:
    """Arenas that plans lend and give back: as many as run at the same time, grown to the largest need."""

    def __init__(self) -> None:
        self.free: list[Array] = []  # taking from a list and adding to it are atomic

    def take(self, size: int) -> Array:
        try:
            arena: Array | None = self.free.pop()
        except IndexError:
            arena = None
        if arena is None or arena.nbytes < size:
            if arena is not None:  # more than asked for: fresh memory costs time when it is touched, and only then
                size = max(size, arena.nbytes * 3 // 2)
            arena = None  # let the small one go first
            arena = np.frombuffer(_mapped(max(size, 1)), np.uint8)[:size]  # not NumPy's: see `_in_small_pages`
        return arena

    def give(self, arena: Array) -> None:
        self.free.append(arena)


SCRATCH = Scratch()
