"""Matrix products: one interface, several implementations, and the rule which of them runs.

The rule is a table, made from measurement (`docs/design.md`), and depends on nothing but the instruction: implementations may
add up in other orders, so that a choice by a clock would let two runs of a program differ in their last bits.
``RUSHLIGHT_CONTRACT`` names implementations in another order (``generated``, ``onednn,numpy`` …); one that cannot run a
product leaves it to the next, and NumPy runs everything.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from rushlight.exec.cpu import gemm, products
from rushlight.exec.cpu.steps import PythonStep, Step
from rushlight.ir.program import Instr

New = Callable[[int], int]


def _onednn(instr: Instr, new_value: New, lasting: AbstractSet[int]) -> list[Step] | None:
    step = products.primitive_step(instr, new_value, lasting)
    return None if step is None else [step]


def _generated(instr: Instr, new_value: New, lasting: AbstractSet[int]) -> list[Step] | None:
    found = gemm.steps(instr, new_value, lasting)
    return None if found is None else list(found)


IMPLEMENTATIONS: dict[str, Callable[[Instr, New, AbstractSet[int]], list[Step] | None]] = {
    "generated": _generated,
    "onednn": _onednn,
    "numpy": lambda instr, new_value, lasting: [PythonStep(instr)],
}


def order() -> tuple[str, ...]:
    """The implementations in the order in which they are asked."""
    chosen = tuple(name.strip() for name in os.environ.get("RUSHLIGHT_CONTRACT", "").split(",") if name.strip())
    unknown = [name for name in chosen if name not in IMPLEMENTATIONS]
    if unknown:
        raise ValueError(f"RUSHLIGHT_CONTRACT names {', '.join(unknown)}; there are {', '.join(IMPLEMENTATIONS)}")
    return chosen or tuple(IMPLEMENTATIONS)


def steps(instr: Instr, new_value: New, lasting: AbstractSet[int]) -> list[Step] | None:
    """The steps of a matrix product, None for another instruction or where NumPy must run it."""
    if instr.op.name not in products.NAMES and instr.op.name not in products.RELU_OF:
        return None
    for name in order():
        found = IMPLEMENTATIONS[name](instr, new_value, lasting)
        if found is not None:
            return found
    return None
