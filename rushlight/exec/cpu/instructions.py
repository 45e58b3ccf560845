"""Appending instructions to a program."""

from __future__ import annotations

from typing import Any

from rushlight.ir.graph import SCALARS
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import spec
from rushlight.ops.table import TABLE, Op


class Writer:
    """Appends instructions to a program by name."""

    def __init__(self, program: Program, line: str | None):
        self.p = program
        self.line = line

    def __call__(self, op: str | Op, *operands: Any, attrs: tuple[Any, ...] = (), out: int | None = None) -> Operand:
        """The result of one more operation, which is the value `out` or a new one."""
        row = TABLE[op] if isinstance(op, str) else op
        shapes = row.shape(*[o.spec for o in operands], *attrs)
        made = spec(shapes[0][0], shapes[0][1])
        result = self.p.new() if out is None else out
        self.p.instrs.append(Instr(row, operands, attrs, (result,), (made,), self.line))
        return Operand(result, made)

    def number(self, value: float) -> Operand:
        """A Python number."""
        result = self.p.new()
        kind = SCALARS[type(value)]
        self.p.instrs.append(Instr(TABLE["constant"], (), (value,), (result,), (kind,), self.line))  # type: ignore[arg-type]
        return Operand(result, kind)

    def derived(self, op: Op, given: Operand, kind: type) -> Operand:
        """A Python number that follows from another one, by an operation that is a function of numbers."""
        result = self.p.new()
        self.p.instrs.append(Instr(op, (given,), (), (result,), (SCALARS[kind],), self.line))  # type: ignore[arg-type]
        return Operand(result, SCALARS[kind])
