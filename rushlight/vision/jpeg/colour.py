"""The kernel that brings colour to the density of brightness and makes pixels of both, with libjpeg's integers.

A colour sample between two others is (3·near + far) / 4 in each direction, rounded one way for left and the other for
right neighbours ("fancy" upsampling). Pixels: R = Y + 1.402 Cr, G = Y - 0.34414 Cb - 0.71414 Cr, B = Y + 1.772 Cb.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.writer import I8, I32, I64, Writer

I16 = ir.IntType(16)
PIXELS = 16  # made at a time
COLUMNS = PIXELS // 2  # of colour, where it is sampled half as densely
POINT = 16  # bits after the point
SLOTS = ("*luma", "luma_stride", "*blue", "*red", "stride", "first_row", "last_row", "top", "height", "width", "columns", "*edges", "*lines", "*out",
         "out_stride")


def writer_of(sampling: tuple[int, int]) -> Any:
    """The function that writes the kernel of a kind of sampling.

    Its slots: the window's first sample of brightness; the samples of colour in the column before the window's first (or in it
    where they are as dense), in the row ``first_row`` of the picture's colour; the last row of colour; the window's first row,
    its size; how many columns of colour are to be made, the one before and the one after included; which of these repeat their
    neighbour because the picture ends there (two int64); scratch for four lines; four bytes per pixel.
    """
    dense_x, dense_y = (n == 1 for n in sampling)

    def write(name: str) -> str:
        w = Writer(name, SLOTS)
        b, s = w.b, w.s

        def row(y: Any) -> tuple[Any, ...]:
            near, far = _rows(w, b.add(y, s["top"]), dense_y)
            lines = []
            for i, plane in enumerate(("blue", "red")):
                source, other = (w.at(s[plane], b.mul(b.sub(r, s["first_row"]), s["stride"])) for r in (near, far))
                lines.append((source, w.at(s["lines"], b.mul(w.number(2 * i), b.add(s["columns"], w.number(2 * PIXELS)))), other))
            if not dense_x:
                for source, line, other in lines:
                    _line(w, source, other, line, dense_y)
            luma, out = w.at(s["luma"], b.mul(y, s["luma_stride"])), w.at(s["out"], b.mul(y, s["out_stride"]))

            def pixels(x: Any) -> tuple[Any, ...]:
                kind = ir.VectorType(I32, PIXELS)
                level = b.zext(w.load(w.at(luma, x), ir.VectorType(I8, PIXELS)), kind)
                if dense_x:
                    blue, red = (b.zext(w.load(w.at(source, x), ir.VectorType(I8, PIXELS)), kind) for source, _, _ in lines)
                else:
                    blue, red = (b.sext(_between(w, w.at(line, x), dense_y), kind) for _, line, _ in lines)
                w.store(_pixels(w, level, blue, red), w.at(out, x, I32))
                return ()
            w.loop(s["width"], pixels, step=PIXELS)
            return ()
        w.loop(s["height"], row)
        return w.done()
    return write


def _rows(w: Writer, y: Any, dense: bool) -> tuple[Any, Any]:
    """The row of colour nearest to a row of the picture, and the next nearest; at the picture's ends the same."""
    b = w.b
    if dense:
        return y, y
    near = b.ashr(y, w.number(1))
    far = b.add(near, b.sub(b.shl(b.and_(y, w.number(1)), w.number(1)), w.number(1)))
    far = b.select(b.icmp_signed("<", far, w.number(0)), w.number(0), far)
    return near, b.select(b.icmp_signed(">", far, w.s["last_row"]), w.s["last_row"], far)


def _line(w: Writer, source: Any, other: Any, line: Any, dense_y: bool) -> None:
    """A line of colour as i16: as it is, or three parts of the near and one of the far row."""
    b, s = w.b, w.s
    kind = ir.VectorType(I16, PIXELS)

    def chunk(x: Any) -> tuple[Any, ...]:
        value = b.zext(w.load(w.at(source, x), ir.VectorType(I8, PIXELS)), kind)
        if not dense_y:
            value = b.add(b.mul(value, w.same(3, PIXELS, I16)), b.zext(w.load(w.at(other, x), ir.VectorType(I8, PIXELS)), kind))
        w.store(value, w.at(line, x, I16))
        return ()
    w.loop(s["columns"], chunk, step=PIXELS)
    for place, inner, which in ((w.number(0), w.number(1), 0), (b.sub(s["columns"], w.number(1)), b.sub(s["columns"], w.number(2)), 1)):
        ends = b.icmp_signed("!=", w.load(w.at(s["edges"], which, I64), I64), w.number(0))
        own, neighbour = (w.load(w.at(line, at, I16), I16) for at in (place, inner))
        w.store(b.select(ends, neighbour, own), w.at(line, place, I16))


def _between(w: Writer, line: Any, dense_y: bool) -> Any:
    """Sixteen values from ten columns, the first and last of which are neighbours only; ``line`` is the address of as many
    bytes along as there are pixels before: two bytes a column, two pixels a column."""
    b = w.b
    left, middle, right = (w.load(w.at(line, i, I16), ir.VectorType(I16, COLUMNS)) for i in range(3))
    scale, before, after = (2, 1, 2) if dense_y else (4, 8, 7)
    most = b.mul(middle, w.same(3, COLUMNS, I16))
    pair = [b.lshr(b.add(b.add(most, side), w.same(rounding, COLUMNS, I16)), w.same(scale, COLUMNS, I16))
            for side, rounding in ((left, before), (right, after))]
    return b.shuffle_vector(*pair, ir.Constant(ir.VectorType(I32, PIXELS), [i // 2 + COLUMNS * (i % 2) for i in range(PIXELS)]))


def _pixels(w: Writer, level: Any, blue: Any, red: Any) -> Any:
    """Red in the lowest byte, then green and blue."""
    b = w.b

    def number(value: float) -> Any:
        return w.same(round(value * (1 << POINT)), PIXELS)

    def same(value: int) -> Any:
        return w.same(value, PIXELS)
    blue, red = (b.sub(value, same(128)) for value in (blue, red))
    half = same(1 << (POINT - 1))
    shares = (b.mul(red, number(1.402)), b.add(b.mul(blue, number(-0.34414)), b.mul(red, number(-0.71414))), b.mul(blue, number(1.772)))
    pixel = None
    for i, share in enumerate(shares):
        value = b.add(level, b.ashr(b.add(share, half), same(POINT)))
        value = b.select(b.icmp_signed("<", value, same(0)), same(0), value)
        value = b.select(b.icmp_signed(">", value, same(255)), same(255), value)
        pixel = value if pixel is None else b.or_(pixel, b.shl(value, same(8 * i)))
    return pixel
