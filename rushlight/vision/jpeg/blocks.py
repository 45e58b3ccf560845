"""The kernel that goes through the blocks of a scan, and transforms those within a window."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.writer import I32, I64, POINTER, Writer
from rushlight.vision.jpeg.bits import Bits, symbol
from rushlight.vision.jpeg.flow import choose, repeat
from rushlight.vision.jpeg.transform import ROW, bytes_of, inverse

I16 = ir.IntType(16)
FIELDS = ("dc", "ac", "quantizer", "prediction", "plane", "stride", "x_step", "y_step")  # of each block of a unit, in ``plan``
SLOTS = ("data", "end", "first_row", "end_row", "first_column", "end_column", "columns", "blocks", "*plan", "*coefficients", "*used")
SPARE = 512  # bytes after the data that may be read: a block of nonsense takes at most 248


def write(name: str) -> str:
    """Units (MCUs) row by row up to ``end_row``; ``used`` becomes the number of bits that were read."""
    w = Writer(name, SLOTS)
    b, s = w.b, w.s
    last = b.add(s["end"], w.number(8))  # a word is read ahead

    def row(y: Any, *bits: Any) -> tuple[Any, ...]:
        def column(x: Any, *bits: Any) -> tuple[Any, ...]:
            inside = b.and_(b.and_(b.icmp_signed(">=", x, s["first_column"]), b.icmp_signed("<", x, s["end_column"])),
                            b.icmp_signed(">=", y, s["first_row"]))

            def block(i: Any, place: Any, word: Any, count: Any) -> tuple[Any, ...]:
                place = b.select(b.icmp_signed(">", place, last), last, place)
                plan = {field: w.load(w.at(s["plan"], b.add(b.mul(i, w.number(len(FIELDS))), w.number(k)), I64), I64)
                        for k, field in enumerate(FIELDS)}
                bits, reach = _coefficients(w, plan, Bits(place, word, count))
                target = b.add(b.add(plan["plane"], b.mul(b.sub(x, s["first_column"]), plan["x_step"])),
                               b.mul(b.sub(y, s["first_row"]), plan["y_step"]))
                choose(w, inside, lambda: _made(w, target, plan["stride"], reach), lambda: ())
                return bits
            return w.loop(s["blocks"], block, bits)
        return w.loop(s["columns"], column, bits)
    place, _, count = w.loop(s["end_row"], row, (s["data"], w.number(0), w.number(0)))
    w.store(b.sub(b.shl(b.sub(place, s["data"]), w.number(3)), count), s["used"])
    return w.done()


def _coefficients(w: Writer, plan: dict[str, Any], bits: Bits) -> tuple[Bits, Any]:
    """Fill the block with coefficients; also gives how many symbols there were of coefficients other than the first."""
    b, coefficients = w.b, w.s["coefficients"]
    zeros = w.same(0, 32, I16)
    w.store(zeros, coefficients)
    w.store(zeros, w.at(coefficients, 64))
    dc, ac, quantizer, prediction = (b.inttoptr(plan[field], POINTER) for field in FIELDS[:4])
    _, value, bits = symbol(w, dc, bits)
    value = b.add(value, w.load(prediction, I32))
    w.store(value, prediction)

    def put(k: Any, value: Any) -> None:
        factor = w.load(w.at(quantizer, k, I32), I32)
        product = b.mul(value, b.lshr(factor, w.number(8, I32)))
        w.store(b.trunc(product, I16), w.at(coefficients, b.zext(b.and_(factor, w.number(255, I32)), I64), I16))
    put(w.number(0), value)

    def one(k: Any, _: Any, *bits: Any) -> tuple[tuple[Any, ...], Any]:
        run, value, rest = symbol(w, ac, Bits(*bits))
        here = b.add(k, run)
        put(here, value)
        following = b.add(here, w.number(1))
        return (following, k, *rest), b.icmp_unsigned("<", following, w.number(64))
    _, reach, *bits = repeat(w, (w.number(1), w.number(0), *bits), one)
    return Bits(*bits), reach


def _made(w: Writer, target: Any, stride: Any, reach: Any) -> tuple[Any, ...]:
    """Write the block's 8×8 bytes; ``reach`` is 1 where the first symbol after the first coefficient ended it."""
    b, coefficients = w.b, w.s["coefficients"]

    def put(rows: list[Any]) -> None:
        for i, row in enumerate(rows):
            w.store(row, b.inttoptr(b.add(target, b.mul(stride, w.number(i))), POINTER))

    def flat() -> tuple[Any, ...]:
        level = b.ashr(b.add(b.sext(w.load(coefficients, I16), I32), w.number(4, I32)), w.number(3, I32))
        put([bytes_of(w, w.splat(level, 8))] * 8)
        return ()

    def whole() -> tuple[Any, ...]:
        put(inverse(w, [b.sext(w.load(w.at(coefficients, 8 * i, I16), ir.VectorType(I16, 8)), ROW) for i in range(8)]))
        return ()
    alone = b.and_(b.icmp_unsigned("==", reach, w.number(1)), b.icmp_unsigned("==", w.load(w.at(coefficients, 63, I16), I16), w.number(0, I16)))
    return choose(w, alone, flat, whole)
