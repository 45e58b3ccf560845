"""Weights of generated products in the panels that their tiles read, kept between the runs of plans as `packing` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rushlight.exec.cpu import memory
from rushlight.exec.cpu.gemm_kernels import PACKED, SLOTS, SUMS
from rushlight.exec.cpu.packing import Array, Kept
from rushlight.exec.cpu.tiles import Form
from rushlight.exec.numpy import executor as numpy_executor

WAY, PLACE = SLOTS.index("b_way"), SLOTS.index("*panels")


@dataclass(eq=False, slots=True)
class Panels:
    """The matrix B of a product as panels: for each block of k, for each panel of columns, its vectors in the order of k.

    ``value`` is the weights' buffer, ``offset`` in bytes; ``rows`` and ``columns`` are the strides of B in elements.
    """

    value: int
    offset: int
    dtype: Any
    k: int
    n: int
    rows: int
    columns: int
    block_k: int

    @property
    def key(self) -> str:
        return f"{self.offset} panels {self.dtype.name} {self.k}x{self.n} by {self.rows},{self.columns} in {self.block_k}"

    def pack(self, buffer: Array) -> Array:
        """All panels, as wide as sums; zero beyond the last column."""
        form = Form(SUMS[self.dtype.name])
        size, wide = self.dtype.itemsize, form.panel
        plain = numpy_executor.view(buffer, self.dtype.numpy, (self.k, self.n), (self.rows * size, self.columns * size), self.offset)
        padded = np.zeros((self.k, -(-self.n // wide), wide), form.dtype)
        padded.reshape(self.k, -1)[:, :self.n] = plain
        raw = np.empty(padded.nbytes + memory.ALIGN, np.uint8)
        start = -raw.ctypes.data % memory.ALIGN
        packed = raw[start:start + padded.nbytes].view(form.dtype)
        for k in range(0, self.k, self.block_k):
            part = padded[k:k + self.block_k].swapaxes(0, 1)
            packed[k * padded[0].size:][:part.size].reshape(part.shape)[...] = part
        return packed


class Switch(Kept):
    """A product that reads B as it lies or from panels; ``block`` holds the arguments of its kernel."""

    __slots__ = ("block", "way")

    def __init__(self, variant: Panels, at: int, block: Any):
        super().__init__(variant, at)
        self.block, self.way = block, block[WAY]

    def switch(self) -> None:
        self.block[WAY] = PACKED if self.active else self.way
