"""The ordered list of rewrites from a recorded program to what an executor compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.ir.program import Instr, Operand, Program

Claims = Callable[[Instr], bool]  # whether an executor runs an instruction as it is
# Writes a coarse instruction with public operations: (op, operand types, attrs) -> a program. The tensor layer sets it.
trace: Callable[[Any, tuple[Any, ...], tuple[Any, ...]], Program] | None = None


def lower(program: Program, claims: Claims) -> Program:
    """Drop what nobody reads, then write coarse operations that the executor does not claim with primitives."""
    program = drop_dead(program)
    program = decompose(program, claims)
    program = drop_dead(program)
    program.verify()
    return program


def drop_dead(program: Program) -> Program:
    """Without the instructions whose results nobody reads."""
    needed = set(program.outputs)
    kept = []
    for instr in reversed(program.instrs):
        if not needed.isdisjoint(instr.results):
            needed.update(o.value for o in instr.operands)
            kept.append(instr)
    return Program(program.inputs, kept[::-1], program.outputs, program.donated, program.values)


def decompose(program: Program, claims: Claims) -> Program:
    """Coarse operations written out, repeatedly, until the executor claims all that is left."""
    out = Program(program.inputs, [], program.outputs, program.donated, program.values)
    for instr in program.instrs:
        if claims(instr):
            out.instrs.append(instr)
        else:
            _splice(out, instr, claims)
    return out


def _splice(out: Program, instr: Instr, claims: Claims) -> None:
    """Put the decomposition of one instruction in its place."""
    assert instr.op.decompose is not None, f"the executor has no {instr.op.name} and the table no decomposition of it"
    assert trace is not None
    body = decompose(drop_dead(trace(instr.op, tuple(o.spec for o in instr.operands), instr.attrs)), claims)
    # A view of the operand within the body is a view of a plain copy of it: read strided operands through one copy.
    from rushlight.ops.movement import COPY
    names: dict[int, int] = {}
    for i, o in enumerate(instr.operands):
        if getattr(o.spec, "plain", True):
            names[i] = o.value
        else:
            names[i] = out.new()
            plain = body.inputs[i]
            out.instrs.append(Instr(COPY, (o,), (), (names[i],), (plain,), instr.line))
    ends = dict(zip(body.outputs, instr.results))
    for inner in body.instrs:
        for r in inner.results:
            names[r] = ends[r] if r in ends else out.new()
        operands = tuple(Operand(names[o.value], o.spec) for o in inner.operands)
        out.instrs.append(Instr(inner.op, operands, inner.attrs, tuple(names[r] for r in inner.results), inner.outs, instr.line))
