"""Coded bits in a kernel: the bytes of a scan without their stuffing, and the symbols of a Huffman code."""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir

from rushlight.exec.cpu.writer import I8, I32, I64, POINTER, Writer
from rushlight.vision.jpeg.codes import BOUNDS, END, LOOK, OFFSETS, PARTLY, SYMBOLS
from rushlight.vision.jpeg.flow import choose, repeat

LANES = 32  # bytes that are copied at a time
SLOTS = ("source", "end", "target", "*found")


def unstuff(name: str) -> str:
    """A kernel that copies bytes up to the first marker, of each FF 00 only the FF; ``found``: where both ends are then.

    It may write ``LANES`` bytes more than it counts.
    """
    w = Writer(name, SLOTS)
    b, s = w.b, w.s
    places = (s["source"], s["target"])
    for lanes in (LANES, 1):
        enough = b.icmp_signed("<=", b.add(places[0], w.number(lanes)), s["end"])
        places = choose(w, enough, lambda: repeat(w, places, lambda p, q: _copied(w, p, q, lanes)), lambda: places)  # noqa: B023
    for i, place in enumerate(places):
        w.store(place, w.at(s["found"], i, I64))
    return w.done()


def _copied(w: Writer, source: Any, target: Any, lanes: int) -> tuple[tuple[Any, ...], Any]:
    b = w.b
    kind = ir.VectorType(I8, lanes)
    values = w.load(b.inttoptr(source, POINTER), kind)
    w.store(values, b.inttoptr(target, POINTER))
    stops = b.bitcast(b.icmp_unsigned("==", values, w.same(255, lanes, I8)), ir.IntType(lanes))
    plain = b.icmp_unsigned("==", stops, ir.Constant(stops.type, 0))
    run = b.cttz(b.zext(stops, I64) if lanes < 64 else stops, ir.Constant(ir.IntType(1), 0))
    run = b.select(plain, w.number(lanes), run)
    follows = w.load(b.inttoptr(b.add(b.add(source, run), w.number(1)), POINTER), I8)  # in bytes at least a 0 follows the end
    stuffed = b.icmp_unsigned("==", follows, w.number(0, I8))
    more = b.select(plain, w.number(0), b.zext(stuffed, I64))
    places = b.add(source, b.add(run, b.shl(more, w.number(1)))), b.add(target, b.add(run, more))
    on = b.or_(plain, stuffed)
    return places, b.and_(on, b.icmp_signed("<=", b.add(places[0], w.number(lanes)), w.s["end"]))


class Bits(NamedTuple):
    """Where to read on, the next bits from the top of a word, and how many of them are there."""

    place: Any
    word: Any
    count: Any

    def filled(self, w: Writer) -> Bits:
        """With at least 56 bits."""
        b = w.b
        more = b.bswap(w.load(b.inttoptr(self.place, POINTER), I64))
        word = b.or_(self.word, b.lshr(more, self.count))
        place = b.add(self.place, b.lshr(b.sub(w.number(63), self.count), w.number(3)))
        return Bits(place, word, b.or_(self.count, w.number(56)))

    def without(self, w: Writer, used: Any) -> Bits:
        """After so many bits."""
        return Bits(self.place, w.b.shl(self.word, used), w.b.sub(self.count, used))


def symbol(w: Writer, table: Any, bits: Bits) -> tuple[Any, Any, Bits]:
    """(zeros before it, the coefficient, the bits after it) of the next symbol."""
    b = w.b
    bits = bits.filled(w)
    entry = w.load(w.at(table, b.lshr(bits.word, w.number(64 - LOOK)), I32), I32)
    length = b.zext(b.and_(entry, w.number(63, I32)), I64)

    def whole() -> tuple[Any, ...]:
        return length, b.zext(b.and_(b.lshr(entry, w.number(8, I32)), w.number(127, I32)), I64), b.ashr(entry, w.number(16, I32))

    def partly() -> tuple[Any, ...]:
        named = b.zext(b.and_(b.lshr(entry, w.number(16, I32)), w.number(255, I32)), I64)
        size_of_code, name = choose(w, b.icmp_unsigned("==", length, w.number(0)), lambda: _long_code(w, table, bits.word), lambda: (length, named))
        run, size = b.lshr(name, w.number(4)), b.and_(name, w.number(15))
        raw = b.lshr(b.lshr(b.shl(bits.word, size_of_code), w.number(1)), b.sub(w.number(63), size))
        full = b.shl(w.number(1), size)
        low = b.icmp_unsigned("<", raw, b.lshr(full, w.number(1)))
        value = b.select(low, b.add(b.sub(raw, full), w.number(1)), raw)
        over = b.and_(b.icmp_unsigned("==", size, w.number(0)), b.icmp_unsigned("!=", run, w.number(15)))
        return b.add(size_of_code, size), b.select(over, w.number(END), run), b.trunc(value, I32)
    used, run, value = choose(w, b.icmp_unsigned("!=", b.and_(entry, w.number(PARTLY, I32)), w.number(0, I32)), partly, whole)
    return run, value, bits.without(w, used)


def _long_code(w: Writer, table: Any, word: Any) -> tuple[Any, ...]:
    """(length, symbol) of a code longer than the table looks; what is no code passes for one of 16 bits."""
    b = w.b

    def tried(length: Any) -> tuple[tuple[Any, ...], Any]:
        longer = b.add(length, w.number(1))
        code = b.lshr(word, b.sub(w.number(64), longer))
        bound = b.zext(w.load(w.at(table, b.add(longer, w.number(BOUNDS)), I32), I32), I64)
        return (longer,), b.and_(b.icmp_unsigned(">=", code, bound), b.icmp_unsigned("<", longer, w.number(16)))
    (length,) = repeat(w, (w.number(LOOK),), tried)
    code = b.lshr(word, b.sub(w.number(64), length))
    offset = b.sext(w.load(w.at(table, b.add(length, w.number(OFFSETS)), I32), I32), I64)
    place = b.and_(b.add(code, offset), w.number(255))
    return length, b.zext(w.load(w.at(table, b.add(place, w.number(SYMBOLS)), I32), I32), I64)
