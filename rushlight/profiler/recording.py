"""What runs while a profiler records: events of operations, and blocks that programs mark."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

from rushlight.exec import realize as realizing
from rushlight.ir.spec import Spec
from rushlight.profiler.events import FunctionEvent
from rushlight.tensor.memory import realize_pending
from rushlight.tensor.state import settings, state


class Recorder:
    """Collects events. While it is on, each operation is realized by itself, at once."""

    active: Recorder | None = None

    def __init__(self, shapes: bool = False, memory: bool = False, stacks: bool = False):
        self.shapes, self.memory, self.stacks = shapes, memory, stacks
        self.events: list[FunctionEvent] = []
        self.open = threading.local()

    def start(self) -> None:
        if Recorder.active is not None:
            raise RuntimeError("Profiler is already enabled on this thread; profilers do not nest")
        realize_pending()
        Recorder.active = self
        self._before = (settings.max_nodes, state.lines)
        settings.max_nodes = 1
        state.lines = state.lines or self.stacks
        realizing.observer = self.run

    def stop(self) -> None:
        realize_pending()
        Recorder.active = None
        settings.max_nodes, state.lines = self._before
        realizing.observer = None

    def run(self, nodes: list[Any], run: Callable[[Any], Any], given: Any) -> Any:
        """Run a plan, and note it under the name of its operation."""
        start = time.perf_counter_ns()
        results = run(given)
        end = time.perf_counter_ns()
        name = "aten::" + nodes[0].sig.op.name if len(nodes) == 1 else f"plan of {len(nodes)} operations"
        sig = nodes[0].sig
        shapes = [list(s.shape) if isinstance(s, Spec) else [] for s in sig.given] if self.shapes else None
        memory = sum(o.numel * o.dtype.itemsize for n in nodes for o in n.sig.outs) if self.memory else 0
        self.note(name, start, end, shapes, memory, [nodes[0].line] if self.stacks and nodes[0].line else ())
        return results

    def note(self, name: str, start: int, end: int, shapes: Any = None, memory: int = 0,
             stack: Any = ()) -> FunctionEvent:
        """An event that has ended; the block that is open around it becomes its parent."""
        e = FunctionEvent(len(self.events), name, threading.get_ident(), start / 1e3, end / 1e3, shapes, memory, stack)
        self.events.append(e)
        for child in self.blocks()[-1]:
            child.cpu_parent = child.cpu_parent or (e if child.time_range.start >= e.time_range.start else None)
        e.cpu_children = [c for c in self.blocks()[-1] if c.cpu_parent is e]
        self.blocks()[-1] = [c for c in self.blocks()[-1] if c.cpu_parent is None] + [e]
        return e

    def blocks(self) -> list[list[FunctionEvent]]:
        """For each open block of this thread, the events in it that have no parent yet."""
        if not hasattr(self.open, "blocks"):
            self.open.blocks = [[]]
        found: list[list[FunctionEvent]] = self.open.blocks
        return found


class record_function:
    """A block (or decorated function) with a name of its own in profiles. Without a profiler it costs next to nothing.

    >>> with record_function("my part"):
    ...     pass
    """

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args = name, args

    def __enter__(self) -> record_function:
        self.recorder = Recorder.active
        if self.recorder is not None:
            realize_pending()  # what was recorded before does not count
            self.recorder.blocks().append([])
            self.start = time.perf_counter_ns()
        return self

    def __exit__(self, *_: Any) -> None:
        recorder = self.recorder
        if recorder is not None:
            realize_pending()
            end = time.perf_counter_ns()
            inside = recorder.blocks().pop()
            recorder.blocks()[-1].extend(inside)
            recorder.note(self.name, self.start, end)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)
        return wrapper
