"""Sums of rows in the order that `exec.order` writes down, inside a generated kernel.

A round is a few vectors with a sum for each lane; rounds are added up in levels. What is left of a row goes through memory:
its groups are added to the first one of the sums, its last elements one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir

from rushlight.exec import order
from rushlight.exec.cpu.cells import constant
from rushlight.exec.cpu.code import I32, I64
from rushlight.exec.cpu.kernel import Kernel, Statement
from rushlight.exec.cpu.scalars import FORMS

if TYPE_CHECKING:
    from rushlight.exec.cpu.emit import Writer

SHORT = (0, 4, 5, 6, 1, 2, 3)  # the order of fewer elements than a group of eight has: its rounds are of four


def ordered(kernel: Kernel, s: Statement) -> bool:
    """Whether a statement is a sum of adjacent elements."""
    return s.reduces and s.name == "sum" and FORMS[s.dtype][2] == "f" and kernel.mode == "row" and not kernel.mid


class Rounds:
    """The sums of a phase over the rows of a unit; other reductions keep a vector each (`plain`)."""

    def __init__(self, w: Writer, phase: int, plain: dict[int, Any]):
        self.w, self.b, self.phase, self.plain = w, w.b, phase, plain
        self.sums = {j: s for j, s in enumerate(w.k.body) if s.phase == phase and ordered(w.k, s)}
        widths = {order.group(FORMS[s.dtype][3]) for s in self.sums.values()}
        assert len(widths) == 1, "sums of one phase have groups of one size"
        self.width = widths.pop()
        self.block = order.GROUPS * self.width
        self.vectors = range(self.block // w.lanes)
        self.begin, self.end = w._bounds("vector")
        size = self.b.sub(self.end, self.begin)
        self.rounds = self.b.udiv(size, self.number(self.block))
        self.tail = self.b.sub(size, self.b.mul(self.rounds, self.number(self.block)))
        self.short = self.b.icmp_signed("<", size, self.number(self.width))

    @staticmethod
    def number(value: int) -> Any:
        return constant(I64, value)

    def run(self) -> dict[int, Any]:
        """The sums of the row, by statement."""
        w, b = self.w, self.b
        zero = {j: constant(w.s.vector(s.dtype), 0) for j, s in self.sums.items()}
        self.levels = {j: [[w.variable(zero[j].type, zero[j]) for _ in self.vectors] for _ in range(order.LEVELS)] for j in self.sums}
        self.rests = {j: self._room(zero[j]) for j in self.sums}
        level = self.number(order.LEVEL)
        spans = b.udiv(b.add(self.rounds, self.number(order.LEVEL - 1)), level)

        def span(g: Any) -> None:
            first = b.mul(g, level)
            last = w.least(b.add(first, level), self.rounds)
            w.loop(first, last, 1, self._round)
            with b.if_then(b.icmp_signed("==", b.sub(last, first), level)):
                self._carry(b.add(g, self.number(1)), 1)
        w.loop(self.number(0), spans, 1, span)
        start = b.add(self.begin, b.mul(self.rounds, self.number(self.block)))
        w.loop(self.number(0), b.udiv(b.add(self.tail, self.number(w.lanes - 1)), self.number(w.lanes)), 1, lambda t: self._rest(start, t))
        return {j: self._total(j) for j in self.sums}

    def _room(self, zero: Any) -> Any:
        """Memory for what makes no whole round, zero."""
        w = self.w
        with self.b.goto_block(w.entry):
            self.b.position_at_start(w.entry)
            place = self.b.alloca(zero.type, len(self.vectors))
            place.align = 64
        for q in self.vectors:
            self.b.store(zero, self._lane(place, zero.type, q * w.lanes))
        return place

    def _lane(self, place: Any, type_: Any, at: Any) -> Any:
        """The address of an element of a room."""
        return self.b.gep(place, [self.number(at) if isinstance(at, int) else at], source_etype=type_.element)

    def _round(self, r: Any) -> None:
        from rushlight.exec.cpu.emit import Body
        first = self.b.add(self.begin, self.b.mul(r, self.number(self.block)))
        for q in self.vectors:
            sums = {**self.plain, **{j: levels[0][q] for j, levels in self.levels.items()}}
            Body(self.w, self.phase, self.b.add(first, self.number(q * self.w.lanes)), None, [], sums).run()

    def _carry(self, count: Any, level: int) -> None:
        """Add the sums of the level before to these, after every 16th time also to the next."""
        b = self.b
        for levels in self.levels.values():
            for low, high in zip(levels[level - 1], levels[level]):
                type_ = low.allocated_type
                b.store(b.fadd(b.load(high, typ=type_), b.load(low, typ=type_)), high)
                b.store(constant(type_, 0), low)
        if level + 1 < order.LEVELS:
            every = self.number(order.LEVEL ** level - 1)
            with b.if_then(b.icmp_signed("==", b.and_(count, every), self.number(0))):
                self._carry(count, level + 1)

    def _rest(self, start: Any, t: Any) -> None:
        """A vector of what makes no whole round."""
        from rushlight.exec.cpu.emit import Body
        w, b = self.w, self.b
        at = b.mul(t, self.number(w.lanes))
        v = b.add(start, at)
        mask = b.icmp_signed("<", w.iota, w.s.splat(b.sub(self.end, v)))
        rooms = {j: self._lane(place, w.s.vector(self.sums[j].dtype), at) for j, place in self.rests.items()}
        Body(w, self.phase, v, mask, [], {**self.plain, **rooms}).run()

    def _total(self, j: int) -> Any:
        """Levels, groups and what is left over, added up."""
        w, b, width = self.w, self.b, self.width
        type_ = w.s.vector(self.sums[j].dtype)
        group = ir.VectorType(type_.element, width)
        room, rest = self._room(constant(type_, 0)), self.rests[j]
        for q in self.vectors:
            value = b.load(self.levels[j][0][q], typ=type_)
            for level in self.levels[j][1:]:
                value = b.fadd(value, b.load(level[q], typ=type_))
            b.store(value, self._lane(room, type_, q * w.lanes))

        def part(place: Any, g: int) -> Any:
            return b.load(self._lane(place, type_, g * width), typ=group, align=4)
        sums, left = w.variable(group, part(room, 0)), w.variable(type_.element, constant(type_.element, 0))
        with b.if_then(b.icmp_signed(">", self.tail, self.number(0))):
            whole = b.udiv(self.tail, self.number(width))
            for g in range(order.GROUPS - 1):
                inside = b.icmp_signed("<", self.number(g), whole)
                b.store(b.fadd(b.load(sums, typ=group), b.select(inside, part(rest, g), constant(group, 0))), sums)
            self._one_by_one(b.load(self._lane(rest, type_, b.mul(whole, self.number(width))), typ=group, align=4), left)
        value = b.load(sums, typ=group)
        for g in range(1, order.GROUPS):
            value = b.fadd(value, part(room, g))
        total = b.load(left, typ=type_.element)
        for lane in range(width):
            total = b.fadd(total, b.extract_element(value, ir.Constant(I32, lane)))
        return total

    def _one_by_one(self, group: Any, left: Any) -> None:
        """What is left of a row after its last whole group; zeros beyond it change nothing."""
        b = self.b
        e = [b.extract_element(group, ir.Constant(I32, i)) for i in range(self.width - 1)]
        total = e[0]
        for i in range(1, self.width - 1):
            other = SHORT[i] if self.width == len(SHORT) + 1 else i
            total = b.fadd(total, e[i] if other == i else b.select(self.short, e[other], e[i]))
        b.store(b.fadd(total, constant(total.type, 0)), left)
