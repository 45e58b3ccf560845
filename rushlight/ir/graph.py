"""The pending graph: nodes that were recorded and not run yet, and the cells that carry values between them."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from rushlight.ir.spec import Spec

Buffer = np.ndarray[Any, Any]


class ScalarSpec:
    """The type of an operand that is a Python number: its value is a run-time input, never part of a plan's key."""

    __slots__ = ("kind", "shape", "dtype")

    def __init__(self, kind: str):
        self.kind = kind
        self.shape = ()
        self.dtype = None

    def __repr__(self) -> str:
        return self.kind


SCALARS: dict[type, ScalarSpec] = {t: ScalarSpec(t.__name__) for t in (bool, int, float, complex)}


class Cell:
    """One value: pending (``node`` set), realized (flat ``buffer`` set) or failed (``error`` set). Never changes once set.

    ``owner`` is a weak reference to the Storage that shows the value to the outside; a pending cell whose owner is
    gone, or has moved on to another cell, need not be materialised.
    """

    __slots__ = ("node", "index", "buffer", "owner", "error", "before", "packed", "__weakref__")

    def __init__(self, node: Node | None, index: int, buffer: Buffer | None = None):
        self.node = node
        self.index = index
        self.buffer = buffer
        self.owner: weakref.ref[Any] | None = None
        self.error: BaseException | None = None
        self.before: Cell | None = None  # while pending: the value that its storage had, for the case that this one fails
        self.packed: dict[str, Buffer] | None = None  # its packed forms, from the second run on that may use them

    def alive(self) -> bool:
        """Whether a storage still shows this value."""
        owner = self.owner() if self.owner is not None else None
        return owner is not None and owner.cell is self


class Signature:
    """An operation with the types of its operands and results: computed once, then found by a dictionary look-up."""

    __slots__ = ("op", "attrs", "asked", "specs", "given", "outs", "results", "id", "alike")
    count = 0
    rows: Any = None  # of a Bundle alone

    def __init__(self, op: Any, attrs: tuple[Any, ...], specs: tuple[Any, ...], outs: tuple[Spec, ...]):
        self.op = op
        self.attrs = attrs
        self.asked = attrs  # the attributes that belong to the operands' own types
        self.specs = specs  # how operands are read: elementwise operations read them broadcast
        self.given = specs  # the operands' own types
        self.outs = outs  # the results as they lie in memory: contiguous
        self.results = outs  # the results as their tensors show them
        Signature.count += 1
        self.id = Signature.count
        self.alike: Any = None  # what others of another id have in common with this one, once asked for (`rushlight.exec.stretches`)


class Bundle(Signature):
    """Several operations recorded as one node, which become single ones again in the program.

    ``rows`` holds (signature, places of its operands) of each, a place being a number in the list of the bundle's operands
    followed by all results so far; ``kept`` the places of the bundle's own results.
    """

    __slots__ = ("rows", "kept")

    def __init__(self, rows: list[tuple[Signature, tuple[int, ...]]], kept: tuple[int, ...], outs: tuple[Spec, ...]):
        super().__init__(None, (), (), outs)
        self.rows = rows
        self.kept = kept


class Node:
    """One recorded operation. ``ins`` holds cells and Python numbers, ``outs`` the cells of its results."""

    __slots__ = ("sig", "ins", "outs", "graph", "line")

    def __init__(self, sig: Signature, ins: Sequence[Any], graph: Graph):
        self.sig = sig
        self.ins = ins
        self.graph = graph
        self.line: str | None = None
        self.outs: tuple[Cell, ...] = ()


class Graph:
    """The nodes that one thread recorded since it last realized, in order of recording.

    ``successor`` says what follows the last plan; it starts when there are ``due`` nodes, and is ``begun`` then
    (`rushlight.exec.speculation`). One that is ``traced`` is read, and never runs.
    """

    __slots__ = ("nodes", "lock", "elements", "patience", "traced", "thread", "due", "successor", "begun")

    def __init__(self, traced: bool = False) -> None:
        self.thread = threading.get_ident()
        self.nodes: list[Node] = []
        self.lock = threading.RLock()
        self.elements = 0  # of all pending results
        self.patience = 0  # with how many nodes it runs for having too many elements, 0 while it has not
        self.traced = traced
        self.due = 0
        self.successor: Any = None
        self.begun: Any = None


class Recorded:
    """Nodes as the ``rows`` of a bundle, on those of some cells that ``used`` names and on ``numbers``. ``place`` says where each cell's value
    is in the list of these operands and of all results, by its id."""

    __slots__ = ("rows", "used", "numbers", "place")

    def __init__(self, rows: list[tuple[Signature, tuple[int, ...]]], used: tuple[int, ...], numbers: tuple[Any, ...], place: dict[int, int]):
        self.rows, self.used, self.numbers, self.place = rows, used, numbers, place

    @property
    def operands(self) -> int:
        """How many there are: results begin at this place."""
        return len(self.used) + len(self.numbers)


def recorded(nodes: Sequence[Node], cells: Sequence[Cell]) -> Recorded | None:
    """What nodes record on these cells; None where they read anything else."""
    read = {id(x) for node in nodes for x in node.ins}
    used = tuple([i for i, cell in enumerate(cells) if id(cell) in read])
    numbers = tuple([x for node in nodes for x in node.ins if x.__class__ is not Cell])
    place = {id(cells[i]): at for at, i in enumerate(used)}
    next_number, count = len(used), len(used) + len(numbers)
    rows = []
    for node in nodes:
        places = []
        for x in node.ins:
            if x.__class__ is not Cell:
                places.append(next_number)
                next_number += 1
            elif id(x) in place:
                places.append(place[id(x)])
            else:
                return None
        place.update((id(cell), count + i) for i, cell in enumerate(node.outs))
        count += len(node.outs)
        rows.append((node.sig, tuple(places)))
    return Recorded(rows, used, numbers, place)
