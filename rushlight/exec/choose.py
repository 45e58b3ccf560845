"""Which executor runs a plan.

The choice depends on the plan alone, never on how often it ran or in which process: so a program that is stopped and
resumed computes the same bits. Small plans run on NumPy at once, without waiting for a compiler; all others natively.

``RUSHLIGHT_EXEC=numpy`` runs everything on NumPy, ``RUSHLIGHT_TIER=1`` compiles everything.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

from rushlight.exec.numpy import executor as numpy_executor
from rushlight.ir.program import Program
from rushlight.ir.spec import Spec
from rushlight.passes import pipeline

Run = Callable[[list[Any]], "tuple[Any, ...]"]
MANY = 16  # operations, from which on a plan is compiled
LARGE = 1 << 14  # elements computed, likewise


def compile_program(program: Program) -> Run:
    """The program as a function from inputs to flat results."""
    @cache
    def original() -> Run:
        return numpy_executor.compile_program(pipeline.lower(program, numpy_executor.claims))
    if native() and worth(program):
        from rushlight.exec.cpu import executor
        if executor.available():
            return executor.compile_program(program, original)
    return original()


def native() -> bool:
    """Whether the native executor may run plans."""
    return os.environ.get("RUSHLIGHT_EXEC", "numpy") != "numpy"


def worth(program: Program) -> bool:
    """Whether a plan is worth compiling."""
    if os.environ.get("RUSHLIGHT_TIER") == "1":
        return True
    if len(program.instrs) >= MANY:
        return True
    sizes = [s.numel for i in program.instrs for s in (*i.outs, *(o.spec for o in i.operands)) if isinstance(s, Spec)]
    return max(sizes, default=0) >= LARGE
