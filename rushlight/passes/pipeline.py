"""The ordered list of rewrites from a recorded program to what an executor compiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rushlight.ir.dtype import HALF, float32
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec, spec
from rushlight.ops.table import TABLE
from rushlight.passes.recent import Recent

Claims = Callable[[Instr], bool]  # whether an executor runs an instruction as it is
# Writes a coarse instruction with public operations: (op, operand types, attrs) -> a program. The tensor layer sets it.
trace: Callable[[Any, tuple[Any, ...], tuple[Any, ...]], Program] | None = None
setting: Callable[[], object] = lambda: None  # what it depends on beside that: the default dtype, likewise
MOST_KEPT = 20_000  # instructions of decompositions that are kept


def lower(program: Program, claims: Claims) -> Program:
    """Drop what nobody reads, then write coarse operations that the executor does not claim with primitives."""
    return drop_dead(decompose(drop_dead(program), claims))


def drop_dead(program: Program) -> Program:
    """Without the instructions whose results nobody reads."""
    needed = set(program.outputs)
    kept = []
    for instr in reversed(program.instrs):
        if not needed.isdisjoint(instr.results):
            needed.update([o.value for o in instr.operands])
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


@dataclass(slots=True)
class _Body:
    """A decomposition: a program whose inputs are the operands, and the type of each of its values."""

    program: Program
    types: dict[int, Any]


# Decompositions by what they follow from: an optimizer's update and the layers
# of a network are the same ones again in plans
# for other sizes of a batch.
_bodies: Recent[_Body] = Recent(MOST_KEPT)


def _body(instr: Instr, claims: Claims) -> _Body:
    """What an instruction stands for."""
    kinds = tuple([_wide(o.spec) for o in instr.operands])
    attrs = hashable(instr.attrs)
    if attrs is None:
        return _written_out(instr, kinds, claims)
    key = (instr.op, claims, kinds, attrs, setting())
    body = _bodies.get(key)
    if body is None:
        body = _written_out(instr, kinds, claims)
        _bodies.put(key, body, len(body.program.instrs))
    return body


def _written_out(instr: Instr, kinds: tuple[Any, ...], claims: Claims) -> _Body:
    assert instr.op.decompose is not None, f"the executor has no {instr.op.name} and the table no decomposition of it"
    assert trace is not None
    program = decompose(drop_dead(trace(instr.op, kinds, instr.attrs)), claims)
    types = dict(enumerate(program.inputs))
    for inner in program.instrs:
        types.update(zip(inner.results, inner.outs))
    return _Body(program, types)


def hashable(attrs: tuple[Any, ...]) -> Any:
    """Attributes as a key: 0.0, 0 and False are different numbers. None where one of them has no hash."""
    if not attrs:
        return attrs
    try:
        hash(attrs)
    except TypeError:
        return None
    return _told_apart(attrs)


def _told_apart(attrs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple([_told_apart(a) if a.__class__ is tuple else
                  (a.__class__, repr(a) if a.__class__ is float else a) for a in attrs])


def _splice(out: Program, instr: Instr, claims: Claims) -> None:
    """Put the decomposition of one instruction in its place. Half precision is
    computed in float32 and rounded once, at the end."""
    found = _body(instr, claims)
    body, types, line = found.program, found.types, instr.line
    names = {i: _read(out, o, body.inputs[i], line) for i, o in enumerate(instr.operands)}
    ends = {}
    narrow = []  # what ends the instruction: results rounded to the type that was promised
    for v, r, s in zip(body.outputs, instr.results, instr.outs):
        if types[v].dtype is s.dtype:
            ends[v] = r
        else:
            ends[v] = out.new()
            whole = Operand(ends[v], spec(types[v].dtype, s.shape))  # by the shape that was promised, as its readers will see it
            narrow.append(Instr(TABLE["cast"], (whole,), (s.dtype,), (r,), (s,), line))
    for inner in body.instrs:
        results = tuple([ends[r] if r in ends else out.new() for r in inner.results])
        names.update(zip(inner.results, results))
        operands = tuple([Operand(names[o.value], o.spec) for o in inner.operands])
        out.instrs.append(Instr(inner.op, operands, inner.attrs, results, inner.outs, line))
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
