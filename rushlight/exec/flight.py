"""Plans in flight: their last steps run in other threads while the program records its next operations.

At most one plan is in flight. Its results have memory already, but no cell shows it before its step is done: whoever wants a
value that is not there comes to `rushlight.exec.realize.realize_cell`, and before anything else is realized, or memory is
handed to the outside, the plan lands. So nobody sees a plan in flight, but for the time it does not take. What it reads is
safe for the reason for which pending operations are: outside writers have snapshots taken of what they could write to.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from rushlight.ir.graph import Buffer, Cell

Live = list[tuple[Cell, Any]]
Settle = Callable[[Live, "tuple[Buffer, ...]"], None]
Count = Callable[["tuple[Buffer, ...]", list[Any]], None]


class InFlight(Protocol):
    """What can be in flight. Whoever calls its methods holds the lock."""

    def land(self) -> None:
        """Wait for it. It is not in flight then."""

    def fetch(self, cell: Cell) -> None:
        """Wait for one value, if it makes it."""


class Job(Protocol):
    """A run of a plan that can be left and returned to."""

    results: tuple[Buffer, ...]
    ready: Sequence[int]  # for each result the number of steps after which it is there
    steps: int

    def run(self, until: int) -> None:
        """Run it until so many steps are done. What can fail does so in the first call, which then ends it."""

    def close(self) -> None:
        """Let go what it used."""


lock = threading.RLock()  # whoever starts a plan in flight, helps it or lands it
current: InFlight | None = None


class Flight:
    """A job in flight, with the cells that wait for its results."""

    __slots__ = ("job", "live", "outs", "given", "count", "settle", "flies", "shown")

    def __init__(self, job: Job, live: Live, outs: list[Cell], given: list[Any], count: Count, settle: Settle) -> None:
        self.job, self.live, self.outs, self.given, self.count, self.settle = job, live, outs, given, count, settle
        self.flies = False  # whether its first steps are done, and nothing can fail any more
        self.shown = 0  # results that are there after so many steps are shown

    def reach(self, until: int) -> None:
        """Run until so many steps are done, and show the results that are there then. What can be done before they are is done
        before: other threads are at work."""
        job, shown = self.job, self.shown
        due = [(x, result) for x, result, ready in zip(self.live, job.results, job.ready) if shown < ready <= until]
        last = until == job.steps  # never in the first call, which may fail
        if last:
            waiting = {id(cell) for cell, _ in self.live}
            for cell in self.outs:
                if id(cell) not in waiting:
                    cell.node = cell.before = None
        try:
            job.run(until)
        except Exception:
            self._end()
            raise
        if due:
            live, results = zip(*due)
            self.settle(list(live), results)
        self.shown = max(until, self.shown)  # now: an interrupt before this does all of it again
        if last:
            for cell, _ in self.live:
                cell.node = cell.before = None
            self._end()
        elif not self.flies:
            self.count(job.results, self.given)
            self.flies = True

    def land(self) -> None:
        """Wait for all of it, and show all results."""
        self.reach(self.job.steps)

    def fetch(self, cell: Cell) -> None:
        """Wait for one value, if it is one of the results."""
        for ready, (waiting, _) in zip(self.job.ready, self.live):
            if waiting is cell:
                self.reach(ready)
                return

    def abandon(self) -> None:
        """Let it end without showing its results."""
        self.job.run(self.job.steps)
        self._end()

    def _end(self) -> None:
        global current
        self.job.close()
        if current is self:  # a finalizer may have landed it in between, and something else be in flight
            current = None


def land() -> None:
    """Wait for the plan in flight, if there is one, and show all its results."""
    if current is not None:
        with lock:
            if current is not None:
                current.land()


def fetch(cell: Cell) -> None:
    """Wait for one value of the plan in flight, if it is one of its results."""
    with lock:
        if current is not None:
            current.fetch(cell)


def _before_fork() -> None:
    lock.acquire()
    land()


os.register_at_fork(before=_before_fork, after_in_parent=lock.release, after_in_child=lock.release)
