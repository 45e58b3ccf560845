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

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

Ref = tuple[str, int]  # ("a", access), ("n", number), ("t", statement)
OUT_OF_RANGE = 1  # the kernel's result when an index is no position of its dimension

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


@dataclass(slots=True)
class Place:
    """Where an access finds its memory. ``value`` is a position among the values of a step, ``strides`` are in elements
    over the domain's dimensions; ``partial`` marks the partial results of a cut reduction, ``joined`` complex numbers, whose parts are
    the elements."""

    value: int
    offset: int
    strides: dict[int, int]
    itemsize: int
    partial: bool = False
    joined: bool = False


@dataclass(slots=True)
class Loop:
    """A kernel with sizes and places. It names values by their position among the values of a step, so that one serves
    all groups of the same form, in this plan and others."""

    kernel: Kernel
    outer: tuple[int, ...]
    mid: tuple[int, ...]
    size: int
    chunk: int
    chunks: int
    places: tuple[Place | None, ...]  # None for scratch
    slots: tuple[tuple[int, ...], ...]  # strides of each access, in the order of the argument block
    numbers: tuple[int, ...]
    work: int
    words: tuple[int, ...] = ()  # the argument block, where 0 stands for addresses
    spots: tuple[int, ...] = ()  # where addresses of the accesses go
    sources: frozenset[int] = frozenset()
    results: frozenset[int] = frozenset()
    scratch: tuple[int, ...] = ()  # bytes for each thread

    def __post_init__(self) -> None:
        words, spots = [0, *self.outer, *self.mid, self.size, self.chunk, self.chunks], []
        for strides in self.slots:
            spots.append(len(words))
            words += [0, *strides]
        self.words, self.spots = tuple(words), tuple(spots)
        used = [(a.use, p.value) for a, p in zip(self.kernel.accesses, self.places) if p is not None]
        self.sources = frozenset([v for use, v in used if use == "in"])
        self.results = frozenset([v for use, v in used if use == "out"])
        self.scratch = tuple([s[0] for p, s in zip(self.places, self.slots) if p is None])

    @property
    def units(self) -> int:
        return prod(self.outer) * self.chunks
