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

    def track(self, buffer: object, size: int) -> None:
        """Counts `size` bytes until the buffer goes away."""
        self.bytes_live += size
        self.bytes_peak = max(self.bytes_peak, self.bytes_live)
        weakref.finalize(buffer, self._drop, size).atexit = False

    def _drop(self, size: int) -> None:
        self.bytes_live -= size

    def as_dict(self) -> dict[str, int]:
        return dict(vars(self))


stats = Stats()
