"""What a plan is made from: its steps, and what giving them addresses takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rushlight.exec.cpu.steps import Step
from rushlight.ir.program import Program


@dataclass(slots=True)
class Blueprint:
    """Steps in order, with the types and sizes (in bytes) of values and those values that are Python ``numbers``. Of the program's
    instructions only those on numbers count.

    ``arena`` says where in it values lie and how large it is, once that is decided; ``kernels`` are the addresses of the steps' code,
    where they are known already.
    """

    program: Program
    steps: list[Step]
    types: dict[int, Any]
    sizes: dict[int, int]
    numbers: set[int]
    arena: tuple[dict[int, int], int] | None = None
    kernels: list[int] | None = None
