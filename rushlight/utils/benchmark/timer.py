"""Timer: a statement run often enough to be timed."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.utils.benchmark.measurement import Measurement, TaskSpec


def timer() -> float:
    """The clock in seconds, after everything pending has run: lazily recorded work counts."""
    from rushlight.tensor.memory import realize_pending
    realize_pending()
    return timeit.default_timer()


class Timer:
    """Times ``stmt`` after ``setup``, in the namespace ``globals``, with ``num_threads`` threads.

    label, sub_label, description and env name rows and columns in `Compare`.
    Only language "python" is there (ValueError).

    >>> Timer("x + 1", "x = 2").timeit(100).number_per_run
    100
    """

    def __init__(self, stmt: str = "pass", setup: str = "pass", global_setup: str = "",
                 timer: Callable[[], float] = timer, globals: dict[str, Any] | None = None,
                 label: str | None = None, sub_label: str | None = None, description: str | None = None,
                 env: str | None = None, num_threads: int = 1, language: Any = "python"):
        if not isinstance(stmt, str):
            raise ValueError("Currently only a `str` stmt is supported.")
        if str(language).lower() not in ("python", "py", "language.python"):
            raise ValueError(f"Timer(language={language!r}): only Python statements can be timed")
        if global_setup:
            raise ValueError(f"global_setup is C++ only, got `{global_setup}`. "
                             "Most likely this code can simply be moved to `setup`.")
        if num_threads < 1:
            raise ValueError("num_threads must be at least 1")
        space = dict(globals or {})
        import rushlight
        space.setdefault("torch", rushlight)
        self._timer = timeit.Timer(stmt, setup, timer, globals=space)
        self._task_spec = TaskSpec(stmt, setup, "", label, sub_label, description, env, num_threads)

    def _time(self, number: int) -> float:
        from rushlight.tensor.settings import get_num_threads, set_num_threads
        before = get_num_threads()
        set_num_threads(self._task_spec.num_threads)
        try:
            return max(self._timer.timeit(number), 1e-9)
        finally:
            set_num_threads(before)

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """One run of ``number`` executions, after a short one to warm up."""
        self._time(max(number // 100, 2))
        return Measurement(number, [self._time(number)], self._task_spec)

    def repeat(self, repeat: int = -1, number: int = -1) -> None:
        """NotImplementedError: use blocked_autorange."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def autorange(self, callback: Callable[[int, float], Any] | None = None) -> None:
        """NotImplementedError: use blocked_autorange."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def _block(self, min_run_time: float) -> int:
        """How many executions take long enough for the clock not to matter."""
        overhead = float(np.median([max(timeit.Timer("pass").timeit(1), 0.0) for _ in range(5)]))
        number = 1
        while True:
            taken = self._time(number)
            if taken >= min_run_time / 1000 and overhead / taken <= 1e-4 or taken >= min_run_time:
                return number
            number *= 10

    def blocked_autorange(self, callback: Callable[[int, float], Any] | None = None,
                          min_run_time: float = 0.2) -> Measurement:
        """Runs of equal size until ``min_run_time`` seconds are measured; callback(number, seconds) after each."""
        number = self._block(min_run_time)
        times: list[float] = []
        while sum(times) < min_run_time:
            times.append(self._time(number))
            if callback is not None:
                callback(number, times[-1])
        return Measurement(number, times, self._task_spec)

    def adaptive_autorange(self, threshold: float = 0.1, *, min_run_time: float = 0.01, max_run_time: float = 10.0,
                           callback: Callable[[int, float], Any] | None = None) -> Measurement:
        """As blocked_autorange, until the quartiles are within ``threshold`` of the median,
        or ``max_run_time`` seconds have passed."""
        number = self._block(0.05)
        times: list[float] = []
        while sum(times) < max_run_time:
            times.append(self._time(number))
            if callback is not None:
                callback(number, times[-1])
            found = Measurement(number, times, self._task_spec)
            if len(times) > 3 and sum(times) > min_run_time and found.meets_confidence(threshold):
                break
        return Measurement(number, times, self._task_spec)
