"""Fusion: elementwise operations and reductions that share their loops become one group, which becomes one kernel."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from rushlight.exec import order
from rushlight.exec.cpu.cells import CELLS, COUNTING, EXPENSIVE, REDUCTIONS
from rushlight.exec.cpu.scalars import FORMS
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec, contiguous_strides

MOST = 48  # statements of a kernel
STREAMS = 12  # operands from memory, beyond which a group takes in nothing that it does not need
FEW = 1 << 14  # elements, up to which a kernel's start matters
CHUNK = 8192  # elements of a unit that was cut from a longer dimension
MOST_CHUNKS = 32  # of a reduction: what they leave is read again, by one thread
LEAST_UNITS = 64  # with fewer units than this, long dimensions are cut
SPECIAL = frozenset(("cast", "pick", "full")) | COUNTING
ELEMENTS = COUNTING | {"complex"}  # never one value for each row: what depends on an element's place, or is two in memory
NOT_BY_ROWS = COUNTING | EXPENSIVE


@dataclass(eq=False)
class Group:
    """Instructions over one domain. ``reduced`` are the dimensions that its reductions remove; ``levels`` says of each
    value computed here whether it has the whole domain (full) or one element per row (row), or is a complex number put together for
    others (joined).

    The order in which a reduction adds up follows from its own operand, never from what else is in the group: a program
    gives the same bits however it is cut into plans. ``merged`` are the reduced dimensions that run on evenly into the
    next one; ``cut`` says which dimension is cut into chunks, their length and number.
    """

    shape: tuple[int, ...]
    reduced: tuple[int, ...] | None = None
    mode: str = "map"
    merged: frozenset[int] = frozenset()
    cut: tuple[str, int, int] = ("none", 0, 1)
    instrs: list[Instr] = field(default_factory=list)
    levels: dict[int, str] = field(default_factory=dict)
    streams: set[int] = field(default_factory=set)  # what it reads from outside
    rows: list[int] | None = None  # the sizes of the kept dimensions, once it has rows

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
            return "row" if self.mode == "row" and self.cut[2] == 1 and self._whole(instr.operands[0]) \
                and self._row_operand(instr.operands[1]) else None
        out = instr.outs[0]
        if out.shape == self.shape and self._full_operands(instr.operands):
            return "full"
        if self.mode == "row" and instr.op.name not in ELEMENTS and self._is_row(out.shape) \
                and any([self.levels.get(o.value) == "row" for o in instr.operands]) \
                and all([self._row_operand(o) for o in instr.operands]):
            return "row"
        return None

    def add(self, instr: Instr, level: str) -> None:
        """Take an instruction in."""
        if level == "reduce":
            dims = tuple(instr.attrs[0])
            if self.reduced is None:
                self._reduce(dims, instr.operands[0])
        for o in instr.operands:
            if o.value not in self.levels:
                self.streams.add(o.value)
        for r in instr.results:
            self.levels[r] = "joined" if instr.op.name == "complex" else "full" if level == "full" else "row"
        self.instrs.append(instr)

    def draws_in(self, other: Group, alone: bool) -> bool:
        """Compute what another group makes, before all else, if that changes no order of a sum; whether this is done. ``alone``
        says that nobody else reads it."""
        reads = [(i, o) for i in self.instrs for o in i.operands if o.value in other.levels]
        if len(self.instrs) + len(other.instrs) > MOST or not all([o.spec.plain for _, o in reads]) or "joined" in other.levels.values():
            return False
        by_rows = all([self.levels[i.results[0]] == "row" and not is_reduction(i) and (i.op.name != "pick" or o is i.operands[1])
                       for i, o in reads])
        if other.mode != "map":
            joins = by_rows and all([other.levels[o.value] == "row" for _, o in reads]) and self._same_loops(other)
        elif self.mode == "row":
            joins = by_rows and self._one_for_each_row(other)
        else:
            joins = alone and self.mode == "map" and self.shape == other.shape and all([o.spec.shape == self.shape for _, o in reads])
        if joins:
            self.instrs[:0] = other.instrs
            self.levels.update(dict.fromkeys(other.levels, "row") if self.mode == "row" and other.mode == "map" else other.levels)
            self.streams = (self.streams - other.levels.keys()) | other.streams
        return joins

    def _same_loops(self, other: Group) -> bool:
        """Whether another group with reductions has the same loops, of so few elements that starting them costs more than running
        them."""
        sums = {order.group(i.outs[0].dtype.itemsize) for g in (self, other) for i in g.instrs if i.op.name == "sum"}
        return prod(self.shape) <= FEW and self.cut[2] == 1 and len(sums) < 2 and (self.shape, self.mode, self.reduced, self.merged) == (
            other.shape, other.mode, other.reduced, other.merged)

    def _one_for_each_row(self, other: Group) -> bool:
        """Whether an elementwise group makes one element for each row of this one, by operations that need no vectors: rows are
        gone through one by one, by what does not know its place among them."""
        return self.cut[2] == 1 and self._is_row(other.shape) and NOT_BY_ROWS.isdisjoint([i.op.name for i in other.instrs]) and all(
            [self._row_operand(o) for i in other.instrs for o in i.operands if o.value not in other.levels])

    def _reduce(self, dims: tuple[int, ...], operand: Operand) -> None:
        """Become a group with reductions over these dimensions, in the order that the operand asks for."""
        self.reduced = dims
        self.mode = mode_of(self.shape, dims)
        pairs = self._pairs(dims)
        self.merged = frozenset(a for a, b in pairs if operand.value in self.levels or _even(operand.spec, a, b))
        self.cut = cut(self.mode, self.shape, dims, self.merged)

    def _pairs(self, dims: tuple[int, ...]) -> list[tuple[int, int]]:
        """Reduced dimensions with no other dimension between them."""
        real = [d for d, n in enumerate(self.shape) if n != 1]
        return [(a, b) for a, b in zip(real, real[1:]) if a in dims and b in dims]

    def _accepts_reduction(self, instr: Instr) -> bool:
        operand, dims = instr.operands[0], tuple(instr.attrs[0])
        if operand.spec.shape != self.shape or self.levels.get(operand.value) == "row" or not self._full_operands((operand,)):
            return False  # a row's value itself has no place among the elements that a phase goes through
        if self.reduced is None:
            return not self.instrs or operand.value in self.levels and self._runs_evenly(dims)
        return self.reduced == dims and operand.value in self.levels and self.merged == {a for a, _ in self._pairs(dims)} \
            and all(order.group(i.outs[0].dtype.itemsize) == order.group(instr.outs[0].dtype.itemsize) for i in self.instrs if i.op.name == "sum")

    def _runs_evenly(self, dims: tuple[int, ...]) -> bool:
        """Whether all that the group reads steps evenly through neighbouring reduced dimensions."""
        pairs = self._pairs(dims)
        return all(_even(o.spec, a, b) for i in self.instrs for o in i.operands
                   if o.value not in self.levels and isinstance(o.spec, Spec) for a, b in pairs)

    def _full_operands(self, operands: tuple[Operand, ...]) -> bool:
        """Whether the operands are outside, or values of this group read element by element."""
        for o in operands:
            level = self.levels.get(o.value)
            if level is None:
                if self.merged and isinstance(o.spec, Spec) \
                        and not all(_even(o.spec, a, b) for a, b in self._pairs(self.reduced or ()) if a in self.merged):
                    return False
            elif level == "full":
                if not o.spec.plain or o.spec.shape != self.shape:
                    return False
            elif level == "joined" or self.mode != "row" or self.cut[2] != 1 or not self._broadcast_row(o.spec):
                return False
        return True

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
        if self.rows is None:
            self.rows = [self.shape[d] for d in self.kept if self.shape[d] != 1]
        return [n for n in shape if n != 1] == self.rows

    def _row_operand(self, o: Operand) -> bool:
        level = self.levels.get(o.value)
        if not isinstance(o.spec, Spec):
            return True
        if level in ("full", "joined") or not self._is_row(o.spec.shape):
            return False
        return level is None or self.cut[2] == 1 and o.spec.plain


def _even(s: Spec, a: int, b: int) -> bool:
    """Whether stepping through dimension a is stepping on through b."""
    return s.strides[a] == s.strides[b] * s.shape[b]


def cut(mode: str, shape: tuple[int, ...], dims: tuple[int, ...], merged: frozenset[int]) -> tuple[str, int, int]:
    """Which dimension of a reduction is cut into chunks, their length and number."""
    sizes = [1]  # of the reduced dimensions, those merged as one
    open_ended = False
    for d, n in enumerate(shape):
        if d in dims and n != 1:
            sizes = [*sizes[:-1], sizes[-1] * n] if open_ended else [*sizes, n]
            open_ended = d in merged
    kept = [n for d, n in enumerate(shape) if d not in dims and n != 1]
    vector = (kept or [1])[-1] if mode == "col" else sizes.pop()
    mid = sizes[1:]
    units = prod(kept) // (vector if mode == "col" else 1)
    if units >= LEAST_UNITS:
        return "none", 0, 1
    if not mid:
        return chunks("vector", vector, CHUNK) if mode == "row" else ("none", 0, 1)
    return chunks("mid", mid[0], max(1, CHUNK * 2 // max(1, prod(mid[1:]) * vector), -(-mid[0] // MOST_CHUNKS)))


def chunks(name: str, size: int, length: int) -> tuple[str, int, int]:
    """A dimension in pieces of a length."""
    count = -(-size // length)
    return (name, length, count) if count > 1 else ("none", 0, 1)


def mode_of(shape: tuple[int, ...], dims: tuple[int, ...]) -> str:
    """row when the innermost dimension goes away, else col."""
    inner = [d for d, n in enumerate(shape) if n != 1]
    return "row" if not inner or inner[-1] in dims else "col"


def is_reduction(instr: Instr) -> bool:
    return instr.op.kind == "reduce" and instr.op.name in REDUCTIONS


def generated(instr: Instr) -> bool:
    """Whether the code generator can write an instruction."""
    out = instr.outs[0]
    if len(instr.outs) != 1 or not isinstance(out, Spec) or not out.numel or out.dtype.name not in FORMS and instr.op.name != "complex":
        return False
    for o in instr.operands:
        s = o.spec
        if isinstance(s, Spec):
            if not s.numel or s.dtype.name not in FORMS:
                return False
        elif getattr(s, "kind", "float") == "complex":
            return False
    name = instr.op.name
    if name in SPECIAL:
        return True
    reduces = is_reduction(instr)
    kinds = REDUCTIONS[name] if reduces else CELLS[name][0] if name in CELLS else ""
    return FORMS[operand_dtype(instr)][2] in kinds and not (reduces and not instr.operands[0].spec.shape)


def operand_dtype(instr: Instr) -> str:
    """The dtype in which an instruction computes: that of its operands; for `where` that of its choices."""
    operands = instr.operands[1:] if instr.op.name == "where" else instr.operands
    for o in operands:
        if isinstance(o.spec, Spec):
            return str(o.spec.dtype.name)
    return str(instr.outs[0].dtype.name)


class Fusion:
    """Distributes the instructions of a program over groups, in an order that runs."""

    def __init__(self, program: Program) -> None:
        self.written = [generated(i) for i in program.instrs]
        self.summed = _summed(program, self.written)
        self.steps: list[Group | Instr] = []
        self.made: dict[int, int] = {}  # value -> position of the step that computes it
        self.readers: dict[int, list[int]] = {}  # value -> positions of the groups that read it, in the order of reading
        self.latest: dict[tuple[int, ...], int] = {}  # shape -> position of the last group that began with it
        self.closed: set[int] = set()  # positions of groups that have something to do with reductions

    def add(self, instr: Instr, written: bool) -> None:
        """The next instruction, and whether the code generator can write it."""
        at, made = -1, self.made
        for o in instr.operands:
            at = max(at, made.get(o.value, -1))
        if written:
            at = self._host(instr, at)
            for o in instr.operands:
                readers = self.readers.setdefault(o.value, [])
                if not readers or readers[-1] != at:
                    readers.append(at)
        else:
            self.steps.append(instr)
            at = len(self.steps) - 1
        for r in instr.results:
            made[r] = at

    def _host(self, instr: Instr, at: int) -> int:
        """The position of the group that takes an instruction in: the one that makes its last operand, else a later one that
        reads the same memory anyway, else a new one."""
        summed = instr.results[0] in self.summed
        host = self.steps[at] if at >= 0 else None
        level = host.accepts(instr) if isinstance(host, Group) else None
        position = at
        if level is None and instr.op.name == "pick":  # it adds nothing up: any order of the others suits it
            position, host, level = self._picking(instr, at)
        elif level is None and not summed:  # what reductions read stays away: its group must be free to take their order
            for position in self._beside(instr, at):
                host = self.steps[position]
                level = host.accepts(instr) if isinstance(host, Group) else None
                if level == "full":
                    break
                level = None
        if isinstance(host, Group) and level is not None:
            host.add(instr, level)
        else:
            position = len(self.steps)
            self.steps.append(_new_group(instr))
            self.latest[instr.outs[0].shape] = position
        if summed:
            self.closed.add(position)
        return position

    def _picking(self, instr: Instr, at: int) -> tuple[int, Group | None, str | None]:
        """The first group after `at` that reads the rows from which something is picked, and takes that in."""
        for position in self.readers.get(instr.operands[0].value, ()):
            host = self.steps[position]
            if position > at and isinstance(host, Group) and (level := host.accepts(instr)):
                return position, host, level
        return at, None, None

    def _beside(self, instr: Instr, at: int) -> list[int]:
        """Positions after `at` of groups that read an operand of the instruction or have its shape, the latest first, as far
        as they take in what does not depend on them: without reductions, and with not too many streams of memory."""
        found = {self.latest.get(instr.outs[0].shape, -1)}
        for o in instr.operands:
            if isinstance(o.spec, Spec) and o.spec.numel > 1:
                found.update(self.readers.get(o.value, ()))
        return [p for p in sorted(found, reverse=True)
                if p > at and p not in self.closed and len(self._group(p).streams) < STREAMS]

    def _group(self, position: int) -> Group:
        group = self.steps[position]
        assert isinstance(group, Group)
        return group


def fuse(program: Program) -> list[Group | Instr]:
    """The program as groups and single instructions, in an order that runs."""
    fusion = Fusion(program)
    for instr, written in zip(program.instrs, fusion.written):
        fusion.add(instr, written)
    return _drawn_in(fusion.steps, set(program.outputs))


def _drawn_in(steps: list[Group | Instr], outputs: set[int]) -> list[Group | Instr]:
    """Groups computed in the first one that reads them, where that is better: `Fusion.add` sees no readers ahead."""
    readers: dict[int, set[int]] = {}
    for at, step in enumerate(steps):
        for instr in step.instrs if isinstance(step, Group) else (step,):
            for o in instr.operands:
                readers.setdefault(o.value, set()).add(at)
    kept: list[Group | Instr | None] = list(steps)
    for at, step in enumerate(steps):
        if not isinstance(step, Group) or not outputs.isdisjoint(step.levels):
            continue
        found = {p for v in step.levels for p in readers.get(v, ()) if p > at}  # the step itself, and what it drew in, read too
        host = steps[min(found)] if found else None
        if isinstance(host, Group) and host.draws_in(step, len(found) == 1):
            kept[at] = None
    return [step for step in kept if step is not None]


def _summed(program: Program, written: list[bool]) -> set[int]:
    """Values that reductions read, through elementwise operations as well, and what reductions make."""
    found: set[int] = set()
    for instr, may in zip(reversed(program.instrs), reversed(written)):
        if is_reduction(instr) or instr.op.name == "pick":
            found.update(instr.results)
            found.update([o.value for o in instr.operands])
        elif may and instr.results[0] in found:
            found.update([o.value for o in instr.operands])
    return found


def _new_group(instr: Instr) -> Group:
    shape = instr.operands[0].spec.shape if is_reduction(instr) or instr.op.name == "pick" else instr.outs[0].shape
    group = Group(shape)
    if instr.op.name == "pick":
        group.reduced, group.mode = (len(shape) - 1,), "row"  # never cut: `cut` stays as it is
    level = group.accepts(instr)
    assert level is not None, f"{instr.op.name} cannot start a group"
    group.add(instr, level)
    return group
