"""Operands of matrix products packed into panels: what a tile reads next lies next to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.code import I64
from rushlight.exec.cpu.gemm_code import Product, function, narrow
from rushlight.exec.cpu.gemm_slots import ALONG_K, ANY, UNITS
from rushlight.exec.cpu.scalars import FORMS, I16, Scalars
from rushlight.exec.cpu.tiles import const

PACK = "*target panel_stride *source unit_stride k_stride units depth way"
GAP = 16  # elements between packed panels of A: else they would lie whole pages apart, all in the same lines of the first cache
ROUND = 4  # rows that are packed at once


def pack(module: Any, dtype: str, name: str, width: int) -> Any:
    """Panels of `width` units: panel p holds target[p, k, u] = source[k, p·width + u], as wide as sums or in pairs for k and
    k + 1 (a zero after the last); what is beyond the units is anything, since tiles do not use it. Up to a vector of lines
    behind the last panel is overwritten."""
    c, g = function(module, name, dtype, PACK)
    b, lanes = c.b, c.form.lanes
    kept = None if width >= lanes else c.first(const(width))

    def panel(p: Any) -> None:
        first = b.mul(p, const(width))
        left = c.least(b.sub(g["units"], first), const(width))
        source, target = c.element(g["source"], b.mul(first, g["unit_stride"])), c.at(g["target"], b.mul(p, g["panel_stride"]))

        def group(at: Any) -> None:
            inside, place = c.least(b.sub(left, at), const(min(lanes, width))), c.element(source, b.mul(at, g["unit_stride"]))
            for way, write in ((ALONG_K, _pack_along_k), (ANY, _pack_any)):
                with b.if_then(b.icmp_signed("==", g["way"], const(way))):
                    write(c, g, place, c.at(target, at), width, inside, kept)
        c.loop(const(0), b.add(left, const(lanes - 1)), lanes, group)
    adjacent = _pack_panels if width >= lanes else _pack_strips
    if adjacent is _pack_strips and not narrow(dtype):  # A is packed in no other way
        adjacent(c, g, width)
        b.ret_void()
        return c.function
    with b.if_else(b.icmp_signed("==", g["way"], const(UNITS))) as (side_by_side, others):
        with side_by_side:
            adjacent(c, g, width)
        with others:
            c.loop(const(0), b.sdiv(b.add(g["units"], const(width - 1)), const(width)), 1, panel)
    b.ret_void()
    return c.function


def _lines(c: Product, depth: Any, body: Callable[[list[tuple[Any, Any, bool]]], None], together: int = 1) -> None:
    """body([(line of a panel, its first k, whether another k belongs to it), …]) for all k, several lines at a time."""
    b, each = c.b, 2 if c.paired else 1

    def some(line: Any, count: int) -> None:
        lines = [b.add(line, const(i)) for i in range(count)]
        body([(i, b.mul(i, const(each)), c.paired) for i in lines])
    whole = b.sdiv(depth, const(each))
    rest = b.load(c.loop(const(0), whole, together, lambda line: some(line, together)), typ=I64)
    if together > 1:
        c.loop(rest, whole, 1, lambda line: some(line, 1))
    if c.paired:
        with b.if_then(b.icmp_signed("<", b.mul(whole, const(each)), depth)):
            body([(whole, b.mul(whole, const(each)), False)])


def _line(c: Product, g: dict[str, Any], source: Any, k: Any, both: bool, mask: Any) -> Any:
    """A vector of packed elements of units that lie side by side."""
    place = c.element(source, c.b.mul(k, g["k_stride"]))
    if not c.paired:
        return c.read(place, mask)
    low = c.s.load(place, c.dtype, mask)
    return c.pairs(low, c.s.load(c.element(place, g["k_stride"]), c.dtype, mask) if both else ir.Constant(low.type, None))


def _pack_panels(c: Product, g: dict[str, Any], width: int) -> None:
    """Vectors as they are, panel by panel."""
    b, lanes = c.b, c.form.lanes

    def panel(p: Any) -> None:
        first = b.mul(p, const(width))
        left, source, target = b.sub(g["units"], first), c.element(g["source"], first), c.at(g["target"], b.mul(p, g["panel_stride"]))
        parts = [(at, c.first(b.sub(left, const(at)))) for at in range(0, width, lanes)]

        def lines(some: list[tuple[Any, Any, bool]]) -> None:
            for i, k, both in some:
                there = c.at(target, b.mul(i, const(width)))
                for at, mask in parts:
                    c.store(_line(c, g, c.element(source, const(at)), k, both, mask), c.at(there, at))
        _lines(c, g["depth"], lines)
    c.loop(const(0), b.sdiv(b.add(g["units"], const(width - 1)), const(width)), 1, panel)


def _pack_strips(c: Product, g: dict[str, Any], width: int) -> None:
    """Parts of a vector as they are, a few k of all panels: memory is read in its order."""
    b = c.b

    def lines(some: list[tuple[Any, Any, bool]]) -> None:
        def panel(p: Any) -> None:
            first = b.mul(p, const(width))
            mask = c.first(c.least(b.sub(g["units"], first), const(width)))
            source, target = c.element(g["source"], first), c.at(g["target"], b.mul(p, g["panel_stride"]))
            for i, k, both in some:
                c.store(_line(c, g, source, k, both, mask), c.at(target, b.mul(i, const(width))), mask)
        c.loop(const(0), b.sdiv(b.add(g["units"], const(width - 1)), const(width)), 1, panel)
    _lines(c, g["depth"], lines, ROUND)


def _pack_along_k(c: Product, g: dict[str, Any], source: Any, target: Any, width: int, inside: Any, kept: Any) -> None:
    """Square blocks transposed; beyond the units the last one again."""
    b, lanes = c.b, c.form.lanes
    used, each = min(lanes, width), 2 if c.paired else 1
    starts = [c.element(source, b.mul(c.least(const(u), b.sub(inside, const(1))), g["unit_stride"])) for u in range(used)]

    def read(place: Any, left: Any) -> Any:
        return c.adjacent_pairs(place, left) if c.paired else c.read(place, None if left is None else c.first(c.least(left, const(lanes))))

    def block(k: Any, left: Any) -> None:
        rows = [read(c.element(start, k), left) for start in starts] + [c.zero()] * (lanes - used)
        line = b.sdiv(k, const(each))
        for i, vector in enumerate(c.transposed(rows)):  # what is too deep is overwritten by the next panel
            c.store(vector, c.at(target, b.mul(b.add(line, const(i)), const(width))), kept)
    step = lanes * each
    if lanes * c.form.size == 64:  # masks cost nothing
        c.loop(const(0), b.add(g["depth"], const(step - 1)), step, lambda k: block(k, b.sub(g["depth"], k)))
        return
    end = b.load(c.loop(const(0), g["depth"], step, lambda k: block(k, None)), typ=I64)
    with b.if_then(b.icmp_signed("<", end, g["depth"])):
        block(end, b.sub(g["depth"], end))


def _pack_any(c: Product, g: dict[str, Any], source: Any, target: Any, width: int, inside: Any, kept: Any) -> None:
    """One by one."""
    b = c.b
    memory, align = Scalars.memory(c.dtype), FORMS[c.dtype][3]

    def lines(some: list[tuple[Any, Any, bool]]) -> None:
        for i, k, both in some:
            here = c.at(target, b.mul(i, const(width)))

            def one(u: Any, here: Any = here, k: Any = k, both: bool = both) -> None:
                place = c.element(source, b.add(b.mul(k, g["k_stride"]), b.mul(u, g["unit_stride"])))
                value = b.load(place, typ=memory, align=align)
                if c.paired:
                    value = c.pairs(value, b.load(c.element(place, g["k_stride"]), typ=memory, align=align) if both else ir.Constant(I16, 0))
                b.store(value if c.paired else c.wide(value), c.at(here, u))
            c.loop(const(0), inside, 1, one)
    _lines(c, g["depth"], lines)
