"""Products with few rows written out: what costs time is to read B once, so nothing is packed.

``along_k``, for B whose columns are adjacent along k (x · wᵀ): vectors run along k, a sum for each lane, and the lanes are added
in halves at the end. ``along_n``, for B whose rows are adjacent: vectors run along n, and every sum is a chain in the order of
k, as in `gemm_kernels`. Units are groups of columns of a result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.code import I64, KERNEL
from rushlight.exec.cpu.gemm_code import Product
from rushlight.exec.cpu.scalars import FORMS, I32, Scalars
from rushlight.exec.cpu.tiles import const

SLOTS = ("*a", "*a_starts", "a_row", "a_k", "*b", "*b_starts", "b_k", "b_n", "*out", "*bias", "m", "n", "k", "unit_columns", "column_parts", "relu")
COLUMNS, ROWS = 4, 2  # sums that are made at once along k
WIDE = 8  # vectors of sums that are made at once along n


class Vector(Product):
    """What both kernels do."""

    def __init__(self, dtype: str, name: str):
        super().__init__(ir.Function(ir.Module(name), KERNEL, name), dtype)
        self.slots = self.named(SLOTS)

    def scalar(self, place: Any) -> Any:
        """One element, as wide as sums."""
        return self.wide(self.b.load(place, typ=Scalars.memory(self.dtype), align=FORMS[self.dtype][3]))

    def units(self, columns: Callable[[Any, Any, Any, Any, Any], None]) -> str:
        """columns(first row of a, b, first row of the result, first column, end) for every unit; gives the module."""
        b, s = self.b, self.slots

        def unit(u: Any) -> None:
            z, j = b.sdiv(u, s["column_parts"]), b.mul(b.srem(u, s["column_parts"]), s["unit_columns"])
            a, source = (self.element(s[x], self.word(s[f"{x}_starts"], z)) for x in "ab")
            columns(a, source, self.element(s["out"], b.mul(z, b.mul(s["m"], s["n"]))), j, self.least(b.add(j, s["unit_columns"]), s["n"]))
        self.loop(self.function.args[1], self.function.args[2], 1, unit)
        b.ret(const(0))
        return str(self.module)

    def finish(self, value: Any, out: Any, j: Any, mask: Any = None) -> None:
        """Sums, a vector or one, of columns from j on, with bias and relu, as elements of the result."""
        b, s = self.b, self.slots
        place = self.variable(value.type, value)
        with b.if_then(b.icmp_unsigned("!=", b.ptrtoint(s["bias"], I64), const(0))):
            bias = self.element(s["bias"], j)
            b.store(self.add(value, self.read(bias, mask) if isinstance(value.type, ir.VectorType) else self.scalar(bias)), place)
        with b.if_then(b.icmp_signed("!=", s["relu"], const(0))):
            b.store(self.positive(b.load(place, typ=value.type)), place)
        self.write(b.load(place, typ=value.type), self.element(out, j), mask)


def along_k(dtype: str, name: str) -> str:
    """out[i, j] = Σ over k of a[i, k] · b[k, j], with k adjacent in both."""
    c = Vector(dtype, name)
    b, s, lanes = c.b, c.slots, c.form.lanes
    most = min(COLUMNS, lanes)

    def columns(a: Any, source: Any, out: Any, j: Any, end: Any) -> None:
        rest = b.load(c.loop(j, end, most, lambda j: down(a, source, out, j, most)), typ=I64)
        c.loop(rest, end, 1, lambda j: down(a, source, out, j, 1))

    def down(a: Any, source: Any, out: Any, j: Any, wide: int) -> None:
        rest = b.load(c.loop(const(0), s["m"], ROWS, lambda i: tile(a, source, out, i, j, ROWS, wide)), typ=I64)
        c.loop(rest, s["m"], 1, lambda i: tile(a, source, out, i, j, 1, wide))

    def tile(a: Any, source: Any, out: Any, i: Any, j: Any, high: int, wide: int) -> None:
        xs = [c.element(a, b.mul(b.add(i, const(r)), s["a_row"])) for r in range(high)]
        ys = [c.element(source, b.mul(b.add(j, const(q)), s["b_n"])) for q in range(wide)]
        sums = {(r, q): c.variable(c.form.vector, c.zero()) for r in range(high) for q in range(wide)}

        def step(k: Any, mask: Any) -> None:
            rows = [c.read(c.element(x, k), mask) for x in xs]
            for q, y in enumerate(ys):
                column = c.read(c.element(y, k), mask)
                for r, row in enumerate(rows):
                    b.store(c.fma(row, column, c.value(sums[r, q])), sums[r, q])
        c.vectors(const(0), s["k"], step)
        for r in range(high):
            target = c.element(out, b.mul(b.add(i, const(r)), s["n"]))
            folded = [c.fold(c.value(sums[r, q]), c.add) for q in range(wide)]
            if wide == 1:  # LLVM 22 stores 32 bits under a mask of one lane, however narrow the lane is
                c.finish(b.extract_element(folded[0], ir.Constant(I32, 0)), target, j)
                continue
            totals = c.zero()
            for q, total in enumerate(folded):
                totals = c.pick(totals, total, [q + lanes if i == q else i for i in range(lanes)])
            c.finish(totals, target, j, c.first(const(wide)))
    return c.units(columns)


def along_n(dtype: str, name: str) -> str:
    """out[i, j] = Σ over k of a[i, k] · b[k, j], with j adjacent in b; one row at a time."""
    c = Vector(dtype, name)
    b, s, lanes = c.b, c.slots, c.form.lanes

    def columns(a: Any, source: Any, out: Any, j: Any, end: Any) -> None:
        def row(i: Any) -> None:
            x, target = c.element(a, b.mul(i, s["a_row"])), c.element(out, b.mul(i, s["n"]))
            rest = b.load(c.loop(j, end, WIDE * lanes, lambda j: strip(x, source, target, j, [None] * WIDE)), typ=I64)
            rest = b.load(c.loop(rest, end, lanes, lambda j: strip(x, source, target, j, [None])), typ=I64)
            with b.if_then(b.icmp_signed("<", rest, end)):
                strip(x, source, target, rest, [c.first(b.sub(end, rest))])
        c.loop(const(0), s["m"], 1, row)

    def strip(x: Any, source: Any, out: Any, j: Any, masks: list[Any]) -> None:
        sums = [c.variable(c.form.vector, c.zero()) for _ in masks]

        def step(k: Any) -> None:
            value = c.splat(c.scalar(c.element(x, b.mul(k, s["a_k"]))))
            line = c.element(source, b.add(b.mul(k, s["b_k"]), j))
            for v, (place, mask) in enumerate(zip(sums, masks)):
                b.store(c.fma(value, c.read(c.element(line, const(v * lanes)), mask), c.value(place)), place)
        c.loop(const(0), s["k"], 1, step)
        for v, (place, mask) in enumerate(zip(sums, masks)):
            c.finish(c.value(place), out, b.add(j, const(v * lanes)), mask)
    return c.units(columns)
