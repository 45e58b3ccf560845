"""The ordered list of rewrites from a recorded program to what an executor compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.ir.dtype import HALF, float32
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec, spec
from rushlight.ops.table import TABLE

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
    """Put the decomposition of one instruction in its place. Half precision is computed in float32 and rounded once, at
    the end."""
    assert instr.op.decompose is not None, f"the executor has no {instr.op.name} and the table no decomposition of it"
    assert trace is not None
    body = decompose(drop_dead(trace(instr.op, tuple(_wide(o.spec) for o in instr.operands), instr.attrs)), claims)
    names = {i: _read(out, o, body.inputs[i], instr.line) for i, o in enumerate(instr.operands)}
    types = dict(enumerate(body.inputs))
    for inner in body.instrs:
        types.update(zip(inner.results, inner.outs))
    ends = {}
    narrow = []  # what ends the instruction: results rounded to the type that was promised
    for v, r, s in zip(body.outputs, instr.results, instr.outs):
        if types[v].dtype is s.dtype:
            ends[v] = r
        else:
            ends[v] = out.new()
            narrow.append(Instr(TABLE["cast"], (Operand(ends[v], types[v]),), (s.dtype,), (r,), (s,), instr.line))
    for inner in body.instrs:
        for r in inner.results:
            names[r] = ends[r] if r in ends else out.new()
        operands = tuple(Operand(names[o.value], o.spec) for o in inner.operands)
        out.instrs.append(Instr(inner.op, operands, inner.attrs, tuple(names[r] for r in inner.results), inner.outs,
                                instr.line))
    out.instrs += narrow


def _read(out: Program, o: Operand, inside: Any, line: str | None) -> int:
    """The value that stands for an operand within a decomposition: a view of the operand there is a view of a plain
    copy of it."""
    if getattr(o.spec, "plain", True) and o.spec.dtype is inside.dtype:
        return o.value
    value = out.new()
    op, attrs = (TABLE["copy"], ()) if o.spec.dtype is inside.dtype else (TABLE["cast"], (inside.dtype,))
    out.instrs.append(Instr(op, (o,), attrs, (value,), (inside,), line))
    return value


def _wide(s: Any) -> Any:
    """The type in which an operand of a decomposition is computed."""
    return spec(float32, s.shape) if isinstance(s, Spec) and s.dtype in HALF else s
