"""How many threads NumPy's OpenBLAS uses, plan by plan.

A product of small matrices takes less time than waking a second thread and waiting for it, on a busy machine by a
factor of ten and more: there OpenBLAS' threads wait for a processor that something else is using. So a plan gets
the threads that its largest product is worth.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from rushlight.exec import threads
from rushlight.ir.program import Program
from rushlight.ir.spec import Spec

WORTH = 1e8  # operations, about a millisecond of one thread
NAMES = ("scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads", "openblas_{}_num_threads64_",
         "openblas_{}_num_threads")


@cache
def library() -> tuple[Callable[[int], None], int] | None:
    """OpenBLAS' function that sets its number of threads, and the number it came with;
    None where NumPy uses another BLAS."""
    for path in sorted(Path(np.__file__).parents[1].glob("numpy.libs/*openblas*")):
        with contextlib.suppress(OSError):
            loaded = ctypes.CDLL(str(path))
            for name in NAMES:
                put, get = (getattr(loaded, name.format(verb), None) for verb in ("set", "get"))
                if put is not None and get is not None:
                    return put, get()
    return None


def work(program: Program) -> float:
    """The operations of the largest matrix product or convolution of a plan."""
    most = 0.0
    for instr in program.instrs:
        if instr.op.kind == "contract" or instr.op.name.startswith("linear"):
            sizes = [x.numel for x in (*(o.spec for o in instr.operands), *instr.outs) if isinstance(x, Spec)]
            if len(sizes) > 2:
                most = max(most, _product(sizes[0], sizes[1], sizes[-1]))
    return most


def _product(x: int, y: int, out: int) -> float:
    """2·m·n·k from the sizes of operands and result: (m·k)(k·n)(m·n) is the square of m·n·k."""
    return 2 * math.sqrt(float(x) * y * out)


def worth(program: Program) -> int:
    """The number of threads for a plan, of those that the process may use."""
    return max(1, min(threads.count(), int(work(program) / WORTH)))


class Limit:
    """Runs a block with at most so many threads of OpenBLAS."""

    def __init__(self, count: int):
        found = library()
        self.count = 0  # nothing to do
        if found is not None and count < found[1]:
            self.put: Any
            self.put, self.usual = found
            self.count = count

    def __enter__(self) -> None:
        if self.count:
            self.put(self.count)

    def __exit__(self, *error: object) -> None:
        if self.count:
            self.put(self.usual)
