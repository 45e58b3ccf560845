"""Convolutions with about as many output channels as a vector has lanes, written out: vectors run along the channels.

As in `direct_kernels` a unit copies an image into a padded frame. Forward, each element of it is multiplied by a vector of
weights and added to the sums of a position; for the gradient of the weights it is multiplied by the slopes of a position and
added to the sums of a tap. No lane is idle and nothing is folded, whatever the width of the images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.direct_kernels import FORWARD_SLOTS, WEIGHT_SLOTS, Direct, Layers, finished
from rushlight.exec.cpu.tiles import const

MOST_SUMS = 25  # vectors that the registers hold beside what is multiplied


@dataclass(frozen=True, kw_only=True)
class Shape(Layers):
    """What the code of these kernels depends on beside that: taps down and across, and the positions of a tile."""

    down: int
    across: int
    positions: int = 1

    def __str__(self) -> str:
        return f"{self.form} k{self.channels} taps{self.down}x{self.across} tile{self.positions} {self.ending}"


def forward(shape: Shape, name: str) -> str:
    """out[n, y, x, k] = bias[k] + Σ over c and taps of x[n, c, y + …, x + …] · w[k, c, …]; units are chunks of rows of an image."""
    k = Direct(name, shape, FORWARD_SLOTS)
    b, s, lanes, mask = k.b, k.slots, shape.form.lanes, _mask(k, shape)
    weights, plane = k.at(k.scratch, s["weights"]), b.mul(s["rows"], s["row"])
    k.loop(const(0), s["weights"], lanes, lambda v: k.store(k.zero(), k.at(k.scratch, v)))
    _pack_weights(k, shape, weights)
    start = k.load(s["bias"], mask) if shape.bias else k.zero()

    def unit(u: Any) -> None:
        image, begin = b.sdiv(u, s["chunks"]), b.mul(b.srem(u, s["chunks"]), s["chunk"])
        height = k.least(b.sub(s["Ho"], begin), s["chunk"])
        k.frame(k.at(s["x"], b.mul(image, s["x_n"])), "x", shape.turned, begin, b.sub(b.add(height, s["taps"]), const(1)))
        tiles = b.sdiv(b.add(s["Wo"], const(shape.positions - 1)), const(shape.positions))

        def row(y: Any) -> None:
            before = b.sub(s["top"], b.add(begin, y))
            taps = k.most(const(0), before), k.least(s["taps"], b.add(before, s["H"]))  # the others are in the padding
            out = k.at(s["out"], b.mul(b.add(b.mul(image, s["Ho"]), b.add(begin, y)), b.mul(s["Wo"], const(shape.channels))))
            # the last tile begins so early that it ends with the row
            k.loop(const(0), tiles, 1, lambda i: tile(y, k.least(b.mul(i, const(shape.positions)), b.sub(s["Wo"], const(shape.positions))), taps, out))
        k.loop(const(0), height, 1, row)

    def tile(y: Any, x: Any, taps: tuple[Any, Any], out: Any) -> None:
        sums = [k.variable(shape.form.vector, start) for _ in range(shape.positions)]

        def line(c: Any, t: Any) -> None:
            here = k.at(k.scratch, b.add(b.mul(c, plane), b.add(b.mul(b.add(y, t), s["row"]), x)))
            weight = k.at(weights, b.mul(b.add(b.mul(c, s["taps"]), t), const(shape.across * lanes)))
            for j in range(shape.across):
                w = k.load(k.at(weight, j * lanes))
                for p, place in enumerate(sums):
                    b.store(k.fma(w, _element(k, here, p + j), k.value(place)), place)
        k.loop(const(0), s["C"], 1, lambda c: k.loop(*taps, 1, lambda t: line(c, t)))
        for p, place in enumerate(sums):
            k.store(finished(k, k.value(place)), k.at(out, b.mul(b.add(x, const(p)), const(shape.channels))), mask)
    k.loop(k.function.args[1], k.function.args[2], 1, unit)
    b.ret(const(0))
    return str(k.module)


def _mask(k: Direct, shape: Shape) -> Any:
    """Of the lanes that are channels; None for all."""
    return None if shape.channels == shape.form.lanes else k.first(const(shape.channels))


def _element(k: Direct, place: Any, at: int) -> Any:
    """One element in all lanes."""
    return k.splat(k.b.load(k.at(place, at), typ=k.form.real))


def _pack_weights(k: Direct, shape: Shape, target: Any) -> None:
    """In the order that the sums read: [c][tap down][tap across][channels as lanes]."""
    b, s, lanes = k.b, k.slots, shape.form.lanes

    def tap(c: Any, t: Any) -> None:
        source = k.at(s["w"], b.add(b.mul(c, s["w_c"]), b.mul(t, s["w_h"])))
        line = k.at(target, b.mul(b.add(b.mul(c, s["taps"]), t), const(shape.across * lanes)))
        for j in range(shape.across):
            vector = k.zero()
            for channel in range(shape.channels):
                one = b.load(k.at(source, b.add(b.mul(s["w_w"], const(j)), b.mul(s["w_k"], const(channel)))), typ=shape.form.real)
                vector = b.insert_element(vector, one, ir.Constant(ir.IntType(32), channel))
            k.store(vector, k.at(line, j * lanes))
    k.loop(const(0), s["C"], 1, lambda c: k.loop(const(0), s["taps"], 1, lambda t: tap(c, t)))


def weight_grad(shape: Shape, name: str) -> str:
    """parts[u, k, c, …] = Σ over the images of group u of dy[n, k, y, x] · x[n, c, y + …, x + …]; units are groups of images.

    The groups depend on the number of images alone, so that sums have one order however many threads there are.
    """
    k = Direct(name, shape, WEIGHT_SLOTS)
    b, s, lanes, mask = k.b, k.slots, shape.form.lanes, _mask(k, shape)
    slopes, sums = k.at(k.scratch, s["slopes"]), k.at(k.scratch, s["sums"])
    plane, taps = b.mul(s["rows"], s["row"]), shape.down * shape.across
    together = max(1, MOST_SUMS // taps)  # channels of the images
    k.loop(const(0), s["sums"], lanes, lambda v: k.store(k.zero(), k.at(k.scratch, v)))

    def unit(u: Any) -> None:
        count = b.mul(s["C"], const(taps))
        k.loop(const(0), count, 1, lambda i: k.store(k.zero(), k.at(sums, b.mul(i, const(lanes)))))
        first = b.mul(u, s["group"])
        k.loop(first, k.least(b.add(first, s["group"]), s["N"]), 1, image)

        def spread(i: Any) -> None:
            vector = k.load(k.at(sums, b.mul(i, const(lanes))))
            for channel in range(shape.channels):
                at = b.add(b.mul(b.add(b.mul(u, const(shape.channels)), const(channel)), count), i)
                b.store(b.extract_element(vector, ir.Constant(ir.IntType(32), channel)), k.at(s["parts"], at))
        k.loop(const(0), count, 1, spread)

    def image(n: Any) -> None:
        k.frame(k.at(s["x"], b.mul(n, s["x_n"])), "x", shape.turned, const(0), s["rows"])
        source = k.at(s["y"], b.mul(n, s["y_n"]))
        if not shape.turned_slopes:
            _turn(k, shape, source, slopes)
        end = b.load(k.loop(const(0), s["C"], together, lambda c: channels(source, c, together)), typ=plane.type)
        if together > 1:
            k.loop(end, s["C"], 1, lambda c: channels(source, c, 1))

    def channels(source: Any, c: Any, count: int) -> None:
        keys = [(i, t, j) for i in range(count) for t in range(shape.down) for j in range(shape.across)]
        places = [k.at(sums, b.mul(b.add(b.mul(c, const(taps)), const(at)), const(lanes))) for at in range(len(keys))]
        totals = [k.variable(shape.form.vector, k.load(place)) for place in places]
        images = [k.at(k.scratch, b.mul(b.add(c, const(i)), plane)) for i in range(count)]

        def add(y: Any, x: Any) -> None:
            if shape.turned_slopes:
                slope = k.load(k.at(source, b.add(b.mul(y, s["y_h"]), b.mul(x, s["y_w"]))), mask)
            else:
                slope = k.load(k.at(slopes, b.mul(b.add(b.mul(y, s["Wo"]), x), const(lanes))))
            lines = {(i, t): k.at(images[i], b.add(b.mul(b.add(y, const(t)), s["row"]), x)) for i in range(count) for t in range(shape.down)}
            for (i, t, j), total in zip(keys, totals):
                b.store(k.fma(slope, _element(k, lines[i, t], j), k.value(total)), total)
        k.loop(const(0), s["Ho"], 1, lambda y: k.loop(const(0), s["Wo"], 1, lambda x: add(y, x)))
        for place, total in zip(places, totals):
            k.store(k.value(total), place)
    k.loop(k.function.args[1], k.function.args[2], 1, unit)
    b.ret(const(0))
    return str(k.module)


def _turn(k: Direct, shape: Shape, source: Any, target: Any) -> None:
    """Slopes that lie row by row, with channels as lanes."""
    b, s = k.b, k.slots

    def position(y: Any, x: Any) -> None:
        place = k.at(source, b.add(b.mul(y, s["y_h"]), b.mul(x, s["y_w"])))
        vector = k.zero()
        for channel in range(shape.channels):
            one = b.load(k.at(place, b.mul(s["y_c"], const(channel))), typ=shape.form.real)
            vector = b.insert_element(vector, one, ir.Constant(ir.IntType(32), channel))
        k.store(vector, k.at(target, b.mul(b.add(b.mul(y, s["Wo"]), x), const(shape.form.lanes))))
    k.loop(const(0), s["Ho"], 1, lambda y: k.loop(const(0), s["Wo"], 1, lambda x: position(y, x)))
