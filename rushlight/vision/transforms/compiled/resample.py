"""Pillow's linear resize of bytes: fixed-point sums with 22 bits, along rows, then across them, each pass rounded to
bytes.

The bytes are Pillow's own, except that recent versions go across the rows first for some sizes; then they differ by one
level.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from llvmlite import ir

from rushlight.exec.cpu.writer import I8, I32, I64, Writer, function
from rushlight.vision.transforms.kernels.resize import METHODS

BITS = 22  # after the point, as in Pillow's Resample.c
ROWS = 4  # worked on together along a row
PIXELS = 4  # worked on together across rows
LANES = 16  # bytes: four channels times either of these
SLOTS = ("*source", "stride", "rows", "first_row", "*x_first", "*x_weights", "x_taps", "*middle", "width",
         "*y_first", "*y_weights", "y_taps", "*out", "height")


@functools.lru_cache(4096)
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


def resample(address: int, stride: int, height: int, width: int, out_height: int, out_width: int) -> np.ndarray:
    """A picture of four bytes per pixel in memory, resized: uint8 (out_height, out_width, 4)."""
    x_first, x_weights = weights_within(width, out_width)
    y_first, y_weights = weights(height, out_height)
    y_taps = y_weights.shape[1]
    low, high = int(y_first[0]), min(int(y_first[-1]) + y_taps, height)  # the rows that are needed
    last = (y_first + y_taps).max() - low
    middle = np.empty((max(high - low + ROWS, int(last) + 1), out_width + PIXELS, 4), np.uint8)
    middle[high - low:] = 0
    out = np.empty((out_height * out_width + PIXELS, 4), np.uint8)
    function("resample 1", _write)([
        address + low * stride, stride, high - low, low, x_first.ctypes.data, x_weights.ctypes.data, x_weights.shape[1],
        middle.ctypes.data, out_width,
        y_first.ctypes.data, y_weights.ctypes.data, y_taps, out.ctypes.data, out_height])
    return out[:out_height * out_width].reshape(out_height, out_width, 4)


@functools.lru_cache(1)
def available() -> bool:
    """Whether kernels can be compiled here; RUSHLIGHT_EXEC=numpy says no."""
    import os

    from rushlight.exec.cpu import jit
    return os.environ.get("RUSHLIGHT_EXEC") != "numpy" and jit.available()


@functools.lru_cache(4096)
def weights_within(size: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """The same sums with first inputs so early that no tap lies beyond the end: its weight is zero, but the memory is
    not ours to read."""
    first, fixed = weights(size, wanted)
    taps = fixed.shape[1]
    if int(first[-1]) + taps <= size:
        return first, fixed
    if taps > size:
        fixed, taps = np.ascontiguousarray(fixed[:, :size]), size
    shift = np.maximum(first + taps - size, 0)
    places = np.arange(taps) - shift[:, None]
    moved = np.where(places >= 0, np.take_along_axis(fixed, np.maximum(places, 0), 1), 0)
    return first - shift, np.ascontiguousarray(moved, np.int32)


def _write(name: str) -> str:
    w = Writer(name, SLOTS)
    b, s = w.b, w.s
    wide, narrow = ir.VectorType(I32, LANES), ir.VectorType(I8, LANES)
    half = w.same(1 << (BITS - 1), LANES)
    row_bytes = b.mul(b.add(s["width"], w.number(PIXELS)), w.number(4))

    def product(total: ir.Value, pixels: ir.Value, weight: ir.Value) -> ir.Value:
        return b.add(total, b.mul(b.zext(pixels, wide), w.splat(weight, LANES)))

    def clipped(total: ir.Value) -> ir.Value:
        value = b.ashr(total, w.same(BITS, LANES))
        value = b.select(b.icmp_signed("<", value, w.same(0, LANES)), w.same(0, LANES), value)
        value = b.select(b.icmp_signed(">", value, w.same(255, LANES)), w.same(255, LANES), value)
        return b.trunc(value, narrow)

    def along(y: ir.Value) -> tuple[ir.Value, ...]:
        """Four rows at once; the last rows are done again rather than passed."""
        places = []
        for i in range(ROWS):
            row = b.add(y, w.number(i))
            row = b.select(b.icmp_signed("<", row, s["rows"]), row, b.sub(s["rows"], w.number(1)))
            places.append((w.at(s["source"], b.mul(row, s["stride"])), w.at(s["middle"], b.mul(row, row_bytes))))

        def pixel(x: ir.Value) -> tuple[ir.Value, ...]:
            start = w.load(w.at(s["x_first"], x, I64), I64)
            taps = w.at(s["x_weights"], b.mul(x, s["x_taps"]), I32)

            def tap(k: ir.Value, total: ir.Value) -> tuple[ir.Value, ...]:
                four = ir.Constant(ir.VectorType(I32, ROWS), ir.Undefined)
                for i, (source, _) in enumerate(places):
                    four = b.insert_element(four, w.load(w.at(source, b.add(start, k), I32), I32), w.number(i, I32))
                return (product(total, b.bitcast(four, narrow), w.load(w.at(taps, k, I32), I32)),)
            (total,) = w.loop(s["x_taps"], tap, (half,))
            four = b.bitcast(clipped(total), ir.VectorType(I32, ROWS))
            for i, (_, target) in enumerate(places):
                w.store(b.extract_element(four, w.number(i, I32)), w.at(target, x, I32))
            return ()
        w.loop(s["width"], pixel)
        return ()
    w.loop(s["rows"], along, step=ROWS)

    def across(y: ir.Value) -> tuple[ir.Value, ...]:
        start = b.sub(w.load(w.at(s["y_first"], y, I64), I64), s["first_row"])
        source = w.at(s["middle"], b.mul(start, row_bytes))
        taps = w.at(s["y_weights"], b.mul(y, s["y_taps"]), I32)
        target = w.at(s["out"], b.mul(b.mul(y, s["width"]), w.number(4)))

        def chunk(x: ir.Value) -> tuple[ir.Value, ...]:
            column = w.at(source, x, I32)

            def tap(k: ir.Value, total: ir.Value) -> tuple[ir.Value, ...]:
                return (product(total, w.load(w.at(column, b.mul(k, row_bytes)), narrow),
                                w.load(w.at(taps, k, I32), I32)),)
            (total,) = w.loop(s["y_taps"], tap, (half,))
            w.store(clipped(total), w.at(target, x, I32))
            return ()
        w.loop(s["width"], chunk, step=PIXELS)
        return ()
    w.loop(s["height"], across)
    return w.done()
