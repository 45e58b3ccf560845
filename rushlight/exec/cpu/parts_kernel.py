"""The kernel that puts parts of a value into place, row by row, whatever they hold: elements are integers of their size."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.code import I64, KERNEL, POINTER
from rushlight.exec.cpu.tiles import Form, Vectors, const

RANK = 4  # dimensions of a part beside its rows
LONG = 8192  # elements of a row that is cut
SIZES = {1: "int8", 2: "int16", 4: "int32", 8: "int64"}
# An entry of the table: its first row and their number, the operand (-1: zeros), where it begins in the result and in the
# operand, the length of a row and the steps in both, whether both are 1; then number and steps of the outer dimensions.
FIRST, ROWS, SOURCE, START, OFFSET, LENGTH, TO, STEP, EVEN, OUTER = range(10)
ENTRY = OUTER + 3 * RANK
OPERANDS = 4  # the slot of the first operand's address


def parts(size: int, summed: bool, name: str) -> str:
    """The kernel for elements of `size` bytes; its units are rows. ``summed``: -0.0 becomes 0.0."""
    c = Vectors(ir.Function(ir.Module(name), KERNEL, name), Form(SIZES[size]))
    slots, begin, end, _ = c.function.args
    target, table = (c.b.inttoptr(c.word(slots, const(i)), POINTER) for i in (1, 3))

    def part(p: Any) -> None:
        entry = c.at(table, c.b.mul(p, const(ENTRY)), I64)
        first = c.word(entry, const(FIRST))
        low = c.most(begin, first)
        high = c.least(end, c.b.add(first, c.word(entry, const(ROWS))))
        with c.b.if_then(c.b.icmp_signed("<", low, high)):
            _rows(c, slots, entry, target, c.b.sub(low, first), c.b.sub(high, low), summed)
    c.loop(const(0), c.word(slots, const(2)), 1, part)
    c.b.ret(const(0))
    return str(c.module)


def _rows(c: Vectors, slots: Any, entry: Any, target: Any, first: Any, count: Any, summed: bool) -> None:
    """Rows of one part, from its row `first` on."""
    b = c.b
    to, source = c.variable(I64, c.word(entry, const(START))), c.variable(I64, c.word(entry, const(OFFSET)))
    outer = [tuple(c.word(entry, const(OUTER + 3 * d + i)) for i in range(3)) for d in range(RANK)]
    places = []
    for n, step, from_step in outer:
        at = b.srem(first, n)
        first = b.sdiv(first, n)
        _forth(c, to, b.mul(at, step))
        _forth(c, source, b.mul(at, from_step))
        places.append(c.variable(I64, at))
    operand = c.word(entry, const(SOURCE))
    zeros = b.icmp_signed("<", operand, const(0))
    base = c.word(slots, b.select(zeros, const(1), b.add(operand, const(OPERANDS))))
    base = b.inttoptr(base, POINTER)

    def row(_: Any) -> None:
        _row(c, entry, zeros, c.at(base, b.load(source, typ=I64)), c.at(target, b.load(to, typ=I64)), summed)
        _next(c, to, source, outer, places)
    c.loop(const(0), count, 1, row)


def _forth(c: Vectors, place: Any, by: Any) -> None:
    c.b.store(c.b.add(c.b.load(place, typ=I64), by), place)


def _next(c: Vectors, to: Any, source: Any, outer: list[Any], places: list[Any]) -> None:
    """On to the next row, as an odometer counts."""
    if not outer:
        return
    b, (n, step, from_step), place = c.b, outer[0], places[0]
    _forth(c, place, const(1))
    _forth(c, to, step)
    _forth(c, source, from_step)
    with b.if_then(b.icmp_signed("==", b.load(place, typ=I64), n), likely=False):
        b.store(const(0), place)
        _forth(c, to, b.neg(b.mul(n, step)))
        _forth(c, source, b.neg(b.mul(n, from_step)))
        _next(c, to, source, outer[1:], places[1:])


def _row(c: Vectors, entry: Any, zeros: Any, source: Any, target: Any, summed: bool) -> None:
    """One row: whole vectors where its elements are adjacent in both memories, else one by one."""
    b = c.b
    length = c.word(entry, const(LENGTH))
    with b.if_else(b.icmp_signed("!=", c.word(entry, const(EVEN)), const(0))) as (even, uneven):
        with even, b.if_else(zeros) as (empty, filled):
            with empty:
                c.vectors(const(0), length, lambda v, mask: c.store(c.zero(), c.at(target, v), mask))
            with filled:
                c.vectors(const(0), length, lambda v, mask: c.store(_summand(c, c.load(c.at(source, v), mask), summed), c.at(target, v), mask))
        with uneven:
            to, step = c.word(entry, const(TO)), c.word(entry, const(STEP))

            def element(i: Any) -> None:
                value = c.variable(c.form.real, ir.Constant(c.form.real, 0))
                with b.if_then(b.not_(zeros)):
                    b.store(_summand(c, b.load(c.at(source, b.mul(i, step)), typ=c.form.real), summed), value)
                b.store(b.load(value, typ=c.form.real), c.at(target, b.mul(i, to)))
            c.loop(const(0), length, 1, element)


def _summand(c: Vectors, value: Any, summed: bool) -> Any:
    """A number, or a vector, plus 0.0."""
    if not summed:
        return value
    sign = -(1 << 8 * c.form.size - 1)
    if value.type == c.form.real:
        return c.b.select(c.b.icmp_signed("==", value, ir.Constant(value.type, sign)), ir.Constant(value.type, 0), value)
    negative = ir.Constant(value.type, [ir.Constant(c.form.real, sign)] * c.form.lanes)
    return c.b.select(c.b.icmp_signed("==", value, negative), c.zero(), value)
