"""Pillow's linear resize of bytes: fixed-point sums with 22 bits, along rows, then across them, each pass rounded to
bytes.

The bytes are Pillow's own, except that recent versions go across the rows first for some sizes; then they differ by one
level.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import NamedTuple

import numpy as np
from llvmlite import ir

from rushlight.exec.cpu.calls import function
from rushlight.exec.cpu.writer import I8, I32, I64, Writer
from rushlight.vision.transforms.compiled.rooms import SPARE, address_of, room
from rushlight.vision.transforms.kernels.resize import METHODS

BITS = 22  # after the point, as in Pillow's Resample.c
ROWS = 4  # worked on together along a row
TAPS = 4  # worked on together along a row: their 16 bytes are one load
PIXELS = 4  # worked on together across rows,
CHUNKS = 2  # twice
LANES = 16  # bytes: four channels times any of these
SLOTS = ("*source", "stride", "rows", "first_row", "*x_first", "*x_weights", "x_taps", "*middle", "width",
         "*y_first", "*y_weights", "y_taps", "*out", "height")


def weights(size: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """(first input of each output int64, weights int32 (wanted, taps)) as Pillow computes them."""
    kind = METHODS["bilinear"]
    scale = size / wanted
    stretch = max(scale, 1.0)
    reach = kind.reach * stretch
    centres = (np.arange(wanted) + 0.5) * scale
    first = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + reach + 0.5).astype(np.int64), size)
    places = first[:, None] + np.arange(math.ceil(reach) * 2 + 1)
    real = kind.kernel((places - centres[:, None] + 0.5) * (1.0 / stretch)) * (places < last[:, None])
    total = np.cumsum(real, 1)[:, -1:]  # in order, as Pillow adds
    real = np.where(total != 0, real / np.where(total != 0, total, 1),
                    real)[:, :int((last - first).max())] * (1 << BITS)
    fixed = np.trunc(real + np.where(real < 0, -0.5, 0.5)).astype(np.int32)
    return first, np.ascontiguousarray(fixed)


def resample(address: int, stride: int, height: int, width: int, out_height: int, out_width: int,
             pixel: int = 4, name: str = "resized") -> np.ndarray:
    """A picture of so many bytes per pixel (3, with SPARE bytes behind them, or 4) in memory, resized: uint8
    (out_height, out_width, 4), in the thread's room of this name."""
    x, y = sums_together(width, out_width), sums(height, out_height)
    count = y.high - y.low  # of the rows that are needed
    source = address + y.low * stride
    if width < x.taps:
        wider = _widened(source, stride, count, width, x.taps, pixel)
        source, stride = wider.ctypes.data, wider.strides[0]
    row = 4 * (out_width + PIXELS * CHUNKS)
    middle = room("rows", max(count + ROWS, y.end - y.low + 1) * row)
    middle[count * row:] = 0
    out = room(name, 4 * (out_height * out_width + PIXELS * CHUNKS))
    KERNELS[pixel]([source, stride, count, y.low, x.first, x.weights, x.taps, address_of(middle), out_width,
                    y.first, y.weights, y.taps, address_of(out), out_height])
    return out[:4 * out_height * out_width].reshape(out_height, out_width, 4)


def _widened(address: int, stride: int, height: int, width: int, wanted: int, pixel: int) -> np.ndarray:
    """A copy of a picture that is narrower than what is read at once."""
    size = (height - 1) * stride + pixel * width
    memory = np.ctypeslib.as_array((ctypes.c_ubyte * size).from_address(address))
    rows = np.lib.stride_tricks.as_strided(memory, (height, pixel * width), (stride, 1))
    return np.pad(rows, ((0, 0), (0, pixel * (wanted - width) + SPARE)))


@functools.lru_cache(1)
def available() -> bool:
    """Whether kernels can be compiled here; RUSHLIGHT_EXEC=numpy says no."""
    import os

    from rushlight.exec.cpu import host
    return os.environ.get("RUSHLIGHT_EXEC") != "numpy" and host.available()


class Sums(NamedTuple):
    """Weighted sums of neighbouring inputs: addresses of the first input of each and of its ``taps`` weights, and the
    inputs low to high that are needed of those to ``end`` that have a weight."""

    first: int
    weights: int
    taps: int
    low: int
    high: int
    end: int
    owners: tuple[np.ndarray, np.ndarray]


def _sums(size: int, first: np.ndarray, fixed: np.ndarray) -> Sums:
    taps = fixed.shape[1]
    return Sums(first.ctypes.data, fixed.ctypes.data, taps, int(first[0]), min(int(first[-1]) + taps, size),
                int(first.max()) + taps, (first, fixed))


@functools.lru_cache(4096)
def sums(size: int, wanted: int) -> Sums:
    """Pillow's sums, of which some may lie beyond the end."""
    return _sums(size, *weights(size, wanted))


@functools.lru_cache(4096)
def sums_together(size: int, wanted: int) -> Sums:
    """The same of TAPS inputs at a time, the first of them so early that none lies beyond the end: its weight is zero,
    but the memory is not ours to read. Only of fewer inputs than taps are there some beyond."""
    first, fixed = weights(size, wanted)
    taps = -(-fixed.shape[1] // TAPS) * TAPS
    moved = np.minimum(first, max(size - taps, 0))
    places = np.arange(taps) - (first - moved)[:, None]
    inside = (places >= 0) & (places < fixed.shape[1])
    values = np.take_along_axis(fixed, np.clip(places, 0, fixed.shape[1] - 1), 1)
    return _sums(size, moved, np.ascontiguousarray(np.where(inside, values, 0), np.int32))


def _write(pixel: int, name: str) -> str:
    w = Writer(name, SLOTS)
    rows = _Rows(w, pixel)
    w.loop(w.s["rows"], rows.along, step=ROWS)
    w.loop(w.s["height"], rows.across)
    return w.done()


class _Rows:
    """The two passes. No sum exceeds 255 and a half: weights are positive and make one together."""

    def __init__(self, w: Writer, pixel: int):
        self.w, self.pixel = w, pixel
        self.wide, self.narrow = ir.VectorType(I32, LANES), ir.VectorType(I8, LANES)
        self.half = w.same(1 << (BITS - 1), LANES)
        self.row_bytes = w.b.mul(w.b.add(w.s["width"], w.number(PIXELS * CHUNKS)), w.number(4))

    def along(self, y: ir.Value) -> tuple[ir.Value, ...]:
        """Four rows at once; the last rows are done again rather than passed."""
        w, b, s = self.w, self.w.b, self.w.s
        sources, targets = [], []
        for i in range(ROWS):
            row = b.add(y, w.number(i))
            row = b.select(b.icmp_signed("<", row, s["rows"]), row, b.sub(s["rows"], w.number(1)))
            sources.append(w.at(s["source"], b.mul(row, s["stride"])))
            targets.append(w.at(s["middle"], b.mul(row, self.row_bytes)))

        def pixel(x: ir.Value) -> tuple[ir.Value, ...]:
            start = w.load(w.at(s["x_first"], x, I64), I64)
            weights = w.at(s["x_weights"], b.mul(x, s["x_taps"]), I32)

            def products(k: ir.Value) -> tuple[ir.Value, ...]:
                four = w.load(w.at(weights, k, I32), ir.VectorType(I32, TAPS))
                weight = w.pick(four, four, [i // 4 for i in range(LANES)])
                place = b.mul(b.add(start, k), w.number(self.pixel))
                return tuple(b.mul(self._four_pixels(w.at(source, place)), weight) for source in sources)

            def more(k: ir.Value, *totals: ir.Value) -> tuple[ir.Value, ...]:
                return tuple(map(b.add, totals, products(k)))
            totals = w.loop(s["x_taps"], more, products(w.number(0)), w.number(TAPS), TAPS)
            four = b.bitcast(self._rounded(self._sums_of_taps(*totals)), ir.VectorType(I32, ROWS))
            for i, target in enumerate(targets):
                w.store(b.extract_element(four, w.number(i, I32)), w.at(target, x, I32))
            return ()
        w.loop(s["width"], pixel)
        return ()

    def _four_pixels(self, place: ir.Value) -> ir.Value:
        """The channels of four pixels in a row, four each: the fourth is of no meaning."""
        sixteen = self.w.load(place, self.narrow)
        if self.pixel == 3:
            sixteen = self.w.pick(sixteen, sixteen, [3 * (i // 4) + i % 4 for i in range(LANES)])
        return self.w.b.zext(sixteen, self.wide)

    def _sums_of_taps(self, *rows: ir.Value) -> ir.Value:
        """The four taps of each row summed up: 4 × (4 taps of 4 channels) to 4 rows of 4 channels."""
        w, b, quarter = self.w, self.w.b, [0, 1, 2, 3]

        def both(one: ir.Value, other: ir.Value, parts: tuple[int, ...], others: tuple[int, ...]) -> ir.Value:
            lanes = [[4 * part + i for part in chosen for i in quarter] for chosen in (parts, others)]
            return b.add(w.pick(one, other, lanes[0]), w.pick(one, other, lanes[1]))
        upper, lower = (both(rows[i], rows[i + 1], (0, 1, 4, 5), (2, 3, 6, 7)) for i in (0, 2))
        return both(upper, lower, (0, 2, 4, 6), (1, 3, 5, 7))

    def _rounded(self, total: ir.Value) -> ir.Value:
        """Sums as bytes."""
        b = self.w.b
        return b.trunc(b.lshr(b.add(total, self.half), self.w.same(BITS, LANES)), self.narrow)

    def across(self, y: ir.Value) -> tuple[ir.Value, ...]:
        """One row of the result."""
        w, b, s = self.w, self.w.b, self.w.s
        start = b.sub(w.load(w.at(s["y_first"], y, I64), I64), s["first_row"])
        source = w.at(s["middle"], b.mul(start, self.row_bytes))
        weights = w.at(s["y_weights"], b.mul(y, s["y_taps"]), I32)
        target = w.at(s["out"], b.mul(b.mul(y, s["width"]), w.number(4)))

        def chunk(x: ir.Value) -> tuple[ir.Value, ...]:
            column = w.at(source, x, I32)

            def products(k: ir.Value) -> tuple[ir.Value, ...]:
                weight = w.splat(w.load(w.at(weights, k, I32), I32), LANES)
                row = w.at(column, b.mul(k, self.row_bytes))
                places = (w.at(row, PIXELS * i, I32) for i in range(CHUNKS))
                return tuple(b.mul(b.zext(w.load(place, self.narrow), self.wide), weight) for place in places)

            def more(k: ir.Value, *totals: ir.Value) -> tuple[ir.Value, ...]:
                return tuple(map(b.add, totals, products(k)))
            for i, total in enumerate(w.loop(s["y_taps"], more, products(w.number(0)), w.number(1))):
                w.store(self._rounded(total), w.at(w.at(target, x, I32), PIXELS * i, I32))
            return ()
        w.loop(s["width"], chunk, step=PIXELS * CHUNKS)
        return ()


KERNELS = {pixel: function(f"resample 4 of {pixel}", functools.partial(_write, pixel)) for pixel in (3, 4)}
