"""A window of a JPEG, decoded into memory that the thread uses again for its next one."""

from __future__ import annotations

import numpy as np

from rushlight.exec.cpu.writer import function
from rushlight.vision.jpeg import blocks, colour
from rushlight.vision.jpeg.bits import LANES, unstuff
from rushlight.vision.jpeg.codes import quantizer, table
from rushlight.vision.jpeg.header import Header
from rushlight.vision.jpeg.memory import Window, memory

END_OF_IMAGE = b"\xff\xd9"
MARGIN = 64  # bytes before and after planes that may be read or written


def decode(data: bytes, header: Header, top: int, left: int, height: int, width: int) -> Window | None:
    """The window of a picture; None where the file is damaged. It is good until the thread decodes the next.

    The codes are read from the beginning to the window's last row, blocks within the window are transformed, pixels made of
    them. Colour between two samples depends on both: one more column and row of it are needed on each side.
    """
    tables = [[table(header.codes[16 * kind + (chosen >> 4 * (1 - kind) & 15)]) for kind in (0, 1)] for chosen in header.chosen]
    if any(t is None for pair in tables for t in pair):
        return None
    scan = _scan(data, header.begin)
    if scan is None:
        return None
    dense_x, dense_y = header.sampling
    unit_x, unit_y = 8 * dense_x, 8 * dense_y
    columns = -(-header.width // unit_x)
    across = max(left - 2, 0) // unit_x, min(-(-(left + width + 2) // unit_x), columns)
    down = max(top - 2, 0) // unit_y, min(-(-(top + height + 2) // unit_y), -(-header.height // unit_y))
    units_across, units_down = across[1] - across[0], down[1] - down[0]
    planes, strides, plan = [], [], []
    state = np.zeros(4, np.int32)
    for i, (pair, (_, factors)) in enumerate(zip(tables, header.components, strict=True)):
        h, v = header.sampling if i == 0 else (1, 1)
        strides.append(8 * h * units_across)
        planes.append(memory.get(f"plane {i}", strides[i] * 8 * v * units_down + 2 * MARGIN) + MARGIN)
        fixed = [pair[0].ctypes.data, pair[1].ctypes.data, quantizer(header.quantizers[factors]).ctypes.data, state.ctypes.data + 4 * i]  # type: ignore[union-attr]
        plan += [[*fixed, planes[i] + 8 * (y * strides[i] + x), strides[i], 8 * h, 8 * v * strides[i]] for y in range(v) for x in range(h)]
    if not _blocks(scan, np.array(plan, np.int64), columns, across, down):
        return None
    skew = left % 2 if dense_x == 2 else 0  # a pixel before the window, to begin where a column of colour does
    left, width = left - skew, width + skew
    stride = 4 * (-(-width // colour.PIXELS) * colour.PIXELS)
    out = memory.get("out", stride * height)
    first = left // dense_x - (dense_x - 1)  # column of colour
    count = width if dense_x == 1 else (width + 1) // 2 + 2
    edges = np.array([first < 0, first + count > -(-header.width // dense_x)], np.int64)
    shift = first - 8 * across[0]
    function(f"jpeg colour {dense_x} {dense_y} 1", _writers[header.sampling])([
        planes[0] + (top - unit_y * down[0]) * strides[0] + left - unit_x * across[0], strides[0], planes[1] + shift, planes[2] + shift, strides[1],
        8 * down[0], -(-header.height // dense_y) - 1, top, height, width, count, edges.ctypes.data, memory.get("lines", 4 * (count + 32) + 256), out, stride])
    return Window(out + 4 * skew, stride, (state, edges))


_writers = {sampling: colour.writer_of(sampling) for sampling in ((1, 1), (2, 1), (2, 2))}


def _scan(data: bytes, begin: int) -> tuple[int, int] | None:
    """(address, length) of the coded data without stuffing; None where it does not end as a picture does."""
    source, found = np.frombuffer(data, np.uint8).ctypes.data, np.empty(2, np.int64)
    target = memory.get("scan", len(data) - begin + LANES + blocks.SPARE)
    function("jpeg unstuff 1", unstuff)([source + begin, source + len(data), target, found.ctypes.data])
    stopped = int(found[0]) - source
    return (target, int(found[1]) - target) if data[stopped:stopped + 2] == END_OF_IMAGE else None


def _blocks(scan: tuple[int, int], plan: np.ndarray, columns: int, across: tuple[int, int], down: tuple[int, int]) -> bool:
    """Fill the planes; whether the data were enough."""
    used = np.zeros(1, np.int64)
    function("jpeg blocks 1", blocks.write)([
        scan[0], scan[0] + scan[1], down[0], down[1], across[0], across[1], columns, len(plan), plan.ctypes.data, memory.get("block", 256),
        used.ctypes.data])
    return int(used[0]) <= 8 * scan[1]
