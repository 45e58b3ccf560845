"""Loads every bad file of the corpus in a process that watches itself; prints what happened as JSON.

Watched: the kind of exception, every audit event while loading, the time and the memory of each load.
"""

from __future__ import annotations

import gc
import io
import json
import resource
import signal
import sys
import time
import tracemalloc
from typing import Any

import serialization_corpus as corpus

import rushlight as rl
from rushlight.serialization import CheckpointError

QUIET = (
    "builtins.id",
    "sys._getframe",
    "object.__getattr__",
    "object.__setattr__",
    "array.__new__",
    "sys.unraisablehook",
    "gc.",
)
SLACK = 64 << 20


class Hang(BaseException):
    pass


def alarm(*_: Any) -> None:
    raise Hang


class Watch:
    """Counts outcomes; an audit hook cannot be removed, so it is switched on and off."""

    def __init__(self) -> None:
        self.on = False
        self.events: list[str] = []
        self.report: dict[str, Any] = {"cases": 0, "errors": 0, "loaded": 0, "wrong": [], "events": [], "slowest": []}
        self.good = corpus.saved(corpus.state())
        sys.addaudithook(self.hook)
        signal.signal(signal.SIGALRM, alarm)

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.on and not event.startswith(QUIET):
            self.events.append(f"{event} {args!r:.100}")

    def load(self, data: bytes) -> Any:
        file = io.BytesIO(data)
        signal.setitimer(signal.ITIMER_REAL, 20)
        self.on = True
        try:
            return rl.load(file)
        finally:
            self.on = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def case(self, name: str, data: bytes, must_fail: bool) -> None:
        report = self.report
        report["cases"] += 1
        start = time.process_time()
        try:
            found = self.load(data)
            report["loaded"] += 1
            if must_fail:
                report["wrong"].append(f"{name}: loaded")
            elif name.startswith(("zip", "directory")) and corpus.saved(found) != self.good:
                report["wrong"].append(f"{name}: loaded as something else")
        except CheckpointError as e:
            report["errors"] += 1
            if "File '<BytesIO>'" not in str(e) or len(str(e)) > 5000:
                report["wrong"].append(f"{name}: the file is not named, or too long: {e!s:.200}")
        except BaseException as e:
            report["wrong"].append(f"{name}: {type(e).__name__}: {e!s:.200}")
        took = time.process_time() - start
        report["slowest"] = sorted([*report["slowest"], (round(took, 2), name)])[-6:]
        if self.events:
            report["events"].append(f"{name}: {self.events[:3]}")
            self.events.clear()

    def memory(self, name: str, data: bytes) -> None:
        """Peak of one load, exactly, by tracemalloc."""
        gc.collect()
        tracemalloc.start()
        try:
            self.load(data)
        except CheckpointError:
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        if peak > 2 * len(data) + SLACK:
            self.report["wrong"].append(f"{name}: {peak >> 20} MB for a file of {len(data) >> 20} MB")
        self.report["peak"] = max(self.report.get("peak", 0), peak - 2 * len(data))


def main() -> None:
    good = corpus.saved(corpus.state())
    rl.load(io.BytesIO(good))
    watch = Watch()
    for bad in (good[:-1], b"x", corpus.legacy(b"\x80\x02cos\nsystem\n.")):  # what errors import, they import now
        try:
            rl.load(io.BytesIO(bad))
        except CheckpointError:
            pass
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    largest = 0
    groups = (corpus.dangerous, corpus.wrong_sizes, corpus.mutations, corpus.noise, corpus.bombs)
    for group in groups:
        for name, data, must_fail in group():
            largest = max(largest, len(data))
            watch.case(name, data, must_fail)
    watch.report["rss_growth"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    watch.report["largest"] = largest
    for name, data, _ in corpus.bombs():
        if sys.argv[1:] == ["--memory"] or "flood" in name or "collid" in name:
            watch.memory(name, data)
    # The watch itself must see what it watches for.
    watch.on = True
    open("/dev/null").close()
    watch.on = False
    watch.report["watching"] = bool(watch.events)
    print(json.dumps(watch.report))


if __name__ == "__main__":
    main()
