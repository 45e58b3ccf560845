"""Weights of generated products in the panels that their tiles read, kept between the runs of plans as `packing` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rushlight.exec.cpu import memory
from rushlight.exec.cpu.gemm_code import PACKED, SUMS, paired
from rushlight.exec.cpu.gemm_kernels import SLOTS
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
        """All panels, as wide as sums or in pairs; zero beyond the last column."""
        form = Form(SUMS[self.dtype.name])
        size, wide = self.dtype.itemsize, form.panel
        plain = numpy_executor.view(buffer, self.dtype.numpy, (self.k, self.n), (self.rows * size, self.columns * size), self.offset)
        each = 2 if paired(self.dtype.name) else 1
        depth, columns = -(-self.k // each), -(-self.n // wide)
        padded = np.zeros((depth, columns, wide), form.dtype)
        if each == 2:
            padded.view(np.uint16).reshape(depth, -1, 2)[:, :self.n, 0] = plain[::2].view(np.uint16)
            padded.view(np.uint16).reshape(depth, -1, 2)[:self.k // 2, :self.n, 1] = plain[1::2].view(np.uint16)
        else:
            padded.reshape(depth, -1)[:, :self.n] = plain
        raw = np.empty(padded.nbytes + memory.ALIGN, np.uint8)
        start = -raw.ctypes.data % memory.ALIGN
        packed = raw[start:start + padded.nbytes].view(form.dtype)
        for k in range(0, depth, self.block_k // each):
            part = padded[k:k + self.block_k // each].swapaxes(0, 1)
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
