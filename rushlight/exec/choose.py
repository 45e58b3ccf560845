"""Which executor runs a plan.

Wherever the two executors may differ in a last bit, the plan runs natively: whatever its size, however
often it ran and in whichever process. So a program that is stopped and resumed, and whose plans are cut
elsewhere, computes the same bits. Small plans of exact operations (moves, comparisons, + - * /) run on
NumPy at once, without waiting for a compiler.

``RUSHLIGHT_EXEC=numpy`` runs everything on NumPy, ``RUSHLIGHT_TIER=1`` compiles everything.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from rushlight.exec import apart
from rushlight.exec.heap import keep_freed_memory
from rushlight.exec.numpy import executor as numpy_executor
from rushlight.ir.program import Instr, Program
from rushlight.ir.spec import Spec
from rushlight.passes import pipeline

Run = Callable[[list[Any]], "tuple[Any, ...]"]
MANY = 16  # operations, from which on a plan is compiled
LARGE = 1 << 14  # elements computed, likewise
# what is rounded otherwise by NumPy than by the native executor
ROUNDED_KINDS = ("contract", "coarse")
ROUNDED = frozenset(("sum prod exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan atan2 "
                     "sinh cosh tanh asinh acosh atanh sigmoid erf erfc pow fma fft ifft").split())
COMPLEX_ROUNDED = frozenset(("mul", "abs", "sgn"))  # likewise, of complex numbers


def compile_program(program: Program, whole: bool = False) -> Run:
    """The program as a function from inputs to flat results, one plan where the `whole` is asked for."""
    keep_freed_memory()
    if native() and worth(program):
        from rushlight.exec.cpu import executor
        if executor.available():
            return compiled(program, program.donated) if whole else apart.compile_program(program, compiled)
    return interpreted(program)


@contextmanager
def without_collector() -> Iterator[None]:
    """No garbage collection: much of what the making of a plan makes would be taken for something that lasts,
    and be gone through again and again."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def compiles() -> bool:
    """Whether programs become native plans."""
    if not native():
        return False
    from rushlight.exec.cpu import executor
    keep_freed_memory()
    return executor.available()


def compiled(program: Program, changing: frozenset[int]) -> Run:
    """The program as a native plan; `changing` are inputs that are others at each run."""
    from rushlight.exec.cpu import executor
    packed = program.packed()
    with without_collector():
        return executor.compile_program(program, cache(lambda: interpreted(Program.unpacked(packed))), changing)


def interpreted(program: Program) -> Run:
    """The program as NumPy calls."""
    lowered = pipeline.lower(program, numpy_executor.claims)
    lowered.verify()
    return numpy_executor.compile_program(lowered)


def native() -> bool:
    """Whether the native executor may run plans."""
    return os.environ.get("RUSHLIGHT_EXEC", "") != "numpy"


def worth(program: Program) -> bool:
    """Whether a plan is worth compiling."""
    if os.environ.get("RUSHLIGHT_TIER") == "1":
        return True
    if len(program.instrs) >= MANY or any(rounded(i) for i in program.instrs):
        return True
    sizes = [s.numel for i in program.instrs for s in (*i.outs, *(o.spec for o in i.operands)) if isinstance(s, Spec)]
    return max(sizes, default=0) >= LARGE


def rounded(instr: Instr) -> bool:
    """Whether the executors may disagree in the last bit of a result."""
    out = instr.outs[0]
    if not isinstance(out, Spec) or not (out.dtype.is_floating_point or out.dtype.is_complex):
        return False
    of_complex = instr.op.name in COMPLEX_ROUNDED and any([isinstance(o.spec, Spec) and o.spec.dtype.is_complex for o in instr.operands])
    return of_complex or instr.op.kind in ROUNDED_KINDS or instr.op.name in ROUNDED
