"""Counters of what the lazy machinery did."""

from __future__ import annotations

import weakref


class Stats:
    """``nodes`` recorded and run, ``plans_built``, ``plans_reused``, ``bytes_live`` and ``bytes_peak`` of realized results."""

    def __init__(self) -> None:
        self.nodes = 0
        self.plans_built = 0
        self.plans_reused = 0
        self.bytes_live = 0
        self.bytes_peak = 0
        self._sizes: dict[int, tuple[object, int]] = {}
        self._forget = self._gone

    def track(self, buffer: object, size: int) -> None:
        """Counts `size` bytes until the buffer goes away."""
        live = self.bytes_live = self.bytes_live + size
        if live > self.bytes_peak:
            self.bytes_peak = live
        ref = weakref.ref(buffer, self._forget)
        self._sizes[id(ref)] = ref, size

    def _gone(self, ref: object) -> None:
        self.bytes_live -= self._sizes.pop(id(ref))[1]

    def as_dict(self) -> dict[str, int]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


stats = Stats()
