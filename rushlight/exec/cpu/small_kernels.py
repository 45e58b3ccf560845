"""Small products of float32, added up as PyTorch does: the orders ``apart``, ``lanes`` and ``dot`` of `exec.order`.

Products and sums are rounded each for itself. Vectors run along the columns of a result, with a few rows at once; nothing is
packed and a matrix is one unit, since all of it is small. Where k is adjacent, vectors hold the sums for k mod 4 or 8.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir

from rushlight.exec import order
from rushlight.exec.cpu.code import I32, I64
from rushlight.exec.cpu.matvec_kernels import Vector
from rushlight.exec.cpu.tiles import const

ROWS = 4  # of a result at once: their sums do not wait for each other


def _columns(name: str, dtype: str, adjacent: bool) -> str:
    """out[i, j] = Σ over k of a[i, k] · b[k, j] in the order of k; `adjacent` says whether a row of b is."""
    c = Vector(dtype, name)
    b, s = c.b, c.slots

    def columns(a: Any, source: Any, out: Any, j: Any, end: Any) -> None:
        c.vectors(j, end, lambda v, mask: strip(a, c.element(source, b.mul(v, s["b_n"])), out, v, mask))

    def strip(a: Any, source: Any, out: Any, j: Any, mask: Any) -> None:
        rest = b.load(c.loop(const(0), s["m"], ROWS, lambda i: rows(a, source, out, i, j, mask, ROWS)), typ=I64)
        c.loop(rest, s["m"], 1, lambda i: rows(a, source, out, i, j, mask, 1))

    def rows(a: Any, source: Any, out: Any, i: Any, j: Any, mask: Any, high: int) -> None:
        lines = [c.element(a, b.mul(b.add(i, const(r)), s["a_row"])) for r in range(high)]
        sums = [c.variable(c.form.vector, c.zero()) for _ in lines]

        def step(k: Any) -> None:
            place = c.element(source, b.mul(k, s["b_k"]))
            part = c.read(place, mask) if adjacent else c.wide(c.s.gather(place, dtype, s["b_n"], c.iota, mask))
            for line, total in zip(lines, sums):
                product = b.fmul(c.splat(c.scalar(c.element(line, b.mul(k, s["a_k"])))), part)
                b.store(b.fadd(c.value(total), product), total)
        c.loop(const(0), s["k"], 1, step)
        for r, total in enumerate(sums):
            c.finish(c.value(total), c.element(out, b.mul(b.add(i, const(r)), s["n"])), j, mask)
    return c.units(columns)


def apart(dtype: str, name: str) -> str:
    """In the order of k; rows of b are adjacent."""
    return _columns(name, dtype, True)


def apart_gathered(dtype: str, name: str) -> str:
    """In the order of k; rows of b lie as they like."""
    return _columns(name, dtype, False)


def lanes(dtype: str, name: str) -> str:
    """Sums for k mod 4, in the columns beyond the last whole four for k mod 8; vectors hold them, k is adjacent in both operands."""
    c = Vector(dtype, name)
    b, s, real = c.b, c.slots, c.form.real

    def columns(a: Any, source: Any, out: Any, j: Any, end: Any) -> None:
        rest = b.load(c.loop(j, end, order.LANES, lambda j: down(a, source, out, j, order.LANES)), typ=I64)
        c.loop(rest, end, 1, lambda j: down(a, source, out, j, 1))

    def down(a: Any, source: Any, out: Any, j: Any, wide: int) -> None:
        rest = b.load(c.loop(const(0), s["m"], 2, lambda i: tile(a, source, out, i, j, 2, wide)), typ=I64)
        c.loop(rest, s["m"], 1, lambda i: tile(a, source, out, i, j, 1, wide))

    def tile(a: Any, source: Any, out: Any, i: Any, j: Any, high: int, wide: int) -> None:
        width = order.LANES if wide > 1 else 2 * order.LANES
        vector = ir.VectorType(real, width)
        xs = [c.element(a, b.mul(b.add(i, const(r)), s["a_row"])) for r in range(high)]
        ys = [c.element(source, b.mul(b.add(j, const(q)), s["b_n"])) for q in range(wide)]
        sums = {(r, q): c.variable(vector, ir.Constant(vector, None)) for r in range(high) for q in range(wide)}

        def step(k: Any) -> None:
            rows, lines = ([b.load(c.element(p, k), typ=vector, align=c.form.size) for p in places] for places in (xs, ys))
            for (r, q), place in sums.items():
                b.store(b.fadd(b.load(place, typ=vector), b.fmul(rows[r], lines[q])), place)
        whole = b.load(c.loop(const(0), s["k"], width, step), typ=I64)
        for (r, q), place in sums.items():
            total = c.variable(real, folded(b.load(place, typ=vector)))

            def last(k: Any, x: Any = xs[r], y: Any = ys[q], total: Any = total) -> None:
                b.store(b.fadd(b.load(total, typ=real), b.fmul(c.scalar(c.element(x, k)), c.scalar(c.element(y, k)))), total)
            c.loop(whole, s["k"], 1, last)
            c.finish(b.load(total, typ=real), c.element(out, b.mul(b.add(i, const(r)), s["n"])), b.add(j, const(q)))

    def folded(x: Any) -> Any:
        while x.type.count > order.LANES:
            half = x.type.count // 2
            x = b.fadd(c.pick(x, x, range(half)), c.pick(x, x, range(half, 2 * half)))
        e = [b.extract_element(x, ir.Constant(I32, lane)) for lane in range(order.LANES)]
        return b.fadd(b.fadd(e[0], e[2]), b.fadd(e[1], e[3]))
    return c.units(columns)


def dot(dtype: str, name: str) -> str:
    """One sum of products of adjacent elements: rounds of two groups of eight, then eight, four and one at a time."""
    c = Vector(dtype, name)
    b, s, form = c.b, c.slots, c.form
    width = order.group(4)

    def vector(size: int) -> Any:
        return ir.VectorType(form.real, size)

    def products(x: Any, y: Any, at: Any, size: int) -> Any:
        parts = [b.load(c.element(p, at), typ=vector(size), align=form.size) for p in (x, y)]
        return b.fmul(*parts)

    def picked(x: Any, places: range) -> Any:
        return c.pick(x, ir.Constant(x.type, None), places)

    def columns(x: Any, y: Any, out: Any, j: Any, end: Any) -> None:
        sums = [c.variable(vector(width), ir.Constant(vector(width), None)) for _ in range(2)]

        def add(at: Any, which: int, size: int) -> None:
            p = products(x, y, at, size)
            if size < width:  # zeros for the others: sums are never -0
                p = picked(p, range(size + 1)) if size == 1 else p
                p = c.pick(p, ir.Constant(p.type, None), [*range(size), *[size] * (width - size)])
            b.store(b.fadd(b.load(sums[which], typ=vector(width)), p), sums[which])

        def both(i: Any) -> None:
            add(i, 0, width)
            add(b.add(i, const(width)), 1, width)
        at: Any = b.load(c.loop(const(0), s["k"], 2 * width, both), typ=I64)
        for size in (width, width // 2, 1):
            at = b.load(c.loop(at, s["k"], size, partial(add, which=0, size=size)), typ=I64)
        half = width // 2
        quarters = [picked(b.load(x, typ=vector(width)), range(i, i + half)) for x in sums for i in (0, half)]
        total = b.fadd(b.fadd(b.fadd(quarters[0], quarters[1]), quarters[2]), quarters[3])
        e = [b.extract_element(total, ir.Constant(I32, i)) for i in range(half)]
        c.finish(b.fadd(b.fadd(e[0], e[2]), b.fadd(e[1], e[3])), out, j)
    return c.units(columns)


def kernel(way: str, b_adjacent: bool) -> Callable[[str, str], str] | None:
    """The kernel for an order, None for one that is not of this file."""
    return {"apart": apart if b_adjacent else apart_gathered, "lanes": lanes, "dot": dot}.get(way)
