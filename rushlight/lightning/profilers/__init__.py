"""How long the parts of a run take (pytorch_lightning.profilers)."""

from __future__ import annotations

import cProfile
import io
import os
import pstats
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import log


class Profiler:
    """Derive from it: ``start`` and ``stop`` of a named action, ``summary`` at the end.

    Args:
        dirpath, filename: write the summary to dirpath/filename.txt instead of the log.
    """

    def __init__(self, dirpath: Any = None, filename: str | None = None) -> None:
        self.dirpath, self.filename = dirpath, filename

    def start(self, action_name: str) -> None:
        """An action begins."""

    def stop(self, action_name: str) -> None:
        """An action ends."""

    def summary(self) -> str:
        """What was measured."""
        return ""

    @contextmanager
    def profile(self, action_name: str) -> Iterator[str]:
        """An action within the block."""
        self.start(action_name)
        try:
            yield action_name
        finally:
            self.stop(action_name)

    def describe(self) -> None:
        """Tell or write the summary."""
        text = self.summary()
        if not text:
            return
        if self.filename is None:
            log.info(text)
            return
        folder = self.dirpath or os.getcwd()
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"{self.filename}.txt"), "w", encoding="utf8") as file:
            file.write(text)


class PassThroughProfiler(Profiler):
    """Measures nothing."""


class SimpleProfiler(Profiler):
    """Seconds of each hook; results that are not waited for cost nothing here, the optimizer's step waits for all.

    >>> profiler = SimpleProfiler()
    >>> with profiler.profile("a"):
    ...     pass
    >>> len(profiler.recorded_durations["a"])
    1
    """

    def __init__(self, dirpath: Any = None, filename: str | None = None, extended: bool = True) -> None:
        super().__init__(dirpath, filename)
        self.extended = extended
        self.current_actions: dict[str, float] = {}
        self.recorded_durations: dict[str, list[float]] = defaultdict(list)
        self.start_time = time.monotonic()

    def start(self, action_name: str) -> None:
        if action_name in self.current_actions:
            raise ValueError(f"Attempted to start {action_name} which has already started.")
        self.current_actions[action_name] = time.monotonic()

    def stop(self, action_name: str) -> None:
        if action_name not in self.current_actions:
            raise ValueError(f"Attempting to stop recording an action ({action_name}) which was never started.")
        self.recorded_durations[action_name].append(time.monotonic() - self.current_actions.pop(action_name))

    def summary(self) -> str:
        total = time.monotonic() - self.start_time
        rows = sorted(((name, sum(d), len(d)) for name, d in self.recorded_durations.items()), key=lambda row: -row[1])
        lines = [f"{'action':<70s}{'calls':>8s}{'mean s':>12s}{'total s':>12s}{'share':>8s}"]
        lines += [f"{name:<70s}{n:>8d}{seconds / n:>12.5f}{seconds:>12.4f}{100 * seconds / total:>7.1f}%"
                  for name, seconds, n in rows]
        return "\nProfile of the run\n" + "\n".join(lines)


class AdvancedProfiler(Profiler):
    """Python's cProfile of each hook; `line_count_restriction` lines of each."""

    def __init__(self, dirpath: Any = None, filename: str | None = None, line_count_restriction: float = 1.0,
                 dump_stats: bool = False) -> None:
        super().__init__(dirpath, filename)
        self.line_count_restriction, self.dump_stats = line_count_restriction, dump_stats
        self.profiled_actions: dict[str, cProfile.Profile] = {}
        self._running: list[str] = []

    def start(self, action_name: str) -> None:
        if self._running:
            self.profiled_actions[self._running[-1]].disable()
        self._running.append(action_name)
        self.profiled_actions.setdefault(action_name, cProfile.Profile()).enable()

    def stop(self, action_name: str) -> None:
        if not self._running or self._running[-1] != action_name:
            raise ValueError(f"Attempting to stop recording an action ({action_name}) which was never started.")
        self.profiled_actions[self._running.pop()].disable()
        if self._running:
            self.profiled_actions[self._running[-1]].enable()

    def summary(self) -> str:
        parts = []
        for name, profile in self.profiled_actions.items():
            text = io.StringIO()
            stats = pstats.Stats(profile, stream=text).strip_dirs().sort_stats("cumulative")
            stats.print_stats(self.line_count_restriction)
            if self.dump_stats:
                stats.dump_stats(os.path.join(self.dirpath or os.getcwd(), f"{name.replace(os.sep, '_')}.prof"))
            parts.append(f"Profile stats for: {name}\n{text.getvalue()}")
        return "\n".join(parts)


def profiler_of(value: Any) -> Profiler:
    """The profiler that an argument names; MisconfigurationException for
    other names, and for those that are not here."""
    if isinstance(value, Profiler):
        return value
    kinds: dict[str, Callable[[], Profiler]] = {"simple": SimpleProfiler, "advanced": AdvancedProfiler}
    name = str(value).lower()
    if name in kinds:
        return kinds[name]()
    if name in ("pytorch", "xla"):
        raise MisconfigurationException(f"Trainer(profiler={value!r}) is not provided; wrap `trainer.fit` in"
                                        " `torch.profiler.profile()`, or choose 'simple' or 'advanced'")
    raise MisconfigurationException("When passing string value for the `profiler` parameter of `Trainer`, it can"
                                    f" only be one of {sorted(kinds)}.")
