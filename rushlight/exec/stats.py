"""Counters of what the lazy machinery did."""

from __future__ import annotations

import weakref
from collections import deque


class Stats:
    """``nodes`` recorded and run, ``plans_built``, ``plans_reused``, ``bytes_live`` and ``bytes_peak`` of realized results."""

    def __init__(self) -> None:
        self.nodes = 0
        self.plans_built = 0
        self.plans_reused = 0
        self.bytes_peak = 0
        self._live = 0
        self._sizes: dict[int, tuple[object, int]] = {}
        self._gone: deque[object] = deque()  # references to buffers that went away and are still counted
        # no function of Python's: an interrupt that arrives as one begins would be raised where nobody can catch it, and be lost
        self._forget = self._gone.append

    def track(self, buffer: object, size: int) -> None:
        """Counts `size` bytes until the buffer goes away."""
        if self._gone:
            self._count_out()
        live = self._live = self._live + size
        if live > self.bytes_peak:
            self.bytes_peak = live
        ref = weakref.ref(buffer, self._forget)
        self._sizes[id(ref)] = ref, size

    @property
    def bytes_live(self) -> int:
        """The bytes of realized results that somebody refers to."""
        self._count_out()
        return self._live

    def _count_out(self) -> None:
        while self._gone:
            try:
                ref = self._gone.popleft()
            except IndexError:  # another thread has taken it
                return
            self._live -= self._sizes.pop(id(ref))[1]

    def as_dict(self) -> dict[str, int]:
        return {**{name: value for name, value in vars(self).items() if not name.startswith("_")}, "bytes_live": self.bytes_live}


stats = Stats()
