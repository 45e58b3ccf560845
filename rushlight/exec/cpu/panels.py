"""Weights of generated products in the panels that their tiles read, kept between the runs of plans as `packing` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rushlight.exec.cpu import memory
from rushlight.exec.cpu.gemm_slots import PACKED, SLOTS
from rushlight.exec.cpu.packing import Array, Kept
from rushlight.exec.numpy import executor as numpy_executor

WAY, PLACE = SLOTS.index("b_way"), SLOTS.index("*panels")


@dataclass(eq=False, slots=True)
class Panels:
    """The matrix B of a product as panels: for each block of k, for each panel of columns, its vectors in the order of k.

    ``value`` is the weights' buffer, ``offset`` in bytes; ``rows`` and ``columns`` are the strides of B in elements. Panels have
    numbers of the type ``sums``, ``wide`` to a row, or two for each, of k and k + 1, where they are ``paired``.
    """

    value: int
    offset: int
    dtype: Any
    k: int
    n: int
    rows: int
    columns: int
    block_k: int
    sums: str
    wide: int
    paired: bool

    @property
    def key(self) -> str:
        return f"{self.offset} panels {self.dtype.name} {self.k}x{self.n} by {self.rows},{self.columns} in {self.block_k}"

    def pack(self, buffer: Array) -> Array:
        """All panels, as wide as sums or in pairs; zero beyond the last column."""
        size, wide, sums = self.dtype.itemsize, self.wide, np.dtype(self.sums)
        plain = numpy_executor.view(buffer, self.dtype.numpy, (self.k, self.n), (self.rows * size, self.columns * size), self.offset)
        each = 2 if self.paired else 1
        columns = -(-self.n // wide)
        raw = np.empty(-(-self.k // each) * columns * wide * sums.itemsize + memory.ALIGN, np.uint8)
        start = -raw.ctypes.data % memory.ALIGN
        packed = raw[start:raw.size - memory.ALIGN + start].view(sums)
        for k in range(0, self.k, self.block_k):
            block = plain[k:k + self.block_k]
            lines = np.zeros((-(-len(block) // each), columns, wide), sums)
            if each == 2:
                pairs = lines.view(np.uint16).reshape(len(lines), -1, 2)
                pairs[:, :self.n, 0] = block[::2].view(np.uint16)
                pairs[:len(block) // 2, :self.n, 1] = block[1::2].view(np.uint16)
            else:
                lines.reshape(len(lines), -1)[:, :self.n] = block
            packed[k // each * columns * wide:][:lines.size].reshape(columns, len(lines), wide)[...] = lines.swapaxes(0, 1)
        return packed


class Switch(Kept):
    """A product that reads B as it lies or from panels; ``block`` holds the arguments of its kernel."""

    __slots__ = ("block", "way")

    def __init__(self, variant: Panels, at: int, block: Any):
        super().__init__(variant, at)
        self.block, self.way = block, block[WAY]

    def switch(self) -> None:
        self.block[WAY] = PACKED if self.active else self.way
