"""Recorded events, their averages, and how they print."""

from __future__ import annotations

import gzip
import json
import os
from typing import Any, NamedTuple

SORTS = {"cpu_time": "cpu_time", "cpu_time_total": "cpu_time_total", "self_cpu_time_total": "self_cpu_time_total",
         "count": "count", "cpu_memory_usage": "cpu_memory_usage", "self_cpu_memory_usage": "cpu_memory_usage",
         "cuda_time": "device_time", "cuda_time_total": "device_time_total",
         "self_cuda_time_total": "self_device_time_total", "device_time": "device_time",
         "device_time_total": "device_time_total", "self_device_time_total": "self_device_time_total"}


class Interval(NamedTuple):
    """Start and end in microseconds."""

    start: float
    end: float

    def elapsed_us(self) -> float:
        """The difference."""
        return self.end - self.start


class Timed:
    """What an event and an average have in common. Times are in microseconds; there is no other device than the CPU."""

    cpu_time_total: float
    self_cpu_time_total: float
    count: int
    device_time_total = self_device_time_total = device_time = cuda_time_total = self_cuda_time_total = cuda_time = 0.0
    device_memory_usage = cuda_memory_usage = 0

    @property
    def cpu_time(self) -> float:
        """The mean time of a call."""
        return self.cpu_time_total / self.count if self.count else 0.0


class FunctionEvent(Timed):
    """One operation, or one `record_function` block."""

    def __init__(self, id: int, name: str, thread: int, start_us: float, end_us: float, input_shapes: Any = None,
                 memory: int = 0, stack: Any = ()):
        self.id, self.name, self.key, self.thread, self.count = id, name, name, thread, 1
        self.time_range = Interval(start_us, end_us)
        self.input_shapes, self.cpu_memory_usage, self.stack = input_shapes, memory, list(stack)
        self.cpu_children: list[FunctionEvent] = []
        self.cpu_parent: FunctionEvent | None = None
        self.is_async, self.is_remote = False, False

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        """The time from start to end."""
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self) -> float:  # type: ignore[override]
        """The time less that of the events inside."""
        return self.cpu_time_total - sum(c.cpu_time_total for c in self.cpu_children)

    def __repr__(self) -> str:
        return (f"<FunctionEvent id={self.id} name={self.name} cpu_time={format_time(self.cpu_time_total)} "
                f"thread={self.thread} input_shapes={self.input_shapes}>")


class FunctionEventAvg(Timed):
    """All events of one name (and shapes, where asked for)."""

    def __init__(self) -> None:
        self.key: str | None = None
        self.count, self.cpu_time_total, self.self_cpu_time_total, self.cpu_memory_usage = 0, 0.0, 0.0, 0
        self.input_shapes: Any = None
        self.stack: Any = None

    def add(self, e: Any) -> FunctionEventAvg:
        """Count another event, or another average."""
        if self.key is None:
            self.key, self.input_shapes, self.stack = e.key, e.input_shapes, e.stack
        self.cpu_time_total += e.cpu_time_total
        self.self_cpu_time_total += e.self_cpu_time_total
        self.cpu_memory_usage += e.cpu_memory_usage
        self.count += e.count
        return self

    def __iadd__(self, e: Any) -> FunctionEventAvg:
        return self.add(e)

    def __repr__(self) -> str:
        own, whole = format_time(self.self_cpu_time_total), format_time(self.cpu_time)
        return (f"<FunctionEventAvg key={self.key} self_cpu_time={own} cpu_time={whole} "
                f"count={self.count} input_shapes={self.input_shapes}>")


def format_time(us: float) -> str:
    """A time with its unit, as PyTorch writes it.

    >>> format_time(12.3), format_time(1234.5), format_time(2.5e6)
    ('12.300us', '1.234ms', '2.500s')
    """
    if us >= 1e6:
        return f"{us / 1e6:.3f}s"
    return f"{us / 1e3:.3f}ms" if us >= 1e3 else f"{us:.3f}us"


def format_memory(n: int) -> str:
    """Bytes with their unit."""
    for unit, size in (("Gb", 1 << 30), ("Mb", 1 << 20), ("Kb", 1 << 10)):
        if abs(n) >= size:
            return f"{n / size:.2f} {unit}"
    return f"{n} b"


class EventList(list):  # type: ignore[type-arg]
    """Events, or averages, with the ways to look at them."""

    def __init__(self, *args: Any, profile_memory: bool = False, with_flops: bool = False, use_device: Any = None):
        super().__init__(*args)
        self.profile_memory = profile_memory

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all events, each counted once."""
        return float(sum(e.self_cpu_time_total for e in self))

    def key_averages(self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:
        """One average per name, and per input shapes or innermost stack lines where asked for."""
        found: dict[Any, FunctionEventAvg] = {}
        for e in self:
            key = (e.key, str(e.input_shapes) if group_by_input_shapes else None, tuple(e.stack[:group_by_stack_n]))
            found.setdefault(key, FunctionEventAvg()).add(e)
        out = EventList(found.values(), profile_memory=self.profile_memory)
        for avg, key in zip(out, found):
            avg.input_shapes = avg.input_shapes if group_by_input_shapes else ""
            avg.stack = list(key[2])
        return out

    def total_average(self) -> FunctionEventAvg:
        """One average of everything."""
        total = FunctionEventAvg()
        for e in self:
            total.add(e)
            total.key = None
        total.key = "Total"
        return total

    def table(self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75,
              max_name_column_width: int = 55, max_shapes_column_width: int = 80, header: str | None = None,
              top_level_events_only: bool = False, time_unit: str | None = None) -> str:
        """The events as a table, largest first by ``sort_by`` (cpu_time_total, self_cpu_time_total, count …);
        AttributeError for unknown names."""
        rows = [e for e in self if not top_level_events_only or getattr(e, "cpu_parent", None) is None]
        if sort_by is not None:
            if sort_by not in SORTS:
                raise AttributeError(f"cannot sort by {sort_by!r}: it is one of {', '.join(SORTS)}")
            rows.sort(key=lambda e: getattr(e, SORTS[sort_by]), reverse=True)
        return _table(rows[:row_limit] if row_limit >= 0 else rows, self, header, max_name_column_width,
                      max_shapes_column_width, max_src_column_width)

    def __str__(self) -> str:
        return self.table()

    def export_chrome_trace(self, path: str) -> None:
        """The events as a file for chrome://tracing (gzipped where the name ends so)."""
        events = [{"name": e.name, "ph": "X", "cat": "cpu_op", "ts": e.time_range.start, "dur": e.cpu_time_total,
                   "pid": os.getpid(), "tid": e.thread,
                   "args": {"Input Dims": e.input_shapes}} for e in self]
        with (gzip.open(path, "wt") if str(path).endswith(".gz") else open(path, "w", encoding="utf8")) as f:
            json.dump({"schemaVersion": 1, "traceEvents": events}, f)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Lines "frame;frame;name microseconds", as flame graphs want them."""
        if metric not in ("self_cpu_time_total", "self_cuda_time_total", "self_device_time_total"):
            raise ValueError(f"metric should be one of: self_cpu_time_total, self_cuda_time_total, got {metric}")
        with open(path, "w", encoding="utf8") as f:
            for e in self:
                f.write(f"{';'.join([*reversed(e.stack), e.name])} {int(getattr(e, metric))}\n")


def _cut(text: str, width: int | None) -> str:
    return text if width is None or len(text) <= width else text[:width - 3] + "..."


def _table(rows: list[Any], whole: EventList, header: str | None, names: int, shapes: int, sources: int) -> str:
    total = whole.self_cpu_time_total

    def share(x: float) -> str:
        return f"{100 * x / total:.2f}%" if total else "NaN"
    columns: list[tuple[str, Any]] = [
        ("Name", lambda e: _cut(str(e.key), names)), ("Self CPU %", lambda e: share(e.self_cpu_time_total)),
        ("Self CPU", lambda e: format_time(e.self_cpu_time_total)), ("CPU total %", lambda e: share(e.cpu_time_total)),
        ("CPU total", lambda e: format_time(e.cpu_time_total)), ("CPU time avg", lambda e: format_time(e.cpu_time)),
    ]
    if whole.profile_memory:
        columns.append(("CPU Mem", lambda e: format_memory(e.cpu_memory_usage)))
    columns.append(("# of Calls", lambda e: str(e.count)))
    if any(e.input_shapes for e in rows):
        columns.append(("Input Shapes", lambda e: _cut(str(e.input_shapes), shapes)))
    if any(e.stack for e in rows):
        columns.append(("Source Location", lambda e: _cut(e.stack[0] if e.stack else "", sources)))
    cells = [[title for title, _ in columns], *([f(e) for _, f in columns] for e in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    line = "  ".join("-" * w for w in widths)
    body = ["  ".join(text.rjust(w) for text, w in zip(row, widths)) for row in cells]
    out = [header] if header else []
    return "\n".join([*out, line, body[0], line, *body[1:], line, f"Self CPU time total: {format_time(total)}", ""])
