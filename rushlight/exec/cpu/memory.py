"""Where the values of a plan live: inputs, fresh results, memory taken over from inputs, and one arena for the rest."""

from __future__ import annotations

import mmap
import weakref
from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

ALIGN = 64
LARGE = 1 << 20  # bytes of results whose memory is kept
HUGE = 32 << 20  # and from which on it comes in huge pages: smaller ones cost a network's first step up to 0.2 s where memory is in pieces
UNUSED = 64  # runs of plans after which memory that none of them asked for goes back to the system
SPARE = 64 << 20  # bytes of such memory at most, or as many as results hold

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
        begin, until = s.first, s.last  # here and below: most of the time of a large plan's making would go to names and calls
        at = 0
        for offset, end, first, last in placed:
            if last < begin or first > until:
                continue
            if offset - at >= size:
                break
            if end > at:
                at = end
        offsets[s.value] = at
        insort(placed, (at, at + size, begin, until))
        total = max(total, at + size)
    return dict(sorted(offsets.items())), total


def _mapped(size: int) -> mmap.mmap:
    """Memory of this process alone: what mmap gives unasked, a forked child would share."""
    return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) if hasattr(mmap, "MAP_PRIVATE") else mmap.mmap(-1, size)


class Pool:
    """Memory of large results, which is kept for the next ones when nobody refers to a result any more.

    The C library gives large blocks back to the system, and pages that come anew cost some 1.3 µs each: with a network's gradients
    made anew at every step, two layers of 2048 took 30 ms instead of 19.
    """

    def __init__(self, spare: int = SPARE) -> None:
        self.most = spare  # not as a global: those are gone when the interpreter ends
        self.free: dict[int, list[tuple[int, mmap.mmap]]] = {}  # by size, oldest first, with the run after which it was free
        self.lent: dict[int, tuple[Any, mmap.mmap]] = {}  # with a reference to the array, by its id
        self.bytes = self.spare = 0  # lent, and free
        self.runs = 0
        self._gone: deque[Any] = deque()  # references to arrays that are gone with all their views, and whose memory is not taken back
        # no function of Python's: an interrupt that arrives as one begins would be raised where nobody can catch it, and be lost
        self._returned = self._gone.append

    def array(self, count: int, dtype: Any) -> Array:
        """A flat array on memory that is its own until it and all views of it are gone."""
        self.settle()
        size = _rounded(count * np.dtype(dtype).itemsize)
        try:
            block = self.free[size].pop()[1]
            self.spare -= size
        except (KeyError, IndexError):
            try:
                block = _mapped(size)
            except (OSError, ValueError, OverflowError):
                self.free.clear()
                self.spare = 0
                return np.empty(count, dtype)  # or its error
            if size >= HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
                block.madvise(mmap.MADV_HUGEPAGE)
        made = np.frombuffer(block, dtype, count)
        ref = weakref.ref(made, self._returned)
        self.lent[id(ref)] = ref, block
        self.bytes += size
        return made

    def settle(self) -> None:
        """Take the memory of arrays that are gone back; where that is too much, give the oldest to the system."""
        if not self._gone:
            return
        while self._gone:
            try:
                ref = self._gone.popleft()
            except IndexError:  # another thread has taken it
                break
            block = self.lent.pop(id(ref))[1]
            size = len(block)
            self.bytes -= size
            self.free.setdefault(size, []).append((self.runs, block))
            self.spare += size
        if self.spare > self.most and self.spare > self.bytes:
            self._forget(self.runs + 1, max(self.most, self.bytes))

    def ran(self) -> None:
        """A plan runs."""
        self.settle()
        self.runs += 1
        if self.spare and self.runs % UNUSED == 0:
            self._forget(self.runs - UNUSED, 0)

    def _forget(self, before: int, rest: int) -> None:
        """Give memory back that was free before a run, the oldest first, until so many bytes are left."""
        while self.spare > rest:
            oldest = min([(blocks[0][0], size) for size, blocks in list(self.free.items()) if blocks], default=(before, 0))
            if oldest[0] >= before:
                return
            try:
                self.free[oldest[1]].pop(0)
                self.spare -= oldest[1]
            except (KeyError, IndexError):  # another thread has taken it
                pass


def _rounded(size: int) -> int:
    """Whole pages, in so large steps that arrays of similar sizes can have the same memory: pages behind them are never touched."""
    step = max(mmap.PAGESIZE, 1 << max(size.bit_length() - 4, 0))
    return -(-size // step) * step


POOL = Pool()


def allocator(size: int) -> Callable[[int, Any], Array]:
    """What makes arrays of so many bytes."""
    return POOL.array if size >= LARGE else np.empty


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
            arena = np.frombuffer(_mapped(max(size, 1)), np.uint8)[:size]
        return arena

    def give(self, arena: Array) -> None:
        self.free.append(arena)


SCRATCH = Scratch()
