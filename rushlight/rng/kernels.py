"""The kernels of `compiled` in LLVM IR."""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.scalars import Scalars
from rushlight.exec.cpu.writer import F32, I32, I64, POINTER, Writer
from rushlight.rng import cephes

SIZE, MIDDLE = 624, 397  # of the Mersenne Twister (Matsumoto and Nishimura, 1998)
WIDE = 16  # words worked on together; 624 is a multiple
HALF = 8  # cosines, then sines, in a block of normal numbers


def _copy(w: Writer, source: Any, target: Any) -> None:
    """The state's words from one place to another."""
    def step(i: Any) -> tuple[Any, ...]:
        w.store(w.load(w.at(source, i, I32), ir.VectorType(I32, WIDE)), w.at(target, i, I32))
        return ()
    w.loop(w.number(SIZE), step, step=WIDE)


def _twist(w: Writer, line: Any) -> None:
    """The next words of the recurrence take the place of the old ones at the head of ``line``."""
    b = w.b

    def step(i: Any) -> tuple[Any, ...]:
        here, after, far = (w.load(w.at(line, b.add(i, w.number(k)), I32), ir.VectorType(I32, WIDE))
                            for k in (0, 1, MIDDLE))
        joined = b.or_(b.and_(here, w.same(-0x80000000, WIDE)), b.and_(after, w.same(0x7FFFFFFF, WIDE)))
        odd = b.sub(w.same(0, WIDE), b.and_(after, w.same(1, WIDE)))
        new = b.xor(b.xor(far, b.lshr(joined, w.same(1, WIDE))), b.and_(odd, w.same(0x9908B0DF, WIDE)))
        w.store(new, w.at(line, b.add(i, w.number(SIZE)), I32))
        return ()
    w.loop(w.number(SIZE), step, step=WIDE)
    _copy(w, w.at(line, SIZE, I32), line)


def words(name: str) -> str:
    """``*state, *out, n``: what is left of the current 624 words, whole new blocks, and the start of a last one."""
    w = Writer(name, ("*state", "*out", "n"))
    b, s = w.b, w.s
    # Old and new words one behind the other: the recurrence then runs straight on, without a remainder of the index
    line = b.inttoptr(b.ptrtoint(b.alloca(ir.ArrayType(I32, 2 * SIZE)), I64), POINTER)

    def tempered(x: Any, same: Any) -> Any:
        x = b.xor(x, b.lshr(x, same(11)))
        x = b.xor(x, b.and_(b.shl(x, same(7)), same(0x9D2C5680)))
        x = b.xor(x, b.and_(b.shl(x, same(15)), same(0xEFC60000)))
        return b.xor(x, b.lshr(x, same(18)))

    def some(first: Any, count: Any, out: Any) -> None:
        def step(i: Any) -> tuple[Any, ...]:
            word = w.load(w.at(line, b.add(first, i), I32), I32)
            w.store(tempered(word, lambda c: w.number(c, I32)), w.at(out, i, I32))
            return ()
        w.loop(count, step)

    _copy(w, s["state"], line)
    place = w.at(s["state"], SIZE, I32)
    begin = b.sext(w.load(place, I32), I64)
    left = b.sub(w.number(SIZE), begin)
    head = b.select(b.icmp_signed("<", left, s["n"]), left, s["n"])
    some(begin, head, s["out"])
    rest = b.sub(s["n"], head)
    whole = b.sub(rest, b.srem(rest, w.number(SIZE)))
    out = w.at(s["out"], head, I32)

    def block(i: Any) -> tuple[Any, ...]:
        _twist(w, line)

        def step(j: Any) -> tuple[Any, ...]:
            vector = tempered(w.load(w.at(line, j, I32), ir.VectorType(I32, WIDE)), lambda c: w.same(c, WIDE))
            w.store(vector, w.at(out, b.add(i, j), I32))
            return ()
        w.loop(w.number(SIZE), step, step=WIDE)
        return ()
    w.loop(whole, block, step=SIZE)

    def last(i: Any) -> tuple[Any, ...]:
        _twist(w, line)
        some(w.number(0), b.sub(rest, i), w.at(out, i, I32))
        return ()
    w.loop(rest, last, start=whole, step=SIZE)
    _copy(w, line, s["state"])
    tail = b.sub(rest, whole)
    end = b.select(b.icmp_signed("==", rest, w.number(0)), b.add(begin, head),
                   b.select(b.icmp_signed("==", tail, w.number(0)), w.number(SIZE), tail))
    w.store(b.trunc(end, I32), place)
    return w.done()


def mapped(name: str) -> str:
    """``*x, *out, n, f``: the C function f of each of n float64 numbers."""
    w = Writer(name, ("*x", "*out", "n", "f"))
    f64 = ir.DoubleType()
    f = w.b.inttoptr(w.s["f"], ir.FunctionType(f64, [f64]).as_pointer())

    def step(i: Any) -> tuple[Any, ...]:
        w.store(w.b.call(f, [w.load(w.at(w.s["x"], i, f64), f64)]), w.at(w.s["out"], i, f64))
        return ()
    w.loop(w.s["n"], step)
    return w.done()


def exchange(name: str) -> str:
    """For i = 0, 1, … the element at i is exchanged with the one words[i] mod (n - i) places on, in the order 0 … n - 1."""
    w = Writer(name, ("*words", "*out", "n"))
    b, out = w.b, w.s["out"]

    def write(i: Any) -> tuple[Any, ...]:
        w.store(i, w.at(out, i, I64))
        return ()

    def step(i: Any) -> tuple[Any, ...]:
        left = b.trunc(b.sub(w.s["n"], i), I32)
        jump = b.urem(w.load(w.at(w.s["words"], i, I32), I32), left)
        here, there = w.at(out, i, I64), w.at(out, b.add(i, b.zext(jump, I64)), I64)
        kept = w.load(here, I64)
        w.store(w.load(there, I64), here)
        w.store(kept, there)
        return ()
    w.loop(w.s["n"], write)
    w.loop(b.sub(w.s["n"], w.number(1)), step)
    return w.done()


def uniform(name: str) -> str:
    """``*out, n, low, span, high``: low + u·span of the low 24 bits of each word; what rounds to high becomes low."""
    w = Writer(name, ("*out", "n", "low", "span", "high"))
    b, s = w.b, w.s
    low, span, high = (_float(w, s[k]) for k in ("low", "span", "high"))

    def piece(lanes: int) -> Any:
        m = _Numbers(w, lanes)
        ends = [m.spread(x) for x in (low, span, high)]

        def step(i: Any) -> tuple[Any, ...]:
            place = w.at(s["out"], i, I32)
            value = m.fma(m.unit(w.load(place, m.integers)), ends[1], ends[0])
            w.store(b.select(b.fcmp_ordered("==", value, ends[2]), ends[0], value), place)
            return ()
        return step
    whole = b.sub(s["n"], b.srem(s["n"], w.number(WIDE)))
    w.loop(whole, piece(WIDE), step=WIDE)
    w.loop(s["n"], piece(1), start=whole)
    return w.done()


def normal(name: str) -> str:
    """``*out, n, mean, std``: Box and Muller's transform, n a multiple of 16;
    `continuous.normal` says in which order."""
    w = Writer(name, ("*out", "n", "mean", "std"))
    b, s, m = w.b, w.s, _Numbers(w, HALF)
    mean, std = (m.spread(_float(w, s[k])) for k in ("mean", "std"))

    def step(i: Any) -> tuple[Any, ...]:
        places = [w.at(s["out"], b.add(i, w.number(k)), I32) for k in (0, HALF)]
        first, second = (m.unit(w.load(place, m.integers)) for place in places)
        radius = m.sqrt(b.fmul(m.real(-2.0), m.log(b.fsub(m.real(1.0), first))))
        sine, cosine = m.sincos(b.fmul(m.real(2 * math.pi), second))
        for place, wave in zip(places, (cosine, sine), strict=True):
            w.store(m.fma(b.fmul(radius, wave), std, mean), place)
        return ()
    w.loop(s["n"], step, step=2 * HALF)
    return w.done()


def _float(w: Writer, slot: Any) -> Any:
    """The float32 whose bits are in a slot."""
    return w.b.bitcast(w.b.trunc(slot, I32), F32)


class _Numbers:
    """float32 arithmetic on vectors of so many lanes (1: on single numbers), in the order of `cephes`."""

    def __init__(self, w: Writer, lanes: int):
        self.w, self.b, self.lanes, self.scalars = w, w.b, lanes, Scalars(w.b, lanes)
        self.reals, self.integers = (F32, I32) if lanes == 1 else (ir.VectorType(F32, lanes), ir.VectorType(I32, lanes))

    def real(self, value: Any) -> Any:
        """A constant, rounded to float32."""
        value = float(cephes.F(value))
        return ir.Constant(self.reals, value if self.lanes == 1 else [value] * self.lanes)

    def integer(self, value: int) -> Any:
        """A constant."""
        return ir.Constant(self.integers, value if self.lanes == 1 else [value] * self.lanes)

    def spread(self, scalar: Any) -> Any:
        """A number in all places."""
        return scalar if self.lanes == 1 else self.w.splat(scalar, self.lanes)

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """x·y + z, rounded once."""
        return self.scalars.intrinsic("fma", x, y, z)

    def sqrt(self, x: Any) -> Any:
        """The square root."""
        return self.scalars.intrinsic("sqrt", x)

    def unit(self, word: Any) -> Any:
        """The low 24 bits as a number in [0, 1)."""
        return self.b.fmul(self.b.uitofp(self.b.and_(word, self.integer(0xFFFFFF)), self.reals), self.real(2.0 ** -24))

    def horner(self, coefficients: Any, x: Any) -> Any:
        """The polynomial with these coefficients, highest power first."""
        y = self.real(coefficients[0])
        for c in coefficients[1:]:
            y = self.fma(y, x, self.real(c))
        return y

    def log(self, x: Any) -> Any:
        """Natural logarithm of normal positive numbers, as `cephes.log32`."""
        b = self.b
        bits = b.bitcast(x, self.integers)
        exponent = b.sub(b.lshr(bits, self.integer(23)), self.integer(126))
        mantissa = b.bitcast(b.or_(b.and_(bits, self.integer(0x7FFFFF)), self.integer(0x3F000000)), self.reals)
        small = b.fcmp_ordered("<", mantissa, self.real(cephes.SQRT_HALF))
        m = b.fadd(b.fsub(mantissa, self.real(1.0)), b.select(small, mantissa, self.real(0.0)))
        e = b.sitofp(b.select(small, b.sub(exponent, self.integer(1)), exponent), self.reals)
        square = b.fmul(m, m)
        y = self.fma(b.fmul(self.horner(cephes.LOG, m), m), square, b.fmul(e, self.real(cephes.LN2_LOW)))
        y = self.fma(b.fneg(square), self.real(0.5), y)
        return self.fma(e, self.real(cephes.LN2_HIGH), b.fadd(m, y))

    def sincos(self, x: Any) -> tuple[Any, Any]:
        """Sine and cosine of angles from 0 to 8192, as `cephes.sincos32`."""
        b = self.b
        octant = b.fptosi(b.fmul(x, self.real(cephes.FOUR_OVER_PI)), self.integers)
        octant = b.and_(b.add(octant, self.integer(1)), self.integer(~1))
        whole = b.sitofp(octant, self.reals)
        for part in cephes.QUARTER_PI:
            x = self.fma(whole, self.real(part), x)
        square = b.fmul(x, x)
        cos = self.fma(b.fmul(self.horner(cephes.COS, square), square), square, b.fmul(square, self.real(-0.5)))
        cos = b.fadd(cos, self.real(1.0))
        sin = self.fma(b.fmul(self.horner(cephes.SIN, square), square), x, x)
        swap = b.icmp_signed("!=", b.and_(octant, self.integer(2)), self.integer(0))
        sine, cosine = b.select(swap, cos, sin), b.select(swap, sin, cos)
        negative = b.icmp_signed("!=", b.and_(octant, self.integer(4)), self.integer(0))
        sine = b.select(negative, b.fneg(sine), sine)
        negative = b.icmp_signed("==", b.and_(b.sub(octant, self.integer(2)), self.integer(4)), self.integer(0))
        return sine, b.select(negative, b.fneg(cosine), cosine)
