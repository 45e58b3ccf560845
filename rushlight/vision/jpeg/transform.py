"""The inverse cosine transform of a block in exact integers: libjpeg's "islow" (Loeffler, Ligtenberg, Moschytz 1989)."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.writer import I8, I32, Writer

BITS, EXTRA = 13, 2  # after the point: of the constants, and of what the first pass gives
ROW = ir.VectorType(I32, 8)


def _fixed(number: float) -> int:
    return round(number * (1 << BITS))


def inverse(w: Writer, rows: list[Any]) -> list[Any]:
    """Eight rows of eight coefficients (i32) as eight rows of bytes."""
    rows = transposed(w, _pass(w, rows, BITS - EXTRA))
    rows = transposed(w, _pass(w, rows, BITS + EXTRA + 3))
    return [bytes_of(w, row) for row in rows]


def bytes_of(w: Writer, row: Any) -> Any:
    """Numbers around 0 as bytes around 128."""
    b, lanes = w.b, row.type.count
    row = b.add(row, w.same(128, lanes))
    row = b.select(b.icmp_signed("<", row, w.same(0, lanes)), w.same(0, lanes), row)
    row = b.select(b.icmp_signed(">", row, w.same(255, lanes)), w.same(255, lanes), row)
    return b.trunc(row, ir.VectorType(I8, lanes))


def _pass(w: Writer, x: list[Any], shift: int) -> list[Any]:
    """One dimension, for eight columns at once."""
    b = w.b

    def times(value: Any, number: float) -> Any:
        return b.mul(value, w.same(_fixed(number), 8))

    def total(*values: Any) -> Any:
        result = values[0]
        for value in values[1:]:
            result = b.add(result, value)
        return result
    z1 = times(b.add(x[2], x[6]), 0.541196100)
    low, high = b.add(z1, times(x[6], -1.847759065)), b.add(z1, times(x[2], 0.765366865))
    half = w.same(1 << (shift - 1), 8)  # rounds in the end
    middle, difference = (b.add(b.shl(both, w.same(BITS, 8)), half) for both in (b.add(x[0], x[4]), b.sub(x[0], x[4])))
    even = [b.add(middle, high), b.add(difference, low), b.sub(difference, low), b.sub(middle, high)]
    z1, z2, z3, z4 = b.add(x[7], x[1]), b.add(x[5], x[3]), b.add(x[7], x[3]), b.add(x[5], x[1])
    z5 = times(b.add(z3, z4), 1.175875602)
    z1, z2 = times(z1, -0.899976223), times(z2, -2.562915447)
    z3, z4 = b.add(times(z3, -1.961570560), z5), b.add(times(z4, -0.390180644), z5)
    odd = [total(times(x[1], 1.501321110), z1, z4), total(times(x[3], 3.072711026), z2, z3),
           total(times(x[5], 2.053119869), z2, z4), total(times(x[7], 0.298631336), z1, z3)]
    sums = [b.add(p, q) for p, q in zip(even, odd, strict=True)] + [b.sub(p, q) for p, q in zip(even, odd, strict=True)][::-1]
    return [b.ashr(value, w.same(shift, 8)) for value in sums]


def transposed(w: Writer, rows: list[Any]) -> list[Any]:
    """Eight vectors of eight, the other way round."""
    for _ in range(3):  # pairs of rows that are four apart, interleaved: three times give the transpose
        rows = [w.b.shuffle_vector(rows[i // 2], rows[i // 2 + 4], ir.Constant(ROW, _interleaved(i % 2))) for i in range(8)]
    return rows


def _interleaved(half: int) -> list[int]:
    return [4 * half + i // 2 + 8 * (i % 2) for i in range(8)]
