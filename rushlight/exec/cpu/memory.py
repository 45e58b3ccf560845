"""Where the values of a plan live: inputs, fresh results, memory taken over from inputs, and one arena for the rest."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import Any

import numpy as np

ALIGN = 64

Array = np.ndarray[Any, Any]


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
            raw = np.empty(size + ALIGN, np.uint8)
            start = -raw.ctypes.data % ALIGN
            arena = raw[start:start + size]
        return arena

    def give(self, arena: Array) -> None:
        self.free.append(arena)


SCRATCH = Scratch()
