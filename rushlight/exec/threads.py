"""How many threads kernels should use: what the machine, the affinity mask and the container allow."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


# whether kernels of libraries run in one thread, so that their results are the same for any number
single_library = False
_bound = [1 << 30]
_chosen: list[int] = []  # what the program asked for


def count() -> int:
    """The threads that kernels use: what the program set, else $OMP_NUM_THREADS, else what the machine allows."""
    if not _chosen:
        given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
        _chosen.append(int(given) if given.isdigit() and int(given) else allowed(affinity(), quota()))
    return min(_chosen[0], _bound[0])


def bound(number: int) -> None:
    """No more threads than the OpenMP runtime can give."""
    _bound[:] = [number]


def choose(number: int) -> None:
    """Use this many threads from the next plan on."""
    _chosen[:] = [number]


def affinity() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota(root: Path = CGROUP) -> float | None:
    """The processors that the container's limits allow (cgroup version 2 or 1), None without a limit."""
    try:
        most, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            most, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        except OSError:
            return None
    return None if most in ("max", "-1") else int(most) / int(period)


def allowed(processors: int, limit: float | None) -> int:
    """min(affinity, quota rounded down), at least one.

    >>> allowed(8, None), allowed(8, 2.5), allowed(8, 0.5)
    (8, 2, 1)
    """
    return processors if limit is None else max(1, min(processors, math.floor(limit)))


def why(chosen: int, processors: int, limit: float | None) -> str:
    """What decided the number of threads.

    >>> why(2, 8, 2.5), why(4, 4, None), why(3, 4, None)
    ('cgroup quota 2.5 of 8 processors', 'all 4 processors of the affinity mask', 'set by the program; 4 processors are allowed')
    """
    best = allowed(processors, limit)
    if chosen != best:
        return f"set by the program; {best} processors are allowed"
    if best < processors:
        return f"cgroup quota {limit:g} of {processors} processors"
    return f"all {processors} processors of the affinity mask" + (
        f", cgroup quota {limit:g}" if limit is not None else "")
