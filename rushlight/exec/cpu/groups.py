"""Fusion: elementwise operations and reductions that share their loops become one group, which becomes one kernel."""

from __future__ import annotations

from dataclasses import dataclass, field

from rushlight.exec.cpu.cells import CELLS, REDUCTIONS
from rushlight.exec.cpu.scalars import FORMS
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec, contiguous_strides

MOST = 48  # statements of a kernel
SPECIAL = frozenset(("cast", "pick", "position"))


@dataclass(eq=False)
class Group:
    """Instructions over one domain. ``reduced`` are the dimensions that its reductions remove; ``levels`` says of each
    value computed here whether it has the whole domain (full) or one element per row (row)."""

    shape: tuple[int, ...]
    reduced: tuple[int, ...] | None = None
    mode: str = "map"
    instrs: list[Instr] = field(default_factory=list)
    levels: dict[int, str] = field(default_factory=dict)

    @property
    def kept(self) -> tuple[int, ...]:
        """The dimensions that no reduction removes."""
        return tuple(d for d in range(len(self.shape)) if d not in (self.reduced or ()))

    def accepts(self, instr: Instr) -> str | None:
        """The level at which an instruction can join, or None."""
        if len(self.instrs) >= MOST:
            return None
        if is_reduction(instr):
            return "reduce" if self._accepts_reduction(instr) else None
        if instr.op.name == "pick":
            return "row" if self.mode == "row" and self._whole(instr.operands[0]) and self._row_operand(instr.operands[1]) else None
        out = instr.outs[0]
        if out.shape == self.shape and all(self._full_operand(o) for o in instr.operands):
            return "full"
        if self.mode == "row" and self._is_row(out.shape) and any(self.levels.get(o.value) == "row" for o in instr.operands) \
                and all(self._row_operand(o) for o in instr.operands):
            return "row"
        return None

    def add(self, instr: Instr, level: str) -> None:
        """Take an instruction in."""
        if level == "reduce":
            dims = tuple(instr.attrs[0])
            if self.reduced is None:
                self.reduced = dims
                self.mode = mode_of(self.shape, dims)
        self.levels.update((r, "full" if level == "full" else "row") for r in instr.results)
        self.instrs.append(instr)

    def _accepts_reduction(self, instr: Instr) -> bool:
        operand, dims = instr.operands[0], tuple(instr.attrs[0])
        return operand.spec.shape == self.shape and (self.reduced is None or self.reduced == dims) and self._full_operand(operand)

    def _full_operand(self, o: Operand) -> bool:
        """Whether the operand is outside, or a value of this group read element by element."""
        level = self.levels.get(o.value)
        if level is None:
            return True
        if level == "full":
            return bool(o.spec.plain and o.spec.shape == self.shape)
        return self.mode == "row" and self._broadcast_row(o.spec)

    def _whole(self, o: Operand) -> bool:
        """Whether an operand outside the group has the group's domain."""
        return o.value not in self.levels and o.spec.shape == self.shape

    def _broadcast_row(self, s: Spec) -> bool:
        """Whether a view of a row value repeats it along the reduced dimensions."""
        if s.shape != self.shape or s.offset:
            return False
        kept = self.kept
        want = dict(zip(kept, contiguous_strides(tuple(self.shape[d] for d in kept))))
        return all(n == 1 or stride == want.get(d, 0) for d, (n, stride) in enumerate(zip(s.shape, s.strides)))

    def _is_row(self, shape: tuple[int, ...]) -> bool:
        return [n for n in shape if n != 1] == [self.shape[d] for d in self.kept if self.shape[d] != 1]

    def _row_operand(self, o: Operand) -> bool:
        level = self.levels.get(o.value)
        if not isinstance(o.spec, Spec):
            return True
        if level == "full" or not self._is_row(o.spec.shape):
            return False
        return level is None or o.spec.plain


def mode_of(shape: tuple[int, ...], dims: tuple[int, ...]) -> str:
    """row when the innermost dimension goes away, else col."""
    inner = [d for d, n in enumerate(shape) if n != 1]
    return "row" if not inner or inner[-1] in dims else "col"


def is_reduction(instr: Instr) -> bool:
    return instr.op.name in REDUCTIONS and instr.op.kind == "reduce"


def generated(instr: Instr) -> bool:
    """Whether the code generator can write an instruction."""
    specs = [o.spec for o in instr.operands if isinstance(o.spec, Spec)]
    if len(instr.outs) != 1 or not isinstance(instr.outs[0], Spec) or not instr.outs[0].numel or any(not s.numel for s in specs):
        return False
    if any(s.dtype.name not in FORMS for s in (*specs, instr.outs[0])):
        return False
    if any(not isinstance(o.spec, Spec) and getattr(o.spec, "kind", "float") == "complex" for o in instr.operands):
        return False
    name = instr.op.name
    if name in SPECIAL:
        return True
    kinds = REDUCTIONS[name] if is_reduction(instr) else CELLS[name][0] if name in CELLS else ""
    return FORMS[operand_dtype(instr)][2] in kinds and not (is_reduction(instr) and not instr.operands[0].spec.shape)


def operand_dtype(instr: Instr) -> str:
    """The dtype in which an instruction computes: that of its operands; for `where` that of its choices."""
    operands = instr.operands[1:] if instr.op.name == "where" else instr.operands
    for o in operands:
        if isinstance(o.spec, Spec):
            return str(o.spec.dtype.name)
    return str(instr.outs[0].dtype.name)


def fuse(program: Program) -> list[Group | Instr]:
    """The program as groups and single instructions, in an order that runs."""
    steps: list[Group | Instr] = []
    made: dict[int, int] = {}
    for instr in program.instrs:
        at = max((made.get(o.value, -1) for o in instr.operands), default=-1)
        if generated(instr):
            at = _place(steps, instr, at)
        else:
            steps.append(instr)
            at = len(steps) - 1
        made.update((r, at) for r in instr.results)
    return steps


def _place(steps: list[Group | Instr], instr: Instr, at: int) -> int:
    """Put an instruction into the group that makes its last operand, or into a new one; gives the position."""
    host = steps[at] if at >= 0 else None
    if isinstance(host, Group):
        level = host.accepts(instr)
        if level is not None:
            host.add(instr, level)
            return at
    shape = instr.operands[0].spec.shape if is_reduction(instr) or instr.op.name == "pick" else instr.outs[0].shape
    group = Group(shape)
    if instr.op.name == "pick":
        group.reduced, group.mode = (len(shape) - 1,), "row"
    level = group.accepts(instr)
    assert level is not None, f"{instr.op.name} cannot start a group"
    group.add(instr, level)
    steps.append(group)
    return len(steps) - 1
