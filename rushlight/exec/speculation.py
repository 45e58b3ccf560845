"""Plans that start before their graph is complete.

A loop that asks for a value at every step (inference, evaluation) records the same graph again and again, and while it records
nothing computes. So where a plan followed another one several times, and the operations recorded after that are once more the
plan's first ones, other threads run it while the program records the rest, on the weights that it had the last time. It writes
to memory of its own: where the graph turns out to be another one, what was done is dropped, and nobody can tell but by the clock.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from functools import partial
from typing import Any

from rushlight.exec import flight
from rushlight.exec.wiring import picking
from rushlight.ir.graph import Cell, Graph, Node

ENOUGH = 2  # times in a row that a plan followed another one, before it is expected
LEFT = 2  # operations still to be recorded when a plan starts, or more
MOST_DOUBT = 1 << 10  # more times than that are never asked for


class Opening:
    """How a graph opens whose plan can start: nodes of the signatures ``sigs``. From their operands ``pick`` takes the plan's inputs
    ``places``, of these ``sizes``. Other inputs are what they were the last time, or are not read by the plan's first ``steps``.

    ``run`` is a weak reference to the plan, ``form`` what it keeps for its next start, as long as all inputs live that it is made for.
    No function of Python's drops it when one goes: an interrupt that arrives then would be raised where nobody can catch it, and be lost.
    """

    __slots__ = ("run", "sigs", "pick", "places", "sizes", "steps", "kept", "lasting")

    def __init__(self, run: Any, nodes: list[Node], inputs: Sequence[Cell], lasts: list[bool], steps: int) -> None:
        self.run = weakref.ref(run)
        operands = [id(x) for node in nodes for x in node.ins]
        self.sigs = [node.sig for node in nodes]
        self.places = [i for i, cell in enumerate(inputs) if not lasts[i] and id(cell) in operands]
        self.pick = picking([operands.index(id(inputs[i])) for i in self.places])
        self.sizes = [inputs[i].buffer.nbytes for i in self.places]  # type: ignore[union-attr]
        self.steps = steps
        self.kept: dict[str, Any] = {}
        close = partial(self.kept.pop, "form")  # the reference that it is called with is the default
        self.lasting = [(i, weakref.ref(cell, close)) for i, cell in enumerate(inputs) if lasts[i]]

    @property
    def form(self) -> Any:
        return self.kept.get("form")

    def inputs(self, nodes: list[Node]) -> Sequence[Cell] | None:
        """The inputs that are others at every step, where nodes are such an opening.

        That is as much as the plan needs to run on their memory. Whether it computes what the program asks for is seen at the end.
        """
        ins: list[Any] = []
        for node, sig in zip(nodes, self.sigs):
            if node.sig is not sig:
                return None
            ins += node.ins
        cells: Sequence[Cell] = self.pick(ins)
        for cell, size in zip(cells, self.sizes):
            if cell.buffer is None or cell.buffer.nbytes != size:
                return None
        return cells

    def holds(self, inputs: Sequence[Cell], given: Sequence[int]) -> bool:
        """Whether these are the inputs of a run that started with those given, by their numbers."""
        for place, cell in zip(self.places, given):
            if id(inputs[place]) != cell:
                return False
        for place, last in self.lasting:
            if last() is not inputs[place]:
                return False
        return True


def opening(run: Any, nodes: list[Node], inputs: Sequence[Cell], lasts: list[bool]) -> Opening | None:
    """How this plan can start, where it ran on these inputs of which some last; None where it cannot, or not before the last nodes."""
    found: tuple[int, int] | None = None
    known, count = {id(cell) for cell, stays in zip(inputs, lasts) if stays}, 1
    known.update(map(id, nodes[0].ins))
    for steps, (shared, reads, packed) in enumerate(run.launcher.free, 1):
        needed = {id(inputs[i]) for i in reads} - known
        if needed and found is not None or not all([lasts[i] for i in packed]):
            break
        while needed and count < len(nodes):
            known.update(map(id, nodes[count].ins))
            needed -= known
            count += 1
        if shared or found is not None:
            found = count, steps
    if found is None or found[0] > len(nodes) - LEFT:
        return None
    made = Opening(run, nodes[:found[0]], inputs, lasts, found[1])
    made.kept["form"] = run.launcher.form(inputs, lasts, found[1])
    return made


class Successor:
    """The plan that follows another one: ``run``, so many ``times`` in a row, and how its graph opens if it is expected again."""

    __slots__ = ("run", "times", "doubt", "cells", "opening")

    def __init__(self) -> None:
        self.run: Any = None  # a weak reference
        self.times = 0
        self.doubt = 0  # so many times more it has to follow
        self.cells: list[Any] = []  # references to its inputs
        self.opening: Opening | None = None

    def saw(self, run: Any, nodes: list[Node], inputs: Sequence[Cell]) -> None:
        """This plan followed, for the graph of these nodes."""
        if self.run is None or self.run() is not run:
            launcher = getattr(run, "launcher", None)
            self.run = weakref.ref(run) if launcher is not None and launcher.free else None
            self.times, self.opening = 0, None
        self.times += 1
        if self.run is not None:
            if self.times == ENOUGH - 1 + self.doubt:
                self.cells = [weakref.ref(cell) for cell in inputs]
            elif self.times == ENOUGH + self.doubt:
                self.opening = opening(run, nodes, inputs, [ref() is cell for ref, cell in zip(self.cells, inputs)])

    def failed(self) -> None:
        """It was another plan, or on other inputs."""
        self.times, self.opening = 0, None
        self.doubt = min(2 * self.doubt + 1, MOST_DOUBT)


_seeing = threading.Lock()  # who finds it taken, by another thread or around a finalizer, learns nothing from one plan


def follow(graph: Graph, run: Any, nodes: list[Node], inputs: Sequence[Cell]) -> None:
    """This plan followed the graph's last one (None: one that nobody waits for)."""
    found: Successor | None = graph.successor
    if found is not None and ((known := found.opening) is None or known.run() is not run):
        if _seeing.acquire(False):
            try:
                found.saw(run, nodes, inputs)
            finally:
                _seeing.release()
    found = graph.successor = getattr(run, "successor", None)
    known = None if found is None else found.opening
    graph.due = 0 if known is None else len(known.sigs)


def start(graph: Graph) -> None:
    """Let the expected plan start, if the recorded nodes are its opening and no other plan is in flight."""
    found, graph.due = graph.successor, 0
    known: Opening | None = None if found is None else found.opening
    run = None if known is None else known.run()
    if known is None or run is None or flight.current is not None:
        return
    with graph.lock:
        if len(graph.nodes) == len(known.sigs):  # no other thread has just realized them
            cells = known.inputs(graph.nodes)
            if cells is None:
                found.failed()
            else:
                graph.begun = run.launcher.begin(found, known, cells)
