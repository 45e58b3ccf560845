"""Sums of rows and of columns in the order that `exec.order` writes down, inside a generated kernel.

Rows: a round is a few vectors with a sum for each lane; rounds are added up in levels. What is left of a row goes through
memory: its groups are added to the first one of the sums, its last elements one by one.

Columns: vectors hold a sum for each column. Columns in whole rounds go through their rows in order; the last ones have four
sums each, in memory, for row mod 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from llvmlite import ir

from rushlight.exec import order
from rushlight.exec.cpu.accumulators import Accumulator
from rushlight.exec.cpu.cells import constant
from rushlight.exec.cpu.code import I32, I64
from rushlight.exec.cpu.kernel import Kernel, Statement
from rushlight.exec.cpu.scalars import FORMS

if TYPE_CHECKING:
    from rushlight.exec.cpu.emit import Writer


def ordered(kernel: Kernel, s: Statement) -> bool:
    """Whether a statement is a sum over one dimension of floating-point numbers."""
    return s.reduces and s.name == "sum" and FORMS[s.dtype][2] == "f" and kernel.mid == (kernel.mode == "col")


def width_of(statements: Iterable[Statement]) -> int:
    """The numbers of a group."""
    widths = {order.group(FORMS[s.dtype][3]) for s in statements}
    assert len(widths) == 1, "sums of one phase have groups of one size"
    return widths.pop()


class Carry:
    """Loops over rounds, with sums that are handed up a level after 16 rounds, and again after 16 times that.

    After the last round nothing is handed up, since all levels are added then: x + 0 + y is 0 + (y + x).
    """

    def __init__(self, w: Writer, sums: Iterable[list[list[Any]]], type_: Any):
        self.w, self.b, self.sums, self.type = w, w.b, list(sums), type_  # of each sum, its levels; of each level, its vectors

    def rounds(self, count: Any, body: Callable[[Any], None]) -> None:
        """body(round) for all of them."""
        w, b, level = self.w, self.b, constant(I64, order.LEVEL)

        def span(g: Any) -> None:
            after = b.add(g, constant(I64, 1))
            w.loop(b.mul(g, level), w.least(b.mul(after, level), count), 1, body)
            with b.if_then(b.icmp_signed("<", b.mul(after, level), count)):
                self._up(after, 1)
        w.loop(constant(I64, 0), b.udiv(b.add(count, constant(I64, order.LEVEL - 1)), level), 1, span)
        with b.if_then(b.icmp_signed(">", count, level)):
            for levels in self.sums:
                for high in levels[1:]:
                    for low, more in zip(levels[0], high):
                        b.store(b.fadd(b.load(low, typ=self.type), b.load(more, typ=self.type)), low)

    def _up(self, times: Any, level: int) -> None:
        b = self.b
        for levels in self.sums:
            for low, high in zip(levels[level - 1], levels[level]):
                b.store(b.fadd(b.load(high, typ=self.type), b.load(low, typ=self.type)), high)
                b.store(constant(self.type, 0), low)
        if level + 1 < order.LEVELS:
            with b.if_then(b.icmp_signed("==", b.and_(times, constant(I64, order.LEVEL ** level - 1)), constant(I64, 0))):
                self._up(times, level + 1)


class Rounds:
    """The sums of a phase over the rows of a unit; other reductions have an accumulator each (`plain`)."""

    def __init__(self, w: Writer, phase: int, plain: dict[int, Any]):
        self.w, self.b, self.phase, self.plain = w, w.b, phase, plain
        self.sums = {j: s for j, s in enumerate(w.k.body) if s.phase == phase and ordered(w.k, s)}
        self.width = width_of(self.sums.values())
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
        Carry(w, self.levels.values(), next(iter(zero.values())).type).rounds(self.rounds, self._round)
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
        groups = self._groups([b.load(place, typ=type_) for place in self.levels[j][0]])
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


class Columns:
    """The sums of all columns of a unit over one dimension; other reductions have an accumulator each."""

    def __init__(self, w: Writer):
        self.w, self.b = w, w.b
        self.sums = {j: s for j, s in enumerate(w.k.body) if ordered(w.k, s)}
        self.width = width_of(self.sums.values())
        self.types = {j: w.s.vector(s.dtype) for j, s in self.sums.items()}
        self.begin, self.end = w._bounds("mid")
        self.count = self.b.sub(self.end, self.begin)

    def run(self, finish: Callable[[dict[int, Any], Any, Any], None]) -> None:
        """finish(vectors of sums by statement, first column, mask) for all columns."""
        w, b = self.w, self.b
        zero, four, group, most = (constant(I64, n) for n in (0, order.GROUPS, self.width, order.GROUPS * self.width))
        whole = b.select(b.icmp_signed("<", w.size, group), four, most)
        inside = b.mul(b.udiv(w.size, whole), whole)
        lanes = constant(I64, w.lanes)

        def block(places: list[Any]) -> None:
            for at, found in zip(places, self._in_order(places, None)):
                finish(found, at, None)
        left = w.abreast(zero, inside, block)
        w.vectors(left, inside, lambda v, mask: finish(self._in_order([v], mask)[0], v, mask))

        def last(t: Any) -> None:
            v = b.add(inside, b.mul(t, lanes))
            mask = b.icmp_signed("<", w.iota, w.s.splat(b.sub(w.size, v)))
            finish(self._by_fours(v, mask), v, mask)
        w.loop(zero, b.udiv(b.add(b.sub(w.size, inside), constant(I64, w.lanes - 1)), lanes), 1, last)

    def _body(self, v: Any, mask: Any, row: Any, sums: dict[int, Any]) -> None:
        from rushlight.exec.cpu.emit import Body
        Body(self.w, 0, v, mask, [self.b.add(self.begin, row)], sums).run()

    def _in_order(self, places: list[Any], mask: Any) -> list[dict[int, Any]]:
        """The sums of vectors of columns, which go through the rows side by side."""
        w = self.w
        levels = {j: [[w.variable(t, constant(t, 0)) for _ in places] for _ in range(order.LEVELS)] for j, t in self.types.items()}
        sums = [{**w.accumulators(0), **{j: found[0][q] for j, found in levels.items()}} for q in range(len(places))]

        def row(r: Any) -> None:
            for v, mine in zip(places, sums):
                self._body(v, mask, r, mine)
        Carry(w, levels.values(), next(iter(self.types.values()))).rounds(self.count, row)
        return [self._values(mine) for mine in sums]

    def _by_fours(self, v: Any, mask: Any) -> dict[int, Any]:
        w, b = self.w, self.b
        plain = w.accumulators(0)
        four = constant(I64, order.GROUPS)
        rounds = b.udiv(self.count, four)
        rooms = {j: [self._room(t) for _ in range(order.LEVELS)] for j, t in self.types.items()}
        places = {j: [[self._place(room, self.types[j], constant(I64, g)) for g in range(order.GROUPS)] for room in found] for j, found in rooms.items()}

        def quarter(r: Any, g: Any) -> None:
            sums = {j: self._place(found[0], self.types[j], g) for j, found in rooms.items()}
            self._body(v, mask, b.add(b.mul(r, four), g), {**plain, **sums})
        Carry(w, places.values(), next(iter(self.types.values()))).rounds(
            rounds, lambda r: w.loop(constant(I64, 0), four, 1, lambda g: quarter(r, g)))
        first = {j: found[0][0] for j, found in places.items()}
        w.loop(b.mul(rounds, four), self.count, 1, lambda r: self._body(v, mask, r, {**plain, **first}))
        for j, found in places.items():
            for g in found[0][1:]:
                b.store(b.fadd(b.load(first[j], typ=self.types[j]), b.load(g, typ=self.types[j])), first[j])
        return self._values({**plain, **first})

    def _values(self, places: dict[int, Any]) -> dict[int, Any]:
        return {j: place.vector() if isinstance(place, Accumulator) else self.b.load(place, typ=self.types[j]) for j, place in places.items()}

    def _room(self, type_: Any) -> Any:
        """Memory for four vectors of sums, zero."""
        with self.b.goto_block(self.w.entry):
            self.b.position_at_start(self.w.entry)
            room = self.b.alloca(type_, order.GROUPS)
            room.align = 64
        for g in range(order.GROUPS):
            self.b.store(constant(type_, 0), self._place(room, type_, constant(I64, g)))
        return room

    def _place(self, room: Any, type_: Any, g: Any) -> Any:
        return self.b.gep(room, [g], source_etype=type_)
