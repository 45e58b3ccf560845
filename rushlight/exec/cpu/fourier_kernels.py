"""The kernel of `fourier` in LLVM IR: transforms of as many signals side by side as a vector has lanes.

Signals are brought into scratch memory with real and imaginary parts apart, a vector for each point, go through the stages of
Stockham's algorithm (1966) from one half of that memory to the other, and are brought back. The inverse exchanges real and
imaginary parts on both ways.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.code import I64, KERNEL, POINTER
from rushlight.exec.cpu.tiles import I32, Form, Vectors, const

RADICES = (4, 2, 3, 5, 7)
SLOTS = ("numbers", "*x", "*out", "*scratch", "room", "*table", "stages", "n", "scale", "nb", "groups", "width",
         "x_n", "x_w", "x_a", "x_b", "out_n", "out_w", "out_a", "out_b")
Pair = tuple[Any, Any]  # real and imaginary part


def transform(dtype: str, inverse: bool, real: bool, ways: tuple[str, str], name: str) -> str:
    """out[a, b, :, w] = scale · the transform of x[a, b, :, w]; units are groups of as many w as there are lanes. The ways in and out:
    ``rows`` are signals that lie in one piece, ``columns`` such that lie side by side."""
    return _Transform(dtype, inverse, real, ways, name).text()


class _Transform(Vectors):
    def __init__(self, dtype: str, inverse: bool, real: bool, ways: tuple[str, str], name: str):
        super().__init__(ir.Function(ir.Module(name), KERNEL, name), Form(dtype))
        self.inverse, self.of_real, (self.way_in, self.way_out) = inverse, real, ways
        self.slots = self.named(SLOTS)
        self.stages = {r: _stage(self.module, self.form, r) for r in RADICES}

    def text(self) -> str:
        self.loop(self.function.args[1], self.function.args[2], 1, self._unit)
        self.b.ret(const(0))
        return str(self.module)

    def _unit(self, unit: Any) -> None:
        b, s = self.b, self.slots
        outer = b.udiv(unit, s["groups"])
        first = b.mul(b.urem(unit, s["groups"]), const(self.form.lanes))
        places = b.udiv(outer, s["nb"]), b.urem(outer, s["nb"]), first
        left = self.least(b.sub(s["width"], first), const(self.form.lanes))
        source, target = (self._begin(side, places) for side in ("x", "out"))
        scratch = self.at(s["scratch"], b.mul(self.function.args[3], s["room"]), ir.IntType(8))
        size = b.mul(s["n"], const(self.form.lanes))
        halves = [self.at(scratch, b.mul(size, const(i))) for i in range(4)]
        self._in(source, left, halves[0], halves[1])
        now = [self.variable(POINTER, half) for half in halves]

        def stage(i: Any) -> None:
            row = self.at(s["table"], b.mul(i, const(4)), I64)
            radix, count, step, factors = (self.word(row, const(j)) for j in range(4))
            args = [*[b.load(v, typ=POINTER) for v in now], count, step, b.inttoptr(factors, POINTER)]
            for r, function in self.stages.items():
                with b.if_then(b.icmp_signed("==", radix, const(r))):
                    b.call(function, args)
            for v, value in zip(now, (*args[2:4], *args[:2])):
                b.store(value, v)
        self.loop(const(0), s["stages"], 1, stage)
        self._out(b.load(now[0], typ=POINTER), b.load(now[1], typ=POINTER), target, left)

    def _begin(self, side: str, places: tuple[Any, Any, Any]) -> Any:
        """Where the first signal of a unit begins."""
        offset = const(0)
        for axis, place in zip("abw", places):
            offset = self.b.add(offset, self.b.mul(self.slots[f"{side}_{axis}"], place))
        return self.at(self.slots[side], offset, self._element(side))

    def _element(self, side: str) -> Any:
        return self.form.real if side == "x" and self.of_real else ir.ArrayType(self.form.real, 2)

    # --- in and out -----------------------------------------------------------------------------------------------
    def _in(self, source: Any, left: Any, re: Any, im: Any) -> None:
        if self.inverse:
            re, im = im, re
        if self.way_in == "rows":
            size, body = (self.form.lanes, self._reals_in) if self.of_real else (self.form.lanes // 2, self._rows_in)
            self._blocks(size, lambda i, count: body(source, left, re, im, i, count))
            return
        mask = self.first(left)

        def point(i: Any) -> None:
            at = self.at(source, self.b.mul(i, self.slots["x_n"]), self._element("x"))
            place = self.b.mul(i, const(self.form.lanes))
            for value, target in zip(self._read(at, mask), (re, im)):
                self.store(value, self.at(target, place))
        self.loop(const(0), self.slots["n"], 1, point)

    def _read(self, at: Any, mask: Any) -> Pair:
        """A point of each signal."""
        if self.way_in == "columns" and self.of_real:
            return self.load(at, mask), self.zero()
        if self.way_in == "columns":
            both = self._wide_mask(mask)
            pairs = self._wide("load", self._pairs_type(), at, ir.Constant(I32, self.form.size), both, ir.Constant(self._pairs_type(), None))
            return self.pick(pairs, pairs, self._every(0)), self.pick(pairs, pairs, self._every(1))
        if self.of_real:
            return self.s.gather(at, self.form.dtype, self.slots["x_w"], self.iota, mask), self.zero()
        step = self.b.mul(self.slots["x_w"], const(2))
        im = self.at(at, 1)
        return tuple([self.s.gather(p, self.form.dtype, step, self.iota, mask) for p in (at, im)])

    def _out(self, re: Any, im: Any, target: Any, left: Any) -> None:
        if self.inverse:
            re, im = im, re
        scale = self.b.bitcast(self.slots["scale"], ir.DoubleType())
        scale = self.splat(scale if self.form.dtype == "float64" else self.b.fptrunc(scale, self.form.real))
        if self.way_out == "rows":
            self._blocks(self.form.lanes // 2, lambda i, count: self._rows_out(re, im, scale, target, left, i, count))
            return
        mask = self.first(left)

        def point(i: Any) -> None:
            place = self.b.mul(i, const(self.form.lanes))
            value = [self.b.fmul(self.load(self.at(half, place)), scale) for half in (re, im)]
            self._write(value, self.at(target, self.b.mul(i, self.slots["out_n"]), self._element("out")), mask)
        self.loop(const(0), self.slots["n"], 1, point)

    def _write(self, value: list[Any], at: Any, mask: Any) -> None:
        """A point of each signal."""
        if self.way_out == "columns":
            self._wide("store", ir.VoidType(), self._joined(*value), at, ir.Constant(I32, self.form.size), self._wide_mask(mask))
            return
        step = self.b.mul(self.slots["out_w"], const(2))
        for part, place in zip(value, (at, self.at(at, 1))):
            self.s.scatter(part, place, self.form.dtype, step, self.iota, mask)

    # --- vectors of pairs -----------------------------------------------------------------------------------------
    def _pairs_type(self) -> Any:
        return ir.VectorType(self.form.real, 2 * self.form.lanes)

    def _every(self, first: int) -> list[int]:
        return [2 * i + first for i in range(self.form.lanes)]

    def _joined(self, re: Any, im: Any) -> Any:
        return self.pick(re, im, [lane for i in range(self.form.lanes) for lane in (i, i + self.form.lanes)])

    def _wide_mask(self, mask: Any) -> Any:
        return self.pick(mask, mask, [i // 2 for i in range(2 * self.form.lanes)])

    def _wide(self, what: str, result: Any, *args: Any) -> Any:
        name = f"llvm.masked.{what}.v{2 * self.form.lanes}f{8 * self.form.size}.p0"
        found = self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(result, [a.type for a in args]), name)
        return self.b.call(found, args)

    # --- signals in one piece: square blocks of pairs, taken for integers of 64 bits, are transposed ----------------
    def _blocks(self, size: int, body: Callable[[Any, Any], None]) -> None:
        """body(first point, how many) for so many points at a time."""
        def block(q: Any) -> None:
            i = self.b.mul(q, const(size))
            body(i, self.least(self.b.sub(self.slots["n"], i), const(size)))
        self.loop(const(0), self.b.udiv(self.b.add(self.slots["n"], const(size - 1)), const(size)), 1, block)

    def _row(self, base: Any, step: Any, j: int, left: Any, i: Any, type_: Any = I64) -> Any:
        """Where point i of signal j is; of the last signal, where there is no such."""
        b = self.b
        row = self.least(const(j), b.sub(left, const(1)))
        return self.at(base, b.add(b.mul(row, step), i), type_)

    def _reals_in(self, source: Any, left: Any, re: Any, im: Any, i: Any, count: Any) -> None:
        mask = self.first(count)
        rows = [self.load(self._row(source, self.slots["x_w"], j, left, i, self.form.real), mask) for j in range(self.form.lanes)]
        for j, value in enumerate(self.transposed(rows)):
            with self.b.if_then(self.b.icmp_signed("<", const(j), count)):
                place = self.b.mul(self.b.add(i, const(j)), const(self.form.lanes))
                self.store(value, self.at(re, place))
                self.store(self.zero(), self.at(im, place))

    def _rows_in(self, source: Any, left: Any, re: Any, im: Any, i: Any, count: Any) -> None:
        size = self.form.lanes // 2
        mask = self._some(count)
        sides = []
        for side in range(2):
            type_ = ir.VectorType(I64, size)
            rows = [self._half("load", type_, self._row(source, self.slots["x_w"], side * size + j, left, i), ir.Constant(I32, 4), mask,
                               ir.Constant(type_, None)) for j in range(size)]
            sides.append([self.b.bitcast(row, self.form.vector) for row in self.transposed(rows)])
        for j, (low, high) in enumerate(zip(*sides)):
            with self.b.if_then(self.b.icmp_signed("<", const(j), count)):
                place = self.b.mul(self.b.add(i, const(j)), const(self.form.lanes))
                for first, target in ((0, re), (1, im)):
                    self.store(self.pick(low, high, self._every(first)), self.at(target, place))

    def _rows_out(self, re: Any, im: Any, scale: Any, target: Any, left: Any, i: Any, count: Any) -> None:
        size = self.form.lanes // 2
        type_ = ir.VectorType(I64, size)
        sides: list[list[Any]] = [[], []]
        for j in range(size):
            place = self.b.mul(self.b.add(i, self.least(const(j), self.b.sub(count, const(1)))), const(self.form.lanes))
            value = self._joined(*[self.b.fmul(self.load(self.at(half, place)), scale) for half in (re, im)])
            for side in range(2):
                part = self.pick(value, value, [side * self.form.lanes + k for k in range(self.form.lanes)])
                sides[side].append(self.b.bitcast(part, type_))
        mask = self._some(count)
        for side, columns in enumerate(sides):
            for j, row in enumerate(self.transposed(columns)):
                with self.b.if_then(self.b.icmp_signed("<", const(side * size + j), left)):
                    self._half("store", ir.VoidType(), row, self._row(target, self.slots["out_w"], side * size + j, left, i), ir.Constant(I32, 4), mask)

    def _some(self, count: Any) -> Any:
        """The mask of the first `count` pairs of half a vector."""
        size = self.form.lanes // 2
        type_ = ir.VectorType(I64, size)
        one = self.b.insert_element(ir.Constant(type_, ir.Undefined), count, ir.Constant(I32, 0))
        many = self.b.shuffle_vector(one, one, ir.Constant(ir.VectorType(I32, size), None))
        return self.b.icmp_signed("<", ir.Constant(type_, list(range(size))), many)

    def _half(self, what: str, result: Any, *args: Any) -> Any:
        name = f"llvm.masked.{what}.v{self.form.lanes // 2}i64.p0"
        found = self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(result, [a.type for a in args]), name)
        return self.b.call(found, args)


# --- stages -------------------------------------------------------------------------------------------------------
def _stage(module: Any, form: Form, radix: int) -> Any:
    """void stage(re, im, to_re, to_im, count, step, factors): butterflies of points count · step apart, each result times its factor."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [*[POINTER] * 4, I64, I64, POINTER]), f"radix{radix}")
    function.linkage = "internal"
    function.attributes.add("noinline")
    v = Vectors(function, form)
    b = v.b
    re, im, to_re, to_im, count, step, factors = function.args
    lanes = const(form.lanes)

    def butterfly(p: Any) -> None:
        table = v.at(factors, b.mul(p, const(2 * (radix - 1))))
        turns = [tuple([v.splat(b.load(v.at(table, 2 * j + part), typ=form.real)) for part in range(2)]) for j in range(radix - 1)]

        def line(q: Any) -> None:
            points = []
            for k in range(radix):
                at = b.mul(b.add(q, b.mul(step, b.add(p, b.mul(count, const(k))))), lanes)
                points.append((v.load(v.at(re, at)), v.load(v.at(im, at))))
            for j, made in enumerate(BUTTERFLIES.get(radix, _any)(v, points)):
                value = made if j == 0 else _times(v, made, turns[j - 1])
                at = b.mul(b.add(q, b.mul(step, b.add(b.mul(p, const(radix)), const(j)))), lanes)
                v.store(value[0], v.at(to_re, at))
                v.store(value[1], v.at(to_im, at))
        v.loop(const(0), step, 1, line)
    v.loop(const(0), count, 1, butterfly)
    b.ret_void()
    return function


def _plus(v: Vectors, x: Pair, y: Pair) -> Pair:
    return v.b.fadd(x[0], y[0]), v.b.fadd(x[1], y[1])


def _minus(v: Vectors, x: Pair, y: Pair) -> Pair:
    return v.b.fsub(x[0], y[0]), v.b.fsub(x[1], y[1])


def _times(v: Vectors, x: Pair, y: Any) -> Pair:
    b = v.b
    return v.fma(x[0], y[0], b.fneg(b.fmul(x[1], y[1]))), v.fma(x[0], y[1], b.fmul(x[1], y[0]))


def _turned(v: Vectors, x: Pair) -> Pair:
    """x times -i."""
    return x[1], v.b.fneg(x[0])


def _two(v: Vectors, x: list[Pair]) -> list[Pair]:
    return [_plus(v, x[0], x[1]), _minus(v, x[0], x[1])]


def _four(v: Vectors, x: list[Pair]) -> list[Pair]:
    even, odd = _two(v, [x[0], x[2]]), _two(v, [x[1], x[3]])
    turned = _turned(v, odd[1])
    return [_plus(v, even[0], odd[0]), _plus(v, even[1], turned), _minus(v, even[0], odd[0]), _minus(v, even[1], turned)]


def _any(v: Vectors, x: list[Pair]) -> list[Pair]:
    """Of an odd number of points: the sums and differences of those that mirror each other, times cosines and sines."""
    n, b = len(x), v.b
    sums = [_plus(v, x[k], x[n - k]) for k in range(1, n // 2 + 1)]
    parts = [_minus(v, x[k], x[n - k]) for k in range(1, n // 2 + 1)]
    first = x[0]
    for pair in sums:
        first = _plus(v, first, pair)
    results = [first] + [first] * (n - 1)
    for j in range(1, n // 2 + 1):
        even, odd = x[0], (v.zero(), v.zero())
        for k, (total, part) in enumerate(zip(sums, parts), 1):
            cos, sin = (v.real(f(2 * math.pi * j * k / n)) for f in (math.cos, math.sin))
            even = v.fma(total[0], cos, even[0]), v.fma(total[1], cos, even[1])
            odd = v.fma(part[0], sin, odd[0]), v.fma(part[1], sin, odd[1])
        # exp(-iφ) a + exp(iφ) c = cos φ (a + c) - i sin φ (a - c)
        results[j] = b.fadd(even[0], odd[1]), b.fsub(even[1], odd[0])
        results[n - j] = b.fsub(even[0], odd[1]), b.fadd(even[1], odd[0])
    return results


BUTTERFLIES: dict[int, Callable[[Vectors, list[Pair]], list[Pair]]] = {2: _two, 4: _four}
