"""Matrix products written out in LLVM IR, for one number type each: tiles of sums in registers, panels packed where that pays.

Every sum is one chain of multiply-adds in the order of k, from zero, whatever the tile, the blocks, the packing or the thread
it falls into: blocks of k continue the sums of the blocks before them. Bias, relu and rounding to a narrower type come last.
Where the processor multiplies bfloat16, a link of the chain is the sum of two products, for k and k + 1.

A thread works on rectangles of a result. It goes through blocks of columns and of k; for each it packs B's part into
panels of four vectors (in a thread's scratch memory) and, for blocks of rows, A's part into panels as high as a tile. What
lies well already is read where it is: tiles take any strides.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.code import I64, KERNEL, POINTER
from rushlight.exec.cpu.gemm_code import SUMS, Product, function, narrow
from rushlight.exec.cpu.gemm_packing import GAP, pack
from rushlight.exec.cpu.gemm_slots import DIRECT, PACKED, SLOTS
from rushlight.exec.cpu.tiles import WIDTH, Form, const

FINAL, RELU = 1, 2


# --- tiles ----------------------------------------------------------------------------------------------------------
TILE = "*a a_row a_k *b b_k depth width *sums sums_row add *out out_row *bias flags"


def tile(module: Any, dtype: str, rows: int, vectors: int) -> Any:
    """sums[r, :] (+)= Σ over k of a[r, k] · b[k, :] for `width` columns; with FINAL, the result's elements instead."""
    c, g = function(module, f"tile{rows}x{vectors}", dtype, TILE)
    b, lanes, vector = c.b, c.form.lanes, c.form.vector
    last = c.first(b.sub(g["width"], const((vectors - 1) * lanes)))
    masks = [None] * (vectors - 1) + [last]
    places = [(r, v) for r in range(rows) for v in range(vectors)]
    lines = [c.at(g["a"], b.mul(g["a_row"], const(r))) for r in range(rows)]
    sums = {p: c.variable(vector, c.zero()) for p in places}

    def sum_at(r: int, v: int) -> Any:
        return c.at(g["sums"], b.add(b.mul(g["sums_row"], const(r)), const(v * lanes)))
    with b.if_then(b.icmp_signed("!=", g["add"], const(0))):
        for r, v in places:
            b.store(c.load(sum_at(r, v), masks[v]), sums[r, v])
    panel, offset = c.variable(POINTER, g["b"]), c.variable(I64, const(0))

    def step(_: Any) -> None:
        here, at = b.load(panel, typ=POINTER), b.load(offset, typ=I64)
        parts = [c.load(c.at(here, v * lanes), masks[v]) for v in range(vectors)]
        for r, line in enumerate(lines):
            x = c.splat(b.load(c.at(line, at), typ=c.form.real))
            for v, part in enumerate(parts):
                b.store(c.multiply(x, part, c.value(sums[r, v])), sums[r, v])
        b.store(c.at(here, g["b_k"]), panel)
        b.store(b.add(at, g["a_k"]), offset)
    c.loop(const(0), g["depth"], 1, step)
    with b.if_else(c.is_set(g["flags"], FINAL)) as (final, more):
        with final:
            _finish(c, g, sums, masks)
        with more:
            for r, v in places:
                c.store(c.value(sums[r, v]), sum_at(r, v), masks[v])
    b.ret_void()
    return c.function


def _finish(c: Product, g: dict[str, Any], sums: dict[tuple[int, int], Any], masks: list[Any]) -> None:
    """Bias, relu, and the elements of the result."""
    b, lanes = c.b, c.form.lanes
    with b.if_then(b.icmp_unsigned("!=", b.ptrtoint(g["bias"], I64), const(0))):
        added = [c.read(c.element(g["bias"], v * lanes), mask) for v, mask in enumerate(masks)]
        for (_, v), place in sums.items():
            b.store(c.add(c.value(place), added[v]), place)
    with b.if_then(c.is_set(g["flags"], RELU)):
        for place in sums.values():
            b.store(c.positive(c.value(place)), place)
    for (r, v), place in sums.items():
        c.write(c.value(place), c.element(g["out"], b.add(b.mul(g["out_row"], const(r)), const(v * lanes))), masks[v])


# --- blocks ---------------------------------------------------------------------------------------------------------
BLOCK = "*a a_tile a_row a_k *b b_panel b_k depth rows columns *sums sums_row add *out out_row *bias flags"


def block(module: Any, dtype: str) -> Any:
    """All tiles of a block: a tile's rows of A lie in the first cache while B's panels go by, which the second holds."""
    form = Form(SUMS[dtype])
    heights = sorted({form.rows[0], 2, 1}, reverse=True)
    tiles = {(rows, v): tile(module, dtype, rows, v) for rows in heights for v in range(1, WIDTH + 1)}
    c, g = function(module, "block", dtype, BLOCK)
    b, high, wide = c.b, form.rows[0], form.panel
    bias = b.icmp_unsigned("!=", b.ptrtoint(g["bias"], I64), const(0))
    panels = b.sdiv(b.add(g["columns"], const(wide - 1)), const(wide))

    def across(i: Any, rows: int) -> None:
        a = c.at(g["a"], b.add(b.mul(b.sdiv(i, const(high)), g["a_tile"]), b.mul(b.srem(i, const(high)), g["a_row"])))

        def one(p: Any) -> None:
            j = b.mul(p, const(wide))
            sums = c.at(g["sums"], b.add(b.mul(i, g["sums_row"]), j))
            out = c.element(g["out"], b.add(b.mul(i, g["out_row"]), j))
            width = c.least(b.sub(g["columns"], j), const(wide))
            arguments = [a, g["a_row"], g["a_k"], c.at(g["b"], b.mul(p, g["b_panel"])), g["b_k"], g["depth"], width, sums, g["sums_row"], g["add"],
                         out, g["out_row"], b.select(bias, c.element(g["bias"], j), g["bias"]), g["flags"]]
            after = c.function.append_basic_block("after")
            switch = b.switch(b.sdiv(b.add(width, const(form.lanes - 1)), const(form.lanes)), after)
            for v in range(1, WIDTH + 1):
                b.position_at_end(case := c.function.append_basic_block(f"vectors{v}"))
                switch.add_case(const(v), case)
                b.call(tiles[rows, v], arguments)
                b.branch(after)
            b.position_at_end(after)
        c.loop(const(0), panels, 1, one)
    begin: Any = const(0)
    for rows in heights:
        begin = b.load(c.loop(begin, g["rows"], rows, partial(across, rows=rows)), typ=I64)
    b.ret_void()
    return c.function


# --- the kernel -----------------------------------------------------------------------------------------------------
def blocked(dtype: str, name: str) -> str:
    """out[z] = a[z] · b[z] + bias for units begin … end-1; a unit is a part of the columns and of the rows of a matrix z.

    Neighbouring rows of the same columns, up to ``together`` parts of them, are one rectangle: B is packed for all of them.
    """
    module = ir.Module(name)
    form = Form(SUMS[dtype])
    high, wide = form.rows[0], form.panel
    pack_a, pack_b, multiply = pack(module, dtype, "pack_a", high), pack(module, dtype, "pack_b", wide), block(module, dtype)
    c = Product(ir.Function(module, KERNEL, name), dtype)
    b, s = c.b, c.named(SLOTS)
    scratch = c.at(s["scratch"], b.mul(s["scratch_size"], c.function.args[3]))
    packed_b, kept_sums = c.at(scratch, s["b_at"]), c.at(scratch, s["sums_at"])
    direct_a, direct_b = (b.icmp_signed("==", s[way], const(DIRECT)) for way in ("a_way", "b_way"))
    before = b.icmp_signed("==", s["b_way"], const(PACKED))
    whole = b.mul(b.sdiv(b.add(s["n"], const(wide - 1)), const(wide)), const(wide))  # columns of all panels
    kept = c.variable(I64, const(-1))  # the part of B that is packed already

    def rectangle(u: Any) -> Any:
        part, row_part = b.sdiv(u, s["row_parts"]), b.srem(u, s["row_parts"])
        run = c.least(c.least(b.sub(c.function.args[2], u), b.sub(s["row_parts"], row_part)), s["together"])
        i = b.mul(row_part, s["unit_rows"])
        z, j = b.sdiv(part, s["column_parts"]), b.mul(b.srem(part, s["column_parts"]), s["unit_columns"])
        rows, end = c.least(b.sub(s["m"], i), b.mul(run, s["unit_rows"])), c.least(b.add(j, s["unit_columns"]), s["n"])
        a = c.element(s["a"], b.add(c.word(s["a_starts"], z), b.mul(i, s["a_row"])))
        source = c.element(s["b"], c.word(s["b_starts"], z))
        out = c.element(s["out"], b.mul(s["n"], b.add(b.mul(z, s["m"]), i)))
        count = b.sdiv(b.add(b.sub(end, j), b.sub(s["block_columns"], const(1))), s["block_columns"])
        once = b.and_(b.icmp_signed("==", b.mul(count, s["k_blocks"]), const(1)), b.icmp_signed("==", b.load(kept, typ=I64), part))
        b.store(part, kept)

        def columns(block_: Any) -> None:
            first = b.add(j, b.mul(block_, s["block_columns"]))
            c.loop(const(0), s["k_blocks"], 1, lambda kb: depth(first, c.least(b.sub(end, first), s["block_columns"]), kb))

        def depth(first: Any, width: Any, kb: Any) -> None:
            k = b.mul(kb, s["block_k"])
            deep = c.least(b.sub(s["k"], k), s["block_k"])
            lines = b.sdiv(b.add(deep, const(1)), const(2)) if c.paired else deep  # of packed panels
            here = c.element(source, b.add(b.mul(k, s["b_k"]), b.mul(first, s["b_n"])))
            with b.if_then(b.not_(b.or_(b.or_(direct_b, before), once))):
                b.call(pack_b, [packed_b, b.mul(lines, const(wide)), here, s["b_n"], s["b_k"], width, deep, s["b_way"]])
            lasting = c.at(s["panels"], b.add(b.mul(b.sdiv(k, const(2)) if c.paired else k, whole), b.mul(first, lines)))
            panels = (b.select(direct_b, here, b.select(before, lasting, packed_b)), b.select(direct_b, const(wide), b.mul(lines, const(wide))),
                      b.select(direct_b, s["b_k"], const(wide)))
            final = b.icmp_signed("==", kb, b.sub(s["k_blocks"], const(1)))
            strip_stride = b.add(b.mul(lines, const(high)), const(GAP))
            flags = b.select(final, b.or_(const(FINAL), b.mul(s["relu"], const(RELU))), const(0))
            bias = b.select(b.icmp_unsigned("!=", b.ptrtoint(s["bias"], I64), const(0)), c.element(s["bias"], first), s["bias"])

            def strip(at: Any) -> None:
                high_ = c.least(b.sub(rows, at), s["block_rows"])
                there = c.element(a, b.add(b.mul(at, s["a_row"]), b.mul(k, s["a_k"])))
                with b.if_then(b.not_(direct_a)):
                    b.call(pack_a, [scratch, strip_stride, there, s["a_row"], s["a_k"], high_, deep, s["a_way"]])
                tiles = (b.select(direct_a, there, scratch), b.select(direct_a, b.mul(s["a_row"], const(high)), strip_stride),
                         b.select(direct_a, s["a_row"], const(1)), b.select(direct_a, s["a_k"], const(high)))
                target = c.element(out, b.add(b.mul(at, s["n"]), first))
                sums, sums_row = (c.at(kept_sums, b.mul(at, s["block_columns"])), s["block_columns"]) if narrow(dtype) else (target, s["n"])
                b.call(multiply, [*tiles, *panels, lines, high_, width, sums, sums_row, kb, target, s["n"], bias, flags])
            strips = b.sdiv(b.add(rows, b.sub(s["block_rows"], const(1))), s["block_rows"])
            c.loop(const(0), strips, 1, lambda i: strip(b.mul(i, s["block_rows"])))
        c.loop(const(0), count, 1, columns)
        return b.add(u, run)
    at = c.variable(I64, c.function.args[1])
    head, body, done = (c.function.append_basic_block(n) for n in ("units", "rectangle", "done"))
    b.branch(head)
    b.position_at_end(head)
    u = b.load(at, typ=I64)
    b.cbranch(b.icmp_signed("<", u, c.function.args[2]), body, done)
    b.position_at_end(body)
    b.store(rectangle(u), at)
    b.branch(head)
    b.position_at_end(done)
    b.ret(const(0))
    return str(module)
