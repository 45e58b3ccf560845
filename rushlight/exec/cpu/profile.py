"""profile: the time of every kernel of the plans that run, with operations and bytes per second."""

from __future__ import annotations

import ctypes
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rushlight.exec.cpu.plan import Plan, PythonCall, Segment

active: profile | None = None


@dataclass(slots=True)
class Event:
    """One run of one kernel; times in nanoseconds."""

    title: str
    start: int
    duration: int
    flops: int
    bytes: int
    thread: int


class profile:  # noqa: N801
    """Time every kernel that runs in the block, in all threads.

    Kernels run one by one meanwhile, so that their sum is a little more than the time without. ``str(p)`` is a table with
    calls, time, share, GFLOP/s and GB/s; ``p.events`` has every run; ``p.export_chrome_trace(path)`` writes a file for
    chrome://tracing or https://ui.perfetto.dev. Plans that run on NumPy as a whole do not appear.

    >>> import rushlight as rl
    >>> with rl.profile() as p:
    ...     total = rl.rand(100_000).exp().sum().item()
    >>> any("exp" in event.title for event in p.events)
    True
    """

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __enter__(self) -> profile:
        global active
        if active is not None:
            raise RuntimeError("rushlight.profile() is running already; profiles do not nest")
        active = self
        return self

    def __exit__(self, *_: Any) -> None:
        global active
        active = None

    # --- recording ------------------------------------------------------------------------------------------------
    def segment(self, segment: Segment, plan: Plan) -> int:
        """Run the steps of a segment one by one."""
        from rushlight.exec.cpu import listing
        block, first, count = segment.block, segment.block[6], segment.block[7]
        try:
            for i, part in enumerate(segment.parts):
                block[6], block[7] = first + 2 * ctypes.sizeof(ctypes.c_int64) * i, 1
                steps = [plan.steps[at] for at in part]
                start = time.perf_counter_ns()
                code = int(segment.call(segment.address))
                self._add(" + ".join(map(listing.title, steps)), start, sum(map(listing.flops, steps)), sum(map(listing.traffic, steps)))
                if code:
                    return code
        finally:
            block[6], block[7] = first, count
        return 0

    def python(self, call: PythonCall, plan: Plan, arrays: list[Any], numbers: dict[int, Any]) -> None:
        """Run a NumPy step."""
        start = time.perf_counter_ns()
        call(plan, arrays, numbers)
        self._add(f"numpy {call.instr.op.name}", start, 0, 0)

    def _add(self, title: str, start: int, flops: int, size: int) -> None:
        self.events.append(Event(title, start, time.perf_counter_ns() - start, flops, size, threading.get_ident()))

    # --- showing --------------------------------------------------------------------------------------------------
    def rows(self) -> list[tuple[str, int, float, float, float, float]]:
        """(kernel, calls, milliseconds, share of the time, GFLOP/s, GB/s), the longest first."""
        found: dict[str, list[int]] = {}
        for e in self.events:
            sums = found.setdefault(e.title, [0, 0, 0, 0])
            for i, value in enumerate((1, e.duration, e.flops, e.bytes)):
                sums[i] += value
        total = sum(ns for _, ns, _, _ in found.values()) or 1
        rows = [(title, calls, ns / 1e6, ns / total, flops / max(ns, 1), size / max(ns, 1)) for title, (calls, ns, flops, size) in found.items()]
        return sorted(rows, key=lambda row: -row[2])

    def table(self, limit: int = 40) -> str:
        """The longest kernels as text."""
        lines = [f"{'ms':>10} {'share':>6} {'calls':>6} {'GFLOP/s':>8} {'GB/s':>7}  kernel"]
        rows = self.rows()
        for title, calls, ms, share, gflops, gbytes in rows[:limit]:
            rate, stream = (f"{v:.1f}" if v else "" for v in (gflops, gbytes))
            lines.append(f"{ms:10.3f} {share:6.1%} {calls:6} {rate:>8} {stream:>7}  {title if len(title) <= 100 else title[:97] + '...'}")
        if len(rows) > limit:
            lines.append(f"… and {len(rows) - limit} more")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the events in Chrome's trace format."""
        events = [{"name": e.title, "ph": "X", "ts": e.start / 1e3, "dur": e.duration / 1e3, "pid": os.getpid(), "tid": e.thread,
                   "args": {"flops": e.flops, "bytes": e.bytes}} for e in self.events]
        Path(path).write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))
