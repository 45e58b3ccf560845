"""Large values that are made of small ones (differences of all pairs) are computed by each reduction that needs them, not kept in memory."""

from __future__ import annotations

from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec

LARGE = 1 << 20  # elements from which on it matters
TIMES = 8  # how much larger than each operand
LONGEST = 16  # instructions that are repeated for one reader


def apart(program: Program) -> Program:
    """The program in which several reductions of such a value have a copy each of what computes it. The copies are part of their loops,
    where one value for all would have to lie in memory; forward and backward pass read the same one."""
    spread = _spread(program)
    if not spread:
        return program
    cones = {at: cone for at, instr in enumerate(program.instrs) if (cone := _cone(instr, spread)) and instr.results[0] not in spread}
    readers: dict[int, int] = {}
    for cone in cones.values():
        for value in cone:
            readers[value] = readers.get(value, 0) + 1
    chosen = {at: cone for at, cone in cones.items() if len(cone) <= LONGEST and any(readers[v] > 1 for v in cone) and _reduces(program.instrs[at])}
    if len(chosen) < 2:
        return program
    out = Program(program.inputs, [], program.outputs, program.donated, program.values)
    for at, instr in enumerate(program.instrs):
        names: dict[int, int] = {}
        for value in chosen.get(at, ()):
            made = spread[value]
            names[value] = out.new()
            out.instrs.append(Instr(made.op, _renamed(made.operands, names), made.attrs, (names[value],), made.outs, made.line))
        out.instrs.append(Instr(instr.op, _renamed(instr.operands, names), instr.attrs, instr.results, instr.outs, instr.line))
    return out


def _reduces(instr: Instr) -> bool:
    return instr.op.kind == "reduce" and len(instr.results) == 1


def _spread(program: Program) -> dict[int, Instr]:
    """The large values that elementwise operations make of small ones, directly or by several steps."""
    size = {i: s.numel for i, s in enumerate(program.inputs) if isinstance(s, Spec)}
    found: dict[int, Instr] = {}
    for instr in program.instrs:
        out = instr.outs[0]
        size.update({r: s.numel for r, s in zip(instr.results, instr.outs) if isinstance(s, Spec)})
        if instr.op.kind != "map" or len(instr.results) > 1 or not isinstance(out, Spec) or out.numel < LARGE or instr.results[0] in program.outputs:
            continue
        if all(_small(o, out, size) or o.value in found and o.spec.plain and o.spec.shape == out.shape for o in instr.operands):
            found[instr.results[0]] = instr
    return found


def _small(o: Operand, out: Spec, size: dict[int, int]) -> bool:
    return not isinstance(o.spec, Spec) or size[o.value] * TIMES <= out.numel


def _cone(instr: Instr, spread: dict[int, Instr]) -> list[int]:
    """The values that an instruction needs of these, in the order of their making."""
    needed: set[int] = set()
    wanted = [o.value for o in instr.operands if o.value in spread and o.spec.plain and o.spec.numel == spread[o.value].outs[0].numel]
    while wanted:
        value = wanted.pop()
        if value not in needed:
            needed.add(value)
            wanted += [o.value for o in spread[value].operands if o.value in spread]
    return [value for value in spread if value in needed]


def _renamed(operands: tuple[Operand, ...], names: dict[int, int]) -> tuple[Operand, ...]:
    return tuple([Operand(names.get(o.value, o.value), o.spec) for o in operands]) if names else operands
