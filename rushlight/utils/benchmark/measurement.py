"""What a timing found: medians, spread, and how certain they are."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

MAX_SIGNIFICANT_FIGURES = 4
MIN_CONFIDENCE_INTERVAL = 25e-9  # s: finer than that no clock is
IQR_WARN, IQR_GROSS = 0.1, 0.25


@dataclasses.dataclass(init=True, repr=False, eq=True, frozen=True)
class TaskSpec:
    """What was measured."""

    stmt: str
    setup: str
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self) -> str:
        """The label (or the statement) with the sub-label."""
        text = (self.label if self.label is not None else self.stmt if "\n" not in self.stmt else
                f"stmt:\n{textwrap.indent(self.stmt, '  ')}")
        return f"{text}: {self.sub_label}" if self.sub_label else text


def select_unit(t: float) -> tuple[str, float]:
    """The unit in which a time reads well, and its seconds.

    >>> select_unit(0.002)
    ('ms', 0.001)
    """
    scale = min(0, max(-9, int(math.log10(t) // 3) * 3 if t > 0 else -9))
    return {-9: "ns", -6: "us", -3: "ms", 0: "s"}[scale], 10.0 ** scale


def unit_to_english(u: str) -> str:
    """The name of a unit."""
    return {"ns": "nanosecond", "us": "microsecond", "ms": "millisecond", "s": "second"}[u]


def trim_sigfig(x: float, n: int) -> float:
    """x with n significant figures.

    >>> trim_sigfig(1234.5, 2)
    1200.0
    """
    if x == 0:
        return 0.0
    scale = 10.0 ** (n - int(math.floor(math.log10(abs(x)))) - 1)
    return float(round(x * scale) / scale)


@dataclasses.dataclass(init=True, repr=False)
class Measurement:
    """Times of one statement: ``raw_times`` are of ``number_per_run`` executions each."""

    number_per_run: int
    raw_times: list[float]
    task_spec: TaskSpec
    metadata: dict[Any, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        fields = getattr(TaskSpec, "__dataclass_fields__", None)
        if name != "task_spec" and fields is not None and (name in fields or name == "title"):
            return getattr(self.task_spec, name)
        raise AttributeError(name)

    @property
    def times(self) -> list[float]:
        """Seconds of one execution, for each run."""
        return [t / self.number_per_run for t in self.raw_times]

    @property
    def median(self) -> float:
        """The median of the times."""
        return float(np.median(self.times))

    @property
    def mean(self) -> float:
        """The mean of the times."""
        return float(np.mean(self.times))

    @property
    def iqr(self) -> float:
        """The distance between the quartiles."""
        return float(np.percentile(self.times, 75) - np.percentile(self.times, 25))

    @property
    def significant_figures(self) -> int:
        """How many figures of the median mean something, from the spread (at most 4)."""
        n = len(self.times)
        if n < 2 or self.median == 0:
            return 1
        interval = max(1.645 * self.iqr / 1.349 / math.sqrt(n), MIN_CONFIDENCE_INTERVAL)
        relative = -math.log10(interval / self.median)
        return max(1, min(MAX_SIGNIFICANT_FIGURES, int(math.floor(relative))))

    @property
    def has_warnings(self) -> bool:
        """Whether the times scatter too much to be trusted."""
        return self.iqr / self.median > IQR_WARN if self.median else False

    @property
    def as_row_name(self) -> str:
        """The name of its row in a comparison."""
        return str(self.task_spec.sub_label or self.task_spec.stmt or "[Unknown]")

    def meets_confidence(self, threshold: float = IQR_WARN) -> bool:
        """Whether the quartiles are closer to each other than this part of the median."""
        return self.iqr / self.median < threshold

    def __repr__(self) -> str:
        unit, scale = select_unit(self.median)
        n = len(self.times)
        spec = self.task_spec
        head = [f"<{__name__}.Measurement object at {id(self):#x}>", spec.title]
        head += [f"  {spec.description}"] if spec.description else []
        head += [f"setup: {spec.setup}"] if spec.setup not in ("", "pass") else []
        one = f"  {trim_sigfig(self.median / scale, max(self.significant_figures, 3)):g} {unit}"
        if n == 1:
            body = [one]
        else:
            body = [f"  Median: {trim_sigfig(self.median / scale, self.significant_figures + 1):g} {unit}"]
            if n >= 4:
                low, high = np.percentile(self.times, [25, 75]) / scale
                body.append(f"  IQR:    {self.iqr / scale:.2f} {unit} ({low:.2f} to {high:.2f})")
        many, threads = "s" if n > 1 else "", "threads" if spec.num_threads > 1 else "thread"
        each = "per measurement," if n > 1 else ","
        runs = f"  {n} measurement{many}, {self.number_per_run} runs {each} {spec.num_threads} {threads}"
        warning = []
        if self.has_warnings:
            level = "Gross" if self.iqr / self.median > IQR_GROSS else "Notable"
            warning = [f"  WARNING: {level} spread: the quartiles are {self.iqr / self.median:.1%} "
                       "of the median apart; other work on the machine may disturb it."]
        return "\n".join([*head, *body, runs, *warning])

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """Replicates of one task joined, one Measurement per task."""
        groups: dict[TaskSpec, list[Measurement]] = defaultdict(list)
        for m in measurements:
            groups[m.task_spec].append(m)
        return [Measurement(1, [t for m in group for t in m.times], spec) for spec, group in groups.items()]
