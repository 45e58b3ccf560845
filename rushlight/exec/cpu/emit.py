"""LLVM IR for a `Kernel`: ``i64 kernel(i64* slots, i64 begin, i64 end, i64 thread)`` runs units begin … end-1; 0 means success."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.accumulators import Accumulator
from rushlight.exec.cpu.cells import CELLS, COUNTING, constant, draw
from rushlight.exec.cpu.code import I64, POINTER, Code
from rushlight.exec.cpu.kernel import JOINED, OUT_OF_RANGE, PAIRED, STRIDED, TWICE, Access, Kernel, Ref, Statement
from rushlight.exec.cpu.sums import Columns, Rounds, ordered

FREE = frozenset(("amax", "amin", "any", "all"))  # reductions that any order gives
FEW, SIDE_BY_SIDE = 12, 4  # statements of a phase whose reductions are kept in so many vectors
ABREAST = (8, 2)  # vectors of columns


def write(kernel: Kernel, name: str) -> str:
    """The module that holds one kernel under a name."""
    return Writer(kernel, name).text()


class Writer(Code):
    """Writes one kernel."""

    def __init__(self, kernel: Kernel, name: str):
        super().__init__(name, kernel.lanes)
        self.k = kernel

    # --- frame ----------------------------------------------------------------------------------------------------
    def text(self) -> str:
        self._load_slots()
        self.exits = self.function.append_basic_block("out_of_range")
        begin, end = self.function.args[1], self.function.args[2]
        last = self.b.sub(end, constant(I64, 1))
        # a map goes backwards: what the step before it has written last is still in the cache
        self.loop(begin, end, 1, self._unit if self.k.mode != "map" else lambda unit: self._unit(self.b.add(begin, self.b.sub(last, unit))))
        self.b.ret(constant(I64, 0))
        self.b.position_at_end(self.exits)
        self.b.ret(constant(I64, OUT_OF_RANGE))
        return str(self.module)

    def _load_slots(self) -> None:
        """Everything from the argument block, once."""
        k = self.k
        numbers = self.b.inttoptr(self.slot(), POINTER)
        self.outer = [self.slot() for _ in range(k.outer)]
        self.mid = [self.slot() for _ in range(k.mid)]
        self.size, self.chunk, self.chunks = self.slot(), self.slot(), self.slot()
        self.frames: list[dict[str, Any]] = []
        for a in k.accesses:
            frame: dict[str, Any] = {"base": self.b.inttoptr(self.slot(), POINTER)}
            if a.use == "scratch":
                frame["thread"] = self.slot()
            else:
                frame["outer"] = [self.slot() for _ in range(k.outer)]
                frame["chunk"] = self.slot()
                frame["mid"] = [self.slot() for _ in range(k.mid)] if a.level == "full" else []
            frame["step"] = self.slot() if a.step == STRIDED else constant(I64, 2 if a.step in (PAIRED, TWICE, JOINED) else a.step)
            self.frames.append(frame)
        self.numbers = []
        for i, kind in enumerate(k.numbers):
            type_ = ir.DoubleType() if kind == "float" else I64
            self.numbers.append(self.b.load(self.b.gep(numbers, [constant(I64, i)], source_etype=I64), typ=type_))
            self.numbers[-1] = (kind, self.numbers[-1])

    # --- units ----------------------------------------------------------------------------------------------------
    def _unit(self, unit: Any) -> None:
        k, b = self.k, self.b
        index, chunk = unit, constant(I64, 0)
        low, high = constant(I64, 0), self.size if k.chunk != "mid" else (self.mid[0] if k.mid else self.size)
        if k.chunk != "none":
            chunk, index = b.urem(unit, self.chunks), b.udiv(unit, self.chunks)
            low = b.mul(chunk, self.chunk)
            high = self.least(b.add(low, self.chunk), high)
        self.low, self.high = low, high
        places = []
        for d in reversed(range(k.outer)):
            places.append(index if d == 0 else b.urem(index, self.outer[d]))
            index = b.udiv(index, self.outer[d]) if d else index
        places.reverse()
        self.pointers = [self._base(a, f, places, chunk) for a, f in zip(k.accesses, self.frames)]
        self.rows: dict[int, Any] = {}  # statement -> scalar of this unit
        self.hoisted: dict[int, Any] = {}
        self._hoist()
        {"map": self._map, "row": self._rows_mode, "col": self._col}[k.mode]()

    def _base(self, a: Access, frame: dict[str, Any], places: list[Any], chunk: Any) -> Any:
        type_ = self.s.memory(a.dtype)
        if a.use == "scratch":
            return self.b.gep(frame["base"], [self.b.mul(frame["thread"], self.function.args[3])], source_etype=ir.IntType(8))
        offset = self.b.mul(chunk, frame["chunk"]) if self.k.chunk != "none" else constant(I64, 0)
        for i, stride in zip(places, frame["outer"]):
            offset = self.b.add(offset, self.b.mul(i, stride))
        return self.b.gep(frame["base"], [offset], source_etype=type_)

    def _hoist(self) -> None:
        """Operands that do not move with the vectors are read once per unit."""
        for i, a in enumerate(self.k.accesses):
            if a.use == "in" and (a.level == "row" or (a.level == "full" and a.step == 0 and not self.k.mid)):
                self.hoisted[i] = self.s.widen(self.b.load(self.pointers[i], typ=self.s.memory(a.dtype)), a.dtype)

    def _bounds(self, dimension: str) -> tuple[Any, Any]:
        """The range of a dimension, as far as this unit has it."""
        whole = self.size if dimension == "vector" else self.mid[0]
        return (self.low, self.high) if self.k.chunk == dimension else (constant(I64, 0), whole)

    # --- the three modes ------------------------------------------------------------------------------------------
    def _map(self) -> None:
        self.vectors(*self._bounds("vector"), lambda v, mask: Body(self, 0, v, mask, []).run())

    def _rows_mode(self) -> None:
        for phase in range(self.k.phases):
            self._row_statements(phase)
            sums = self.accumulators(phase)
            if any(s.phase == phase and ordered(self.k, s) for s in self.k.body):
                found = {**Rounds(self, phase, sums).run(), **self._folded([sums])}
            else:
                found = self._plain_phase(phase, sums)
            for j, value in found.items():
                self.rows[j] = self._finish(self.k.body[j], value)
        self._row_statements(self.k.phases)

    def _plain_phase(self, phase: int, sums: dict[int, Accumulator]) -> dict[int, Any]:
        """A phase without sums in order; its reductions. Those that any order gives have several vectors, so that one need not
        wait for the other."""
        several = self._several(phase, sums)

        def inner(mids: list[Any]) -> None:
            low, high = self._bounds("vector")
            if len(several) > 1:
                def block(v: Any) -> None:
                    for i, mine in enumerate(several):
                        Body(self, phase, self.b.add(v, constant(I64, i * self.lanes)), None, mids, mine).run()
                low = self.b.load(self.loop(low, high, SIDE_BY_SIDE * self.lanes, block), typ=I64)
            self.vectors(low, high, lambda v, mask: Body(self, phase, v, mask, mids, sums).run())
        self._nest(inner)
        return self._folded(several)

    def abreast(self, begin: Any, end: Any, body: Callable[[list[Any]], None]) -> Any:
        """body(places of several vectors of columns), which go through the rows together, so that memory is read in longer pieces;
        where the columns begin that are left."""
        def block(v: Any, count: int) -> None:
            body([self.b.add(v, constant(I64, q * self.lanes)) for q in range(count)])
        for count in ABREAST if len(self.k.body) <= FEW else ():
            begin = self.b.load(self.loop(begin, end, count * self.lanes, partial(block, count=count)), typ=I64)
        return begin

    def _several(self, phase: int, sums: dict[int, Accumulator]) -> list[dict[int, Accumulator]]:
        """The vectors of a phase's reductions, with more where any order gives their result."""
        statements = [s for s in self.k.body if s.phase == phase]
        free = sums and len(statements) <= FEW and all(s.name in FREE for s in statements if s.reduces)
        return [sums, *[self.accumulators(phase) for _ in range(SIDE_BY_SIDE - 1 if free else 0)]]

    def _folded(self, several: list[dict[int, Accumulator]]) -> dict[int, Any]:
        """Each reduction as a number."""
        self._join(several)
        return {j: accumulator.number() for j, accumulator in several[0].items()}

    def _join(self, several: list[dict[int, Accumulator]]) -> None:
        """Everything into the first ones."""
        for j, accumulator in several[0].items():
            accumulator.take([mine[j] for mine in several[1:]])

    def _col(self) -> None:
        def finish(values: dict[int, Any], v: Any, mask: Any) -> None:
            for j, value in values.items():
                s = self.k.body[j]
                for a in s.store:
                    self.store(a, self.s.round(value, s.dtype), self.b.gep(self.pointers[a], [v], source_etype=self.s.memory(self.k.accesses[a].dtype)), mask)

        def block(places: list[Any]) -> None:
            sums = [self.accumulators(0) for _ in places]

            def row(mids: list[Any]) -> None:
                for at, mine in zip(places, sums):
                    Body(self, 0, at, None, mids, mine).run()
            self._nest(row)
            for at, mine in zip(places, sums):
                finish({j: accumulator.vector() for j, accumulator in mine.items()}, at, None)

        def column(v: Any, mask: Any) -> None:
            several = self._several(0, self.accumulators(0))
            self._nest(*[lambda mids, sums=sums: Body(self, 0, v, mask, mids, sums).run() for sums in several])
            self._join(several)
            finish({j: accumulator.vector() for j, accumulator in several[0].items()}, v, mask)
        if any(ordered(self.k, s) for s in self.k.body):
            Columns(self).run(finish)
        else:
            self.vectors(self.abreast(constant(I64, 0), self.size, block), self.size, column)

    def _nest(self, body: Callable[[list[Any]], None], *more: Callable[[list[Any]], None]) -> None:
        """The loops over the middle dimensions around a body, or around several, which take turns in the innermost."""
        def level(d: int, places: list[Any]) -> None:
            if d == self.k.mid:
                body(places)
                return
            begin, end = self._bounds("mid") if d == 0 else (constant(I64, 0), self.mid[d])
            if more and d == self.k.mid - 1:
                def turn(i: Any) -> None:
                    for at, one in enumerate((body, *more)):
                        one([*places, self.b.add(i, constant(I64, at))])
                begin = self.b.load(self.loop(begin, end, 1 + len(more), turn), typ=I64)
            self.loop(begin, end, 1, lambda i: level(d + 1, [*places, i]))
        level(0, [])

    def accumulators(self, phase: int) -> dict[int, Accumulator]:
        """Vectors for the reductions of a phase that are no sums in order."""
        return {j: Accumulator(self, s) for j, s in enumerate(self.k.body) if s.reduces and s.phase == phase and not ordered(self.k, s)}

    def _row_statements(self, phase: int) -> None:
        """What is computed once per row before a phase."""
        for j, s in enumerate(self.k.body):
            if s.level == "row" and not s.reduces and s.phase == phase:
                self.rows[j] = self._finish(s, self._pick(s) if s.name == "pick" else self.compute(s, [self._row(r, s) for r in s.refs]))

    def _finish(self, s: Statement, value: Any) -> Any:
        value = self.s.round(value, s.dtype)
        for a in s.store:
            self.store(a, value, self.pointers[a], None)
        return value

    def _row(self, ref: Ref, s: Statement) -> Any:
        """A referenced value as the scalar of this row."""
        kind, i = ref
        if kind == "n":
            kind_of, number = self.numbers[i]
            return self.s.number(kind_of, number, self.operand_kind(s, ref))
        return self.hoisted[i] if kind == "a" else self.rows[i]

    def _pick(self, s: Statement) -> Any:
        """The element of the row at an index, which must be a position of the row."""
        access = s.refs[0][1]
        index = self._row(s.refs[1], s)
        a = self.k.accesses[access]
        good = self.function.append_basic_block("good")
        self.b.cbranch(self.b.icmp_unsigned("<", index, self.size), good, self.exits)
        self.b.position_at_end(good)
        at = self.b.mul(index, self.frames[access]["step"])
        return self.s.widen(self.b.load(self.b.gep(self.pointers[access], [at], source_etype=self.s.memory(a.dtype)),
                                        typ=self.s.memory(a.dtype)), a.dtype)

    # --- statements -----------------------------------------------------------------------------------------------
    def operand_kind(self, s: Statement, ref: Ref) -> str:
        """The dtype as which a number enters a statement."""
        return "int64" if s.name == "splitmix" else s.dtype if s.name == "where" else s.kind

    def compute(self, s: Statement, operands: list[Any]) -> Any:
        if s.name == "cast":
            return self.s.cast(operands[0], s.kind, s.dtype)
        self.s.kind = self.s.kind_of(s.kind)
        return CELLS[s.name][1](self.s, *operands)

    def store(self, access: int, value: Any, place: Any, mask: Any) -> None:
        """Write a scalar, a vector or a part of a vector."""
        a = self.k.accesses[access]
        self.s.store(self.s.narrow(value, a.dtype), place, mask)


class Body:
    """The statements of one phase at one position; operands are read when first needed."""

    def __init__(self, w: Writer, phase: int, v: Any, mask: Any, mids: list[Any], sums: dict[int, Any] | None = None):
        self.w, self.phase, self.v, self.mask, self.mids, self.sums = w, phase, v, mask, mids, sums or {}
        self.values: dict[Ref, Any] = {}

    def run(self) -> None:
        w = self.w
        stores = []  # written when all is read: a result may lie where an operand was
        for j, s in enumerate(w.k.body):
            if s.level == "full" and s.phase == self.phase and s.store:
                value = self.value(("t", j), s)
                stores += [(a, value) for a in s.store]
            elif j in self.sums:
                value = self.value(s.refs[0], s)
                if s.dtype == "bool":
                    value = w.s.cast(value, s.kind, "bool")  # any, all
                if self.mask is not None:
                    value = w.b.select(self.mask, value, w.s.neutral(s.name, s.dtype))
                place = self.sums[j]
                if isinstance(place, Accumulator):
                    place.add(value)
                else:
                    w.b.store(w.b.fadd(w.b.load(place, typ=w.s.vector(s.dtype)), value), place)
        for a, value in stores:
            access = w.k.accesses[a]
            if isinstance(value, tuple):
                self._store_complex(a, value)
            elif access.step == TWICE:
                w.s.store_twice(w.s.narrow(value, access.dtype), self._place(a), self.mask)
            elif access.step == STRIDED:
                w.s.scatter(w.s.narrow(value, access.dtype), self._place(a), access.dtype, w.frames[a]["step"], w.iota, self.mask)
            else:
                w.store(a, value, self._place(a), None if access.use == "scratch" else self.mask)

    def _store_complex(self, access: int, value: tuple[Any, Any]) -> None:
        """Real and imaginary parts, in turn."""
        w, a, place = self.w, self.w.k.accesses[access], self._place(access)
        if a.step != STRIDED:
            w.s.store_joined(*value, place, self.mask)
            return
        for at, part in enumerate(value):
            w.s.scatter(part, w.b.gep(place, [constant(I64, at)], source_etype=w.s.memory(a.dtype)), a.dtype, w.frames[access]["step"], w.iota, self.mask)

    def value(self, ref: Ref, s: Statement) -> Any:
        """A referenced value as a vector."""
        w, (kind, i) = self.w, ref
        if kind == "n":
            kind_of, number = w.numbers[i]
            return w.s.splat(w.s.number(kind_of, number, w.operand_kind(s, ref)))
        found = self.values.get(ref)
        if found is None:
            found = self.values[ref] = self._read(i) if kind == "a" else self._statement(i)
        return found

    def _statement(self, j: int) -> Any:
        w = self.w
        s = w.k.body[j]
        if s.level == "row":
            return w.s.splat(w.rows[j])
        if s.phase < self.phase and s.reload >= 0:
            return self._read(s.reload)
        if s.name in COUNTING:
            column = w.b.add(w.s.splat(self.v), w.iota)
            return w.b.trunc(column, w.s.vector("int32")) if s.name == "position" else draw(w.s, self.value(s.refs[0], s), column)
        return w.s.round(w.compute(s, [self.value(r, s) for r in s.refs]), s.dtype)

    def _place(self, access: int) -> Any:
        """The address of the first lane."""
        w, a, frame = self.w, self.w.k.accesses[access], self.w.frames[access]
        offset = w.b.mul(self.v, frame["step"])
        for i, stride in zip(self.mids, frame.get("mid", ())):
            offset = w.b.add(offset, w.b.mul(i, stride))
        return w.b.gep(w.pointers[access], [offset], source_etype=w.s.memory(a.dtype))

    def _read(self, access: int) -> Any:
        w, a = self.w, self.w.k.accesses[access]
        if access in w.hoisted:
            return w.s.splat(w.hoisted[access])
        place = self._place(access)
        if a.step == 0:
            return w.s.splat(w.s.widen(w.b.load(place, typ=w.s.memory(a.dtype)), a.dtype))
        if a.step == 1:  # scratch memory has room for whole vectors, and what was stored whole is read again without waiting
            return w.s.widen(w.s.load(place, a.dtype, None if a.use == "scratch" else self.mask), a.dtype)
        if a.step == PAIRED:
            return w.s.widen(w.s.load_paired(place, a.dtype, self.mask), a.dtype)
        return w.s.widen(w.s.gather(place, a.dtype, w.frames[access]["step"], w.iota, self.mask), a.dtype)
