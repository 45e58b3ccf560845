"""The end of a chain: bytes looked up in a table per channel, written as planes of floats, mirrored or not."""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from rushlight.exec.cpu.calls import function
from rushlight.exec.cpu.writer import F32, I8, I64, Writer
from rushlight.vision.transforms.compiled.rooms import address_of

SLOTS = ("*source", "stride", "count", "width", "step", "*table", "*red", "*green", "*blue")


def finish(address: int, stride: int, height: int, width: int, table: np.ndarray, mirrored: bool,
           out: np.ndarray, pixel: int = 4) -> None:
    """Fill out (3, H, W) float32 with table (3, 256) of the pixels of so many bytes at an address, rows ``stride``
    bytes apart."""
    start = address + (pixel * (width - 1) if mirrored else 0)
    plane = address_of(out)
    size = 4 * height * width
    KERNEL([start, stride, height, width, -pixel if mirrored else pixel, address_of(table), plane, plane + size,
            plane + 2 * size])


def _write(name: str) -> str:
    w = Writer(name, SLOTS)
    b, s = w.b, w.s

    def row(y: ir.Value) -> tuple[ir.Value, ...]:
        source = w.at(s["source"], b.mul(y, s["stride"]))
        before = b.mul(y, s["width"])

        def pixel(x: ir.Value) -> tuple[ir.Value, ...]:
            place = w.at(source, b.mul(x, s["step"]))
            for i, plane in enumerate(("red", "green", "blue")):
                level = b.zext(w.load(w.at(place, i), I8), I64)
                value = w.load(w.at(s["table"], b.add(level, w.number(256 * i)), F32), F32)
                w.store(value, w.at(s[plane], b.add(before, x), F32))
            return ()
        w.loop(s["width"], pixel)
        return ()
    w.loop(s["count"], row)
    return w.done()


KERNEL = function("finish 2", _write)
