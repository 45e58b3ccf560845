"""Elementary functions as LLVM IR: straight-line code for any number of lanes, with no tables and no calls.

`emit(b, "exp", x)` appends instructions that compute e^x for a float, a double or a vector of either. Accuracy and
special values are tested in tests/test_cpu_vector_math.py: float32 within 2 ulp (pow 4) everywhere, float64 within
4 ulp (pow 8), NaN, infinities, signed zeros and subnormal numbers as in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from rushlight.exec.cpu.vector_math import (
    error_function, exponential, inverse_trigonometric, logarithm, power, trigonometric)
from rushlight.exec.cpu.vector_math.lanes import Real

_TABLE: dict[str, Callable[..., Real]] = {
    **exponential.FUNCTIONS, **logarithm.FUNCTIONS, **trigonometric.FUNCTIONS, **inverse_trigonometric.FUNCTIONS,  # type: ignore[dict-item]
    **error_function.FUNCTIONS, **power.FUNCTIONS}
FUNCTIONS: frozenset[str] = frozenset(_TABLE)  # one for each operation
_TABLE["quick_tanh"] = exponential.quick_tanh  # of many numbers, and inside the kernels of recurrent layers


def emit(b: ir.IRBuilder, name: str, *xs: ir.Value) -> ir.Value:
    """Append the code of one function (atan2 takes y, x) and return its value, of the type of its arguments."""
    if name not in _TABLE:
        raise ValueError(f"no vector code for {name!r}; there is for {', '.join(sorted(FUNCTIONS))}")
    return _TABLE[name](*(Real(b, x) for x in xs)).v
