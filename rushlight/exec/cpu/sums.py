"""Sums of rows in the order that `exec.order` writes down, inside a generated kernel.

A round is a few vectors with a sum for each lane; rounds are added up in levels. What is left of a row goes through memory:
its groups are added to the first one of the sums, its last elements one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llvmlite import ir

from rushlight.exec import order
from rushlight.exec.cpu.cells import constant
from rushlight.exec.cpu.code import I32, I64
from rushlight.exec.cpu.kernel import Kernel, Statement
from rushlight.exec.cpu.scalars import FORMS

if TYPE_CHECKING:
    from rushlight.exec.cpu.emit import Writer


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
        self.rests = {j: self._room(zero[j].type) for j in self.sums}
        level = self.number(order.LEVEL)

        def span(g: Any) -> None:
            w.loop(b.mul(g, level), w.least(b.mul(b.add(g, self.number(1)), level), self.rounds), 1, self._round)
            with b.if_then(b.icmp_signed("<=", b.mul(b.add(g, self.number(1)), level), self.rounds)):
                self._carry(b.add(g, self.number(1)), 1)
        w.loop(self.number(0), b.udiv(b.add(self.rounds, self.number(order.LEVEL - 1)), level), 1, span)
        self.some_left = b.icmp_signed(">", self.tail, self.number(0))
        with b.if_then(self.some_left):
            start = b.add(self.begin, b.mul(self.rounds, self.number(self.block)))
            for j, place in self.rests.items():
                for q in self.vectors:
                    b.store(zero[j], self._element(place, zero[j].type, q * w.lanes))
            w.loop(self.number(0), b.udiv(b.add(self.tail, self.number(w.lanes - 1)), self.number(w.lanes)), 1, lambda t: self._rest(start, t))
        return {j: self._total(j) for j in self.sums}

    def _room(self, type_: Any) -> Any:
        """Memory for what makes no whole round."""
        with self.b.goto_block(self.w.entry):
            self.b.position_at_start(self.w.entry)
            place = self.b.alloca(type_, len(self.vectors))
            place.align = 64
        return place

    def _element(self, place: Any, type_: Any, at: Any) -> Any:
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
            with b.if_then(b.icmp_signed("==", b.and_(count, self.number(order.LEVEL ** level - 1)), self.number(0))):
                self._carry(count, level + 1)

    def _rest(self, start: Any, t: Any) -> None:
        """A vector of what makes no whole round."""
        from rushlight.exec.cpu.emit import Body
        w, b = self.w, self.b
        at = b.mul(t, self.number(w.lanes))
        v = b.add(start, at)
        mask = b.icmp_signed("<", w.iota, w.s.splat(b.sub(self.end, v)))
        rooms = {j: self._element(place, w.s.vector(self.sums[j].dtype), at) for j, place in self.rests.items()}
        Body(w, self.phase, v, mask, [], {**self.plain, **rooms}).run()

    def _total(self, j: int) -> Any:
        """Levels, groups and what is left over, added up."""
        w, b = self.w, self.b
        type_ = w.s.vector(self.sums[j].dtype)
        lowest = self.levels[j][0]
        with b.if_then(b.icmp_signed(">=", self.rounds, self.number(order.LEVEL))):
            for level in self.levels[j][1:]:
                for q in self.vectors:
                    b.store(b.fadd(b.load(lowest[q], typ=type_), b.load(level[q], typ=type_)), lowest[q])
        groups = self._groups([b.load(place, typ=type_) for place in lowest])
        first, left = w.variable(groups[0].type, groups[0]), w.variable(type_.element, constant(type_.element, 0))
        with b.if_then(self.some_left):
            self._add_rest(self.rests[j], type_, first, left)
        value = b.load(first, typ=groups[0].type)
        for g in groups[1:]:
            value = b.fadd(value, g)
        total = b.load(left, typ=type_.element)
        for lane in range(self.width):
            total = b.fadd(total, b.extract_element(value, ir.Constant(I32, lane)))
        return total

    def _groups(self, vectors: list[Any]) -> list[Any]:
        """The groups of a round, out of vectors that hold several or parts of one."""
        def picked(x: Any, y: Any, places: Iterable[int]) -> Any:
            places = list(places)
            return self.b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(places)), places))
        while vectors[0].type.count < self.width:
            vectors = [picked(x, y, range(2 * x.type.count)) for x, y in zip(vectors[::2], vectors[1::2])]
        return [picked(x, x, range(at, at + self.width)) for x in vectors for at in range(0, x.type.count, self.width)]

    def _add_rest(self, rest: Any, type_: Any, first: Any, left: Any) -> None:
        """Whole groups to the first one, then the last elements one by one; fewer than a group in rounds of four."""
        w, b = self.w, self.b
        group = ir.VectorType(type_.element, self.width)
        whole = b.udiv(self.tail, self.number(self.width))
        at = b.mul(whole, self.number(self.width))

        def add(i: Any) -> None:
            b.store(b.fadd(b.load(left, typ=type_.element), b.load(self._element(rest, type_, i), typ=type_.element)), left)
        w.loop(self.number(0), whole, 1, lambda g: b.store(b.fadd(b.load(first, typ=group), b.load(
            self._element(rest, type_, b.mul(g, self.number(self.width))), typ=group, align=4)), first))
        if self.width <= order.GROUPS:
            w.loop(at, self.tail, 1, add)
            return
        four = self.number(order.GROUPS)
        split = b.and_(self.short, b.icmp_signed(">=", self.tail, four))
        with b.if_else(split) as (rounds, plain):
            with rounds:
                add(self.number(0))
                w.loop(four, self.tail, 1, add)
                w.loop(self.number(1), four, 1, add)
            with plain:
                w.loop(at, self.tail, 1, add)
