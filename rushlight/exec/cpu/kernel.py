"""What a generated kernel computes: loops over memory with a body of elementwise statements and reductions.

The text of a `Kernel` is the key of its machine code. Sizes, strides, addresses and Python numbers are no part of it:
they come in the argument block, so that a new batch size compiles nothing.

Loops, from the outside in: *units* (outer dimensions, times chunks), which threads divide among themselves; then

- ``map``: the vector dimension;
- ``row``: for every phase the reduced dimensions, the last of them as vectors (softmax, layer norm, sums of rows);
- ``col``: the vector dimension, then the reduced dimensions (sums over rows, batch norm statistics).

The argument block holds 64-bit slots: address of the numbers, sizes of the outer and middle dimensions and of the vector
dimension, length and number of chunks, then for every access its address, its outer strides, chunk stride, middle strides
and vector stride (in elements), as far as its level has them.
"""

from __future__ import annotations

from typing import NamedTuple

Ref = tuple[str, int]  # ("a", access), ("n", number), ("t", statement)


STRIDED, PAIRED, TWICE, JOINED = 2, 3, 4, 5


class Access(NamedTuple):
    """Memory that the kernel reads or writes. ``step`` along the vector dimension: 0, 1, STRIDED for a stride in a slot, PAIRED where
    every second element is read, TWICE where each element is written to two adjacent places, JOINED where the two numbers of a complex one
    are."""

    dtype: str
    use: str  # in, out, scratch
    level: str  # full: all dimensions; vec: outer and vector; row: outer only
    step: int


class Statement(NamedTuple):
    """One operation. ``kind`` is the dtype of its operands; ``store`` lists the accesses that receive the result."""

    name: str
    refs: tuple[Ref, ...]
    kind: str
    dtype: str
    level: str  # full or row
    phase: int
    store: tuple[int, ...] = ()
    reduces: bool = False
    reload: int = -1  # the access from which later phases read the value again; -1: they compute it again


class Kernel(NamedTuple):
    """The static part of a kernel. ``chunk`` says which dimension is cut into units: none, vector or mid."""

    mode: str
    outer: int
    mid: int
    chunk: str
    lanes: int
    accesses: tuple[Access, ...]
    numbers: tuple[str, ...]
    body: tuple[Statement, ...]

    @property
    def phases(self) -> int:
        return 1 + max((s.phase for s in self.body if s.level == "full"), default=0)

    def slots(self) -> int:
        """The number of slots before the first access."""
        return 1 + self.outer + self.mid + 1 + 2

    def slots_of(self, a: Access) -> int:
        """The number of slots of an access."""
        if a.use == "scratch":
            return 2
        return 1 + self.outer + 1 + (self.mid if a.level == "full" else 0) + (a.step == STRIDED)
