"""How the nodes of a graph are wired: which of their operands are results of one another, which are inputs.

A loop records the same graph at every step. Its wiring is found by the numbers of its signatures and then checked as a whole, with
a handful of calls instead of work for each operand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from rushlight.ir.graph import Cell, Node
from rushlight.passes.recent import Recent

Found = tuple["Wiring", "list[Cell]", "Sequence[Cell]", "Sequence[Any]"]  # the wiring, results, inputs and numbers of nodes
Pick = Callable[["list[Any]"], Sequence[Any]]
MOST = 400_000  # operands of all graphs together

_by_shape: Recent[Wiring] = Recent(2 * MOST)
_latest: Recent[Wiring] = Recent(MOST)  # by the numbers of the nodes' signatures


def picking(places: Sequence[int]) -> Pick:
    """A function from a list to what stands at these places of it."""
    if len(places) > 1:
        return itemgetter(*places)
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))


class Wiring:
    """Which operands of a graph's nodes are which of its values (all results, then all inputs); equal graphs share one.

    ``references`` says how many operands, and values that results replace, each input is.
    """

    __slots__ = ("inputs", "numbers", "cells", "values", "replacing", "replaced", "references", "shape")

    def __init__(self, key: tuple[int, ...], ins: list[Any], outs: list[Cell], inputs: Sequence[Cell]) -> None:
        place = {id(c): i for i, c in enumerate((*outs, *inputs))}
        cells = [i for i, x in enumerate(ins) if x.__class__ is Cell]
        values = [place[id(ins[i])] for i in cells]
        first = {v: i for i, v in zip(reversed(cells), reversed(values))}
        replacing = [i for i, c in enumerate(outs) if c.before is not None and place.get(id(c.before), 0) >= len(outs)]
        replaced = [place[id(outs[i].before)] for i in replacing]
        count = Counter(values + replaced)
        places = range(len(outs), len(outs) + len(inputs))
        self.inputs = picking([first[v] for v in places])
        self.numbers = picking([i for i, x in enumerate(ins) if x.__class__ is not Cell])
        self.cells, self.values = picking(cells), picking(values)
        self.replacing, self.replaced = picking(replacing), picking(replaced)
        self.references = [count[v] for v in places]
        self.shape = (key, tuple(values), tuple(replacing), tuple(replaced))

    def fits(self, ins: list[Any], outs: list[Cell], inputs: Sequence[Any]) -> bool:
        """Whether operands are wired like this, with these inputs; what nodes of the same signatures have is given."""
        if len({*inputs}) < len(inputs):  # one input in two places
            return False
        values = [*outs, *inputs]
        return self.values(values) == self.cells(ins) and [*self.replaced(values)] == [c.before for c in self.replacing(outs)]


def known(nodes: list[Node]) -> Found | None:
    """What `wiring_of` gives for nodes that are wired as others were before, whose inputs may still be pending."""
    ins, outs, key = _operands(nodes)
    wiring = _latest.get(key)
    if wiring is not None:
        inputs = wiring.inputs(ins)
        if wiring.fits(ins, outs, inputs):
            return wiring, outs, inputs, wiring.numbers(ins)
    return None


def _operands(nodes: list[Node]) -> tuple[list[Any], list[Cell], tuple[int, ...]]:
    ins: list[Any] = []
    outs: list[Cell] = []
    for node in nodes:
        ins += node.ins
        outs += node.outs
    return ins, outs, tuple([node.sig.id for node in nodes])


def wiring_of(nodes: list[Node], realize_cell: Callable[[Cell], None], found: Found | None = None) -> Found:
    """The wiring of nodes, their results, their inputs (realized where another graph has them pending) and their numbers; `found` is
    what is `known` of them, if anybody has looked."""
    found = found or known(nodes)
    if found is not None:
        for cell in found[2]:
            if cell.buffer is None:
                break
        else:
            return found
    ins, outs, key = _operands(nodes)
    made = {id(c) for c in outs}
    inputs = list({id(x): x for x in ins if x.__class__ is Cell and id(x) not in made}.values())
    for cell in inputs:
        if cell.buffer is None:
            realize_cell(cell)
    wiring = Wiring(key, ins, outs, inputs)
    wiring = _by_shape.get(wiring.shape) or _by_shape.put(wiring.shape, wiring, len(ins))  # plans are kept under the one of this shape
    _latest.replace(key, wiring, len(ins))
    return wiring, outs, inputs, wiring.numbers(ins)
