"""Convolutions with few output channels, written out: vectors run along the width, where oneDNN's run along the channels.

A unit copies an image (or rows of it) into a padded frame in a thread's scratch memory, channel by channel, whichever way it lies;
then rows of results are sums over channels and taps of shifted rows times one weight. Results have channels last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.code import KERNEL
from rushlight.exec.cpu.tiles import Form, Vectors, const

FEW_CHANNELS = 8  # up to as many are interleaved: more shuffles than a square block transposed, but whole vectors to store
FRAME = ("C", "H", "W", "top", "left", "rows", "row")  # of an image: its sizes, the padding before it, and the sizes of its frame
FORWARD_SLOTS = ("*x", "x_n", "x_c", "x_h", "x_w", *FRAME, "*w", "w_k", "w_c", "w_h", "w_w", "taps", "*bias", "*out", "Ho", "Wo", "chunk", "chunks",
                 "*scratch", "scratch_size", "weights")
WEIGHT_SLOTS = ("*x", "x_n", "x_c", "x_h", "x_w", *FRAME, "*y", "y_n", "y_c", "y_h", "y_w", "Ho", "Wo", "Wq", "taps", "N", "group", "*parts",
                "*scratch", "scratch_size", "slopes", "sums")
SUM_SLOTS = ("*parts", "*out", "count", "units")


@dataclass(frozen=True, kw_only=True)
class Layers:
    """What the code of a kernel depends on: its number type, output channels, the channels of the images and slopes that lie channel
    by channel (0: row by row), and what follows the sums."""

    form: Form
    channels: int
    turned: int
    turned_slopes: int = 0
    bias: bool = False
    relu: bool = False

    @property
    def ending(self) -> str:
        """The end of a kernel's key."""
        extras = [name for name in ("bias", "relu") if getattr(self, name)]
        return " ".join([f"turned{self.turned},{self.turned_slopes}", *extras])


@dataclass(frozen=True, kw_only=True)
class Shape(Layers):
    """What the code of these kernels depends on beside that: taps along the width, and vectors and rows of a tile of results."""

    taps: int
    vectors: int = 1
    rows: int = 1

    def __str__(self) -> str:
        return f"{self.form} k{self.channels} taps{self.taps} tile{self.rows}x{self.vectors} {self.ending}"


class Direct(Vectors):
    """What both kernels do."""

    def __init__(self, name: str, shape: Layers, slots: tuple[str, ...]):
        super().__init__(ir.Function(ir.Module(name), KERNEL, name), shape.form)
        self.shape = shape
        self.slots = self.named(slots)
        self.scratch = self.at(self.slots["scratch"], self.b.mul(self.slots["scratch_size"], self.function.args[3]))

    def frame(self, source: Any, strides: str, turned: int, first: Any, count: Any) -> None:
        """Rows first … first+count-1 of the padded image, in the frame."""
        b, s = self.b, self.slots

        def row(i: Any) -> None:
            y = b.sub(b.add(first, i), s["top"])
            inside = b.icmp_unsigned("<", y, s["H"])
            target = self.at(self.scratch, b.add(b.mul(i, s["row"]), s["left"]))
            line = self.at(source, b.mul(b.select(inside, y, const(0)), s[f"{strides}_h"]))
            plane = b.mul(s["rows"], s["row"])
            with b.if_else(inside) as (there, outside):
                with there:
                    self.spread(line, s[f"{strides}_c"], s[f"{strides}_w"], target, plane, s["C"], s["W"], turned)
                with outside:
                    self.loop(const(0), s["C"], 1, lambda c: self.clear(self.at(target, b.mul(c, plane)), s["W"]))
        self.loop(const(0), count, 1, row)

    def clear(self, target: Any, count: Any) -> None:
        self.vectors(const(0), count, lambda v, mask: self.store(self.zero(), self.at(target, v), mask))

    def spread(self, line: Any, channel: Any, step: Any, target: Any, plane: Any, channels: Any, width: Any, turned: int) -> None:
        """One row of all channels, each to its plane."""
        b, lanes = self.b, self.form.lanes
        if not turned:
            self.loop(const(0), channels, 1, lambda c: self.copy(self.at(line, b.mul(c, channel)), self.at(target, b.mul(c, plane)), width))
            return
        for base in range(0, turned, lanes):
            used = min(lanes, turned - base)

            def block(x: Any, mask: Any, base: int = base, used: int = used) -> None:
                read = []
                for u in range(lanes):
                    count = const(used) if mask is None else b.select(b.icmp_signed("<", b.add(x, const(u)), width), const(used), const(0))
                    read.append(self.load(self.at(line, b.add(b.mul(b.add(x, const(u)), step), const(base))), self.first(count)))
                for i, vector in enumerate(self.transposed(read)[:used]):
                    self.store(vector, self.at(target, b.add(b.mul(plane, const(base + i)), x)), mask)
            self.vectors(const(0), width, block)


def forward(shape: Shape, name: str) -> str:
    """out[n, y, x, k] = bias[k] + Σ over c and taps of x[n, c, y + …, x + …] · w[k, c, …]; units are chunks of rows of an image."""
    k = Direct(name, shape, FORWARD_SLOTS)
    b, s, lanes, channels = k.b, k.slots, shape.form.lanes, shape.channels
    weights = k.at(k.scratch, s["weights"])
    plane = b.mul(s["rows"], s["row"])
    k.loop(const(0), s["weights"], lanes, lambda v: k.store(k.zero(), k.at(k.scratch, v)))
    _pack_weights(k, shape, weights)
    wide = shape.vectors * lanes

    def unit(u: Any) -> None:
        image, part = b.sdiv(u, s["chunks"]), b.srem(u, s["chunks"])
        begin = b.mul(part, s["chunk"])
        height = k.least(b.sub(s["Ho"], begin), s["chunk"])
        k.frame(k.at(s["x"], b.mul(image, s["x_n"])), "x", shape.turned, begin, b.sub(b.add(height, s["taps"]), const(1)))
        out = k.at(s["out"], b.mul(b.add(b.mul(image, s["Ho"]), begin), b.mul(s["Wo"], const(channels))))

        tiles = b.sdiv(b.add(s["Wo"], const(wide - 1)), const(wide))

        def across(y: Any, rows: int) -> None:
            before = b.sub(s["top"], b.add(begin, y))  # rows of padding from the tile's first row on
            taps = k.most(const(0), b.sub(before, const(rows - 1))), k.least(s["taps"], b.add(before, s["H"]))
            k.loop(const(0), tiles, 1, lambda i: tile(y, b.mul(i, const(wide)), rows, out, taps))
        end = b.load(k.loop(const(0), height, shape.rows, lambda y: across(y, shape.rows)), typ=height.type)
        if shape.rows > 1:
            k.loop(end, height, 1, lambda y: across(y, 1))

    def tile(y: Any, x: Any, rows: int, out: Any, taps: tuple[Any, Any]) -> None:
        places = [(r, v) for r in range(rows) for v in range(shape.vectors)]
        sums = {}
        for c in range(channels):
            start = k.splat(b.load(k.at(s["bias"], c), typ=shape.form.real)) if shape.bias else k.zero()
            sums.update({(c, p): k.variable(shape.form.vector, start) for p in places})

        def line(c: Any, t: Any) -> None:
            here = k.at(k.scratch, b.add(b.mul(c, plane), b.add(b.mul(b.add(y, t), s["row"]), x)))
            weight = k.at(weights, b.mul(b.add(b.mul(c, s["taps"]), t), const(shape.taps * channels)))
            for j in range(shape.taps):
                read = {(r, v): k.load(k.at(here, b.add(b.mul(s["row"], const(r)), const(v * lanes + j)))) for r, v in places}
                for out_channel in range(channels):
                    w = k.splat(b.load(k.at(weight, j * channels + out_channel), typ=shape.form.real))
                    for p in places:
                        place = sums[out_channel, p]
                        b.store(k.fma(w, read[p], k.value(place)), place)
        k.loop(const(0), s["C"], 1, lambda c: k.loop(*taps, 1, lambda t: line(c, t)))
        for r, v in places:
            values = [finished(k, k.value(sums[c, (r, v)])) for c in range(channels)]
            at = b.add(x, const(v * lanes))
            place = k.at(out, b.mul(b.add(b.mul(b.add(y, const(r)), s["Wo"]), at), const(channels)))
            _store_last(k, values, place, b.sub(s["Wo"], at))
    k.loop(k.function.args[1], k.function.args[2], 1, unit)
    b.ret(const(0))
    return str(k.module)


def finished(k: Direct, value: Any) -> Any:
    """A result, after the relu if there is one."""
    if not k.shape.relu:
        return value
    return k.b.select(k.b.fcmp_ordered("<", value, k.zero()), k.zero(), value)  # NaN and -0 stay, as in relu alone


def _pack_weights(k: Direct, shape: Shape, target: Any) -> None:
    """In the order that the sums read: [c][tap down][tap across][k]."""
    b, s = k.b, k.slots

    def tap(c: Any, t: Any) -> None:
        source = b.add(b.mul(c, s["w_c"]), b.mul(t, s["w_h"]))
        base = b.mul(b.add(b.mul(c, s["taps"]), t), const(shape.taps * shape.channels))
        for j in range(shape.taps):
            for out_channel in range(shape.channels):
                at = b.add(source, b.add(b.mul(s["w_w"], const(j)), b.mul(s["w_k"], const(out_channel))))
                b.store(b.load(k.at(s["w"], at), typ=shape.form.real), k.at(target, b.add(base, const(j * shape.channels + out_channel))))
    k.loop(const(0), s["C"], 1, lambda c: k.loop(const(0), s["taps"], 1, lambda t: tap(c, t)))


def _store_last(k: Direct, values: list[Any], place: Any, left: Any) -> None:
    """Vectors along the width, one a channel, as adjacent channels: of as many positions as there are left."""
    b, lanes = k.b, k.form.lanes
    if len(values) <= FEW_CHANNELS:
        _store_interleaved(k, k.interleaved(values), place, b.mul(left, const(len(values))))
        return
    for base in range(0, len(values), lanes):
        some = values[base:base + lanes]
        mask = ir.Constant(ir.VectorType(ir.IntType(1), lanes), [ir.Constant(ir.IntType(1), int(i < len(some))) for i in range(lanes)])
        turned = k.transposed(some + [k.zero()] * (lanes - len(some)))
        whole = b.icmp_signed(">=", left, const(lanes))
        with b.if_else(whole) as (all_, part):
            with all_:
                for i, vector in enumerate(turned):
                    k.store(vector, k.at(place, i * len(values) + base), mask)
            with part:
                for i, vector in enumerate(turned):
                    with b.if_then(b.icmp_signed("<", const(i), left)):
                        k.store(vector, k.at(place, i * len(values) + base), mask)


def _store_interleaved(k: Direct, vectors: list[Any], place: Any, left: Any) -> None:
    """Vectors one after the other, of as many elements as there are left."""
    b, lanes = k.b, k.form.lanes
    with b.if_else(b.icmp_signed(">=", left, const(len(vectors) * lanes))) as (all_, part):
        with all_:
            for i, vector in enumerate(vectors):
                k.store(vector, k.at(place, i * lanes))
        with part:
            for i, vector in enumerate(vectors):
                with b.if_then(b.icmp_signed(">", left, const(i * lanes))):
                    k.store(vector, k.at(place, i * lanes), k.first(b.sub(left, const(i * lanes))))


def weight_grad(shape: Shape, name: str) -> str:
    """parts[u, k, c, …] = Σ over the images of group u of dy[n, k, y, x] · x[n, c, y + …, x + …]; units are groups of images.

    The groups depend on the number of images alone, so that sums have one order however many threads there are.
    """
    k = Direct(name, shape, WEIGHT_SLOTS)
    b, s, lanes, channels, taps = k.b, k.slots, shape.form.lanes, shape.channels, shape.taps
    slopes, sums = k.at(k.scratch, s["slopes"]), k.at(k.scratch, s["sums"])
    plane, slope_plane = b.mul(s["rows"], s["row"]), b.mul(s["Ho"], s["Wq"])
    lines = b.mul(s["C"], s["taps"])  # of taps: each has channels · taps sums
    k.loop(const(0), s["sums"], lanes, lambda v: k.store(k.zero(), k.at(k.scratch, v)))

    def unit(u: Any) -> None:
        k.loop(const(0), b.mul(lines, const(channels * taps)), 1, lambda i: k.store(k.zero(), k.at(sums, b.mul(i, const(lanes)))))
        first = b.mul(u, s["group"])
        k.loop(first, k.least(b.add(first, s["group"]), s["N"]), 1, image)

        def line(i: Any) -> None:
            for j in range(channels * taps):
                total = k.fold(k.load(k.at(sums, b.mul(b.add(b.mul(i, const(channels * taps)), const(j)), const(lanes)))), b.fadd)
                at = b.add(b.mul(b.add(b.mul(u, const(channels)), const(j // taps)), b.mul(lines, const(taps))), b.add(b.mul(i, const(taps)), const(j % taps)))
                b.store(b.extract_element(total, ir.Constant(ir.IntType(32), 0)), k.at(s["parts"], at))
        k.loop(const(0), lines, 1, line)

    def image(n: Any) -> None:
        k.frame(k.at(s["x"], b.mul(n, s["x_n"])), "x", shape.turned, const(0), s["rows"])
        source = k.at(s["y"], b.mul(n, s["y_n"]))
        k.loop(const(0), s["Ho"], 1, lambda y: k.spread(k.at(source, b.mul(y, s["y_h"])), s["y_c"], s["y_w"], k.at(slopes, b.mul(y, s["Wq"])), slope_plane,
                                                        const(channels), s["Wo"], shape.turned_slopes))
        k.loop(const(0), s["C"], 1, lambda c: k.loop(const(0), s["taps"], 1, lambda t: taps_of(c, t)))

    def taps_of(c: Any, t: Any) -> None:
        most = max(1, min(channels, 22 // taps))
        blocks = -(-channels // most)
        size = -(-channels // blocks)
        base = b.mul(b.add(b.mul(c, s["taps"]), t), const(channels * taps * lanes))
        for begin in range(0, channels, size):
            some = range(begin, min(channels, begin + size))
            places = {(i, j): k.at(sums, b.add(base, const((i * taps + j) * lanes))) for i in some for j in range(taps)}
            totals = {key: k.variable(shape.form.vector, k.load(place)) for key, place in places.items()}

            def add(y: Any, x: Any, some: range = some, totals: dict[tuple[int, int], Any] = totals) -> None:
                row = k.at(k.scratch, b.add(b.mul(c, plane), b.add(b.mul(b.add(y, t), s["row"]), x)))
                slope = k.at(slopes, b.add(b.mul(y, s["Wq"]), x))
                g = {i: k.load(k.at(slope, b.mul(slope_plane, const(i)))) for i in some}
                for j in range(taps):
                    value = k.load(k.at(row, j))
                    for i in some:
                        b.store(k.fma(g[i], value, k.value(totals[i, j])), totals[i, j])

            def across(y: Any, add: Callable[[Any, Any], None] = add) -> None:
                k.loop(const(0), s["Wq"], lanes, lambda x: add(y, x))
            k.loop(const(0), s["Ho"], 1, across)
            for key, place in places.items():
                k.store(k.value(totals[key]), place)
    k.loop(k.function.args[1], k.function.args[2], 1, unit)
    b.ret(const(0))
    return str(k.module)


def sum_of_parts(form: Form, name: str) -> str:
    """out[i] = Σ over u of parts[u, i], in the order of u."""
    k = Vectors(ir.Function(ir.Module(name), KERNEL, name), form)
    s = k.named(SUM_SLOTS)

    def part(v: Any, mask: Any) -> None:
        total = k.variable(form.vector, k.zero())
        k.loop(const(0), s["units"], 1, lambda u: k.b.store(k.b.fadd(k.value(total), k.load(k.at(s["parts"], k.b.add(k.b.mul(u, s["count"]), v)), mask)), total))
        k.store(k.value(total), k.at(s["out"], v), mask)
    k.vectors(const(0), s["count"], part)
    k.b.ret(const(0))
    return str(k.module)
