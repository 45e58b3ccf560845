"""Weights in the layout that products and convolutions like best, kept between the runs of plans.

A product with few rows spends up to half its time bringing the weights into blocks, a convolution of one image a third.
Weights that a plan reads and that do not change from run to run (inference) are packed once: on the second run that sees the
same value, so that training, where every step has new weights, never packs. The packed weights belong to the value and go
with it. Both primitives of a product add up in the same order: results are the same to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rushlight.exec.cpu import memory
from rushlight.exec.cpu.jit import COMPILED
from rushlight.exec.cpu.onednn import library
from rushlight.ir.graph import Cell

if TYPE_CHECKING:
    from rushlight.exec.cpu.onednn.primitive import Bound

Array = np.ndarray[Any, Any]
MOST_ROWS = 256  # of a product that gains by packed weights
SMALLEST = 4096  # weights


@dataclass(eq=False, slots=True)
class Variant:
    """A product on packed weights, beside the one on plain weights: ``value`` is the weights' buffer, ``offset`` in bytes.

    ``key`` tells the layouts of one value apart.
    """

    value: int
    offset: int
    bound: Bound
    reorder: Bound
    key: str = field(init=False)

    def __post_init__(self) -> None:
        self.key = f"{self.offset} {self.bound.primitive.descs['weights']}"

    def pack(self, buffer: Array) -> Array:
        """The weights in the variant's layout."""
        size = self.bound.primitive.descs["weights"].size
        raw = np.empty(size + memory.ALIGN, np.uint8)
        start = -raw.ctypes.data % memory.ALIGN
        packed = raw[start:start + size]
        scratch = self.reorder.primitive.descs.get("scratchpad")
        room = np.empty(scratch.size if scratch is not None else 0, np.uint8)
        self.reorder.set("src", buffer.ctypes.data + self.offset)
        self.reorder.set("dst", packed.ctypes.data)
        if scratch is not None:
            self.reorder.set("scratchpad", room.ctypes.data)
        self.reorder.execute()
        return packed


class Weights(Protocol):
    """What can be packed: ``value`` is the weights' buffer, ``key`` tells packed forms of one buffer apart."""

    value: int

    @property
    def key(self) -> str: ...

    def pack(self, buffer: Array) -> Array: ...


class Kept:
    """A step of a plan that reads weights as they lie, or packed from the second run on that sees them; ``at`` is the packed
    weights' object."""

    __slots__ = ("variant", "at", "key", "active")
    turns = 0  # how often any of them was switched

    def __init__(self, variant: Weights, at: int):
        self.variant, self.at, self.key = variant, at, variant.key
        self.active = False

    def switch(self) -> None:
        """Make the step read packed weights or plain ones, as ``active`` says."""
        raise NotImplementedError

    def choose(self, cell: Any, arena: Any) -> Any:
        """Set the step for this value of the weights; the packed ones, or the arena where they are not used."""
        found = self._find(cell) if cell is not None else None
        if (found is not None) is not self.active:
            self.active = found is not None
            Kept.turns += 1
            self.switch()
        return arena if found is None else found

    def _find(self, cell: Cell) -> Array | None:
        storage = cell.owner() if cell.owner is not None else None
        if storage is None or storage.cell is not cell or storage.home is not None:
            return None  # memory that others may write to
        if cell.packed is None:  # seen for the first time
            cell.packed = {}
            return None
        array: Array | None = cell.packed.get(self.key)
        if array is None:
            assert cell.buffer is not None
            array = cell.packed[self.key] = self.variant.pack(cell.buffer)
        return array


class Switch(Kept):
    """A step of a driver that runs a primitive on plain or on packed weights.

    ``block`` holds the step's arguments, in which [1] is the primitive, [3] the number of its arguments and [4] their address;
    ``packs`` those of a step that packs the weights at every run, in which [0] is what executes a primitive.
    """

    __slots__ = ("block", "plain", "packed", "packs")

    def __init__(self, variant: Variant, at: int, block: Any, plain: Bound, packs: Any = None):
        super().__init__(variant, at)
        self.block, self.packs = block, packs
        self.plain, self.packed = plain, variant.bound

    def switch(self) -> None:
        bound = self.packed if self.active else self.plain
        self.block[1], self.block[3], self.block[4] = bound.primitive.handle, bound.count, bound.args
        if self.packs is not None:
            self.packs[0] = _nothing() if self.active else library.address("dnnl_primitive_execute")


@cache
def _nothing() -> int:
    """The address of a function that a driver calls in place of a primitive that has nothing to do."""
    return COMPILED.address("no primitive", lambda name: f"define i32 @{name}(ptr %p, ptr %s, i32 %n, ptr %a) {{\n  ret i32 0\n}}\n")


def addresses(variant: Variant, at: int, places: list[tuple[str, int, int]]) -> list[tuple[int, int, int]]:
    """Where the memories of the variant are, from those of the plain product: (dnnl_memory, object, offset)."""
    return [(variant.bound.memory(name), *((at, 0) if name == "weights" else (where, offset)))
            for name, where, offset in places if name in variant.bound.memories]

