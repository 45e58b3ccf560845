"""Long programs of another form each time, run as stretches that others have had.

A loop over a text or an episode records another graph for each length, of thousands of the same few operations. No plan of such a
graph would run again, but most of its stretches have run before, in other graphs or earlier in this one. So the numbers of its
operations are read like a text whose words are known: from each place the longest stretch that is known runs, by the plan that it
has. Only where none begins is the graph cut where few values cross (`rushlight.exec.cuts`), and what is new gets a plan.

What a stretch computes is there for good, as if it had run operation by operation: an error in a later one takes nothing back.
An optimizer's update, which overwrites the parameters, and what follows it are left to a plan of their own (`rushlight.exec.realize`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from operator import gt, or_
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight.exec import choose
from rushlight.exec.apart import UPDATE, Window, alone
from rushlight.exec.cuts import WHOLE, Row, seams
from rushlight.exec.stats import stats
from rushlight.exec.wiring import Wiring
from rushlight.ir.graph import Buffer, Cell, Node, Signature
from rushlight.ir.program import Program
from rushlight.ir.spec import Spec
from rushlight.passes.recent import Recent

if TYPE_CHECKING:
    from rushlight.tensor.storage import Storage

LONG = 64  # nodes from which on graphs of other forms each time run in stretches
FORMS = 3  # graphs of the same few operations that are planned as a whole before
AGAIN = 16  # at which time a graph that comes again is planned as a whole
ROWS = 200  # operations of a bundle that is no part of a stretch
AHEAD = 512  # nodes among which good places to cut are looked for
LARGEST = 1 << 27  # elements of all results together: what stretches hand on is in memory
MOST_NODES, MOST_KINDS = 400_000, 256
WAYS = 6  # stretches of the same operations that differ in what is read or kept, and lengths that begin alike
ToProgram = Callable[[list[Node], list[Cell], list[Any], Sequence[int]], Program]


class Alike:
    """What signatures that differ only in where their operands lie have in common: the `number`. ``ops`` are the operations,
    ``offsets`` where this one's operands begin; ``whole`` says that it cannot be part of a stretch, ``update`` that it ends all."""

    __slots__ = ("number", "ops", "offsets", "whole", "update")

    def __init__(self, sig: Signature) -> None:
        rows = [sig] if sig.rows is None else [row for row, _ in sig.rows]
        self.ops = frozenset([row.op for row in rows])
        self.offsets = tuple([s.offset if isinstance(s, Spec) else 0 for s in sig.specs])
        self.update = any([op is not None and op.attrs == UPDATE for op in self.ops])
        self.whole = len(rows) > ROWS or any([row.rows is not None or row.op.name.startswith(WHOLE)
                                              or not all([isinstance(s, Spec) for s in row.outs]) for row in rows])
        if sig.rows is None:
            name: Any = (sig.op, sig.attrs, sig.outs, *[s.at(s.shape, s.strides, 0) if isinstance(s, Spec) else s for s in sig.specs])
        else:
            name = (sig.kept, *[(row.id, places) for row, places in sig.rows])  # type: ignore[attr-defined]
            self.offsets = (0,) * (1 + max([p for _, places in sig.rows for p in places], default=-1))
        self.number = _numbers.setdefault(name, len(_numbers))


_numbers: dict[Any, int] = {}
_times: Recent[list[None]] = Recent(MOST_NODES)  # by the numbers of a graph's nodes: how often it has run in stretches
_planned: Recent[bool] = Recent(MOST_NODES)  # the operations of graphs that are planned as a whole, in order
_forms: Recent[list[None]] = Recent(MOST_KINDS)  # by the operations that graphs are made of: how many such orders
_varied: Recent[bool] = Recent(MOST_KINDS)  # sets of operations of which so many orders were met
_known: Recent[list["Stretch"]] = Recent(MOST_NODES)  # by the numbers of their nodes
_lengths: Recent[list[int]] = Recent(MOST_NODES)  # of known stretches, the newest first, by the number of the first node


latest = False  # whether the latest long graph that was not known ran in stretches


def alike(sig: Signature) -> Alike:
    """What a signature has in common with others."""
    found: Alike | None = sig.alike
    if found is None:
        found = sig.alike = Alike(sig)
    return found


def ending(nodes: list[Node], elements: int) -> int:
    """How many of these nodes, whose results have so many elements together, are to run in stretches; 0 where they are planned as a
    whole."""
    global latest
    if len(nodes) < LONG or elements > LARGEST:
        return 0
    latest = False
    order = tuple([id(node.sig.op) if node.sig.rows is None else node.sig.id for node in nodes])
    if _planned.get(order) or not choose.compiles():
        return 0
    each = [node.sig.alike or alike(node.sig) for node in nodes]
    end = next((at for at, a in enumerate(each) if a.update), len(each))
    if end < LONG or any([a.whole for a in each]):
        return 0
    numbers = tuple([a.number for a in each])
    times = _times.get(numbers)
    if times is None:
        if not _varies(frozenset().union(*{*[a.ops for a in each]})):
            _planned.put(order, True, len(order))
            return 0
        times = _times.put(numbers, [], len(numbers))
    if len(times) >= AGAIN - 1:
        return 0
    times.append(None)
    latest = True
    return end


def _varies(kinds: frozenset[Any]) -> bool:
    """Whether many orders of these operations, or of more, have come."""
    if any([kinds <= varied for varied in (*_varied.young, *_varied.old)]):  # type: ignore[operator]
        return True
    forms = _forms.get(kinds) or _forms.put(kinds, [])
    forms.append(None)
    if len(forms) > FORMS:
        _varied.put(kinds, True)
    return len(forms) > FORMS


class Part:
    """Nodes that follow each other: their operands, where these begin, their results, how many operands of the graph each result is, and
    whether a storage shows it."""

    __slots__ = ("nodes", "ins", "outs", "uses", "shown", "offsets")

    def __init__(self, nodes: list[Node], uses: dict[int, int]) -> None:
        self.nodes = nodes
        ins: list[Any] = []
        outs: list[Cell] = []
        offsets: list[int] = []
        for node in nodes:
            ins += node.ins
            outs += node.outs
            offsets += node.sig.alike.offsets
        self.ins, self.outs, self.offsets = ins, outs, offsets
        self.uses = [uses[id(c)] for c in outs]
        self.shown = [(owner := c.owner) is not None and (storage := owner()) is not None and storage.cell is c for c in outs]


class Stretch:
    """The plan of nodes that follow each other.

    ``lasting`` says of each input whether it was there before the graph ran, ``read`` which elements a plan is given: a window that moves
    with the offsets of `places` (of all operands), or all of a memory of that size. ``inner`` counts for each result the operands of these
    nodes that it is, ``needed`` says whether it is read later: then it is among the `live`, which the plan makes.
    """

    __slots__ = ("wiring", "offsets", "lasting", "dtypes", "read", "places", "inner", "needed", "live", "run", "switches")

    def __init__(self, part: Part, graph: Whole) -> None:
        made = {id(c) for c in part.outs}
        inputs = [*{id(x): x for x in part.ins if x.__class__ is Cell and id(x) not in made}.values()]
        wiring = self.wiring = Wiring(tuple([node.sig.id for node in part.nodes]), part.ins, part.outs, inputs)
        inputs = [*wiring.inputs(part.ins)]
        uses = Counter(map(id, part.ins))
        self.inner = [uses[id(c)] for c in part.outs]
        self.needed = self._read_later(part)
        self.live = [i for i, needed in enumerate(self.needed) if needed]
        self.offsets = part.offsets
        self.lasting = [id(x) not in graph.made for x in inputs]
        buffers = [_buffer(x) for x in inputs]
        self.dtypes = [b.dtype.num for b in buffers]
        numbers = [*wiring.numbers(part.ins)]
        program = graph.to_program(part.nodes, [part.outs[i] for i in self.live], [*inputs, *numbers], ())
        lasting = {i for i, there in enumerate(self.lasting) if there} | {*range(len(inputs), len(inputs) + len(numbers))}
        windows, self.run = alone(program, lasting, choose.compiled)
        self.read: list[tuple[Window, int]] = [(w, b.size) for w, b in zip(windows, buffers)]
        self.places = [[p for p, x in enumerate(part.ins) if x is c] if w is not None else [] for c, w in zip(inputs, windows)]
        self.switches = bool(getattr(self.run, "switches", None))

    def given(self, part: Part, made: set[int]) -> tuple[list[Cell], list[Any]] | None:
        """The inputs of these nodes, and what the plan is given; None where it is the plan of others. The graph has `made` the
        values with these ids."""
        inputs = [*self.wiring.inputs(part.ins)]
        if not self.wiring.fits(part.ins, part.outs, inputs) or self._read_later(part) != self.needed:
            return None
        if [id(x) not in made for x in inputs] != self.lasting:
            return None
        shifts = None if part.offsets == self.offsets else self._shifts(part.offsets)
        if shifts is None and part.offsets != self.offsets:
            return None
        given: list[Any] = []
        for at, (x, dtype, (window, size)) in enumerate(zip(inputs, self.dtypes, self.read)):
            buffer = x.buffer
            if buffer is None:
                buffer = _buffer(x)
            if buffer.dtype.num != dtype:
                return None
            if window is None:
                if buffer.size != size:
                    return None
                given.append(buffer)
                continue
            low, high = window
            if shifts is not None:
                low, high = low + shifts[at], high + shifts[at]
            if high > buffer.size:
                return None
            given.append(buffer[low:high])
        given += self.wiring.numbers(part.ins)
        return inputs, given

    def _read_later(self, part: Part) -> list[bool]:
        """Which results are read by nodes that follow, or from outside."""
        return [*map(or_, map(gt, part.uses, self.inner), part.shown)]

    def _shifts(self, offsets: list[int]) -> list[int] | None:
        """How far each window has moved; None where anything else has, or only a part of what is read through one."""
        moved = [*self.offsets]
        shifts = []
        for places in self.places:
            shift = offsets[places[0]] - moved[places[0]] if places else 0
            for p in places:
                moved[p] += shift
            shifts.append(shift)
        return shifts if moved == offsets else None

    def compute(self, part: Part, inputs: list[Cell], given: list[Any]) -> None:
        """Give the results that somebody reads later their values."""
        if not self.live:
            return
        if self.switches:
            made = self.run(given, [x if w is None else None for x, (w, _) in zip(inputs, self.read)] + [None] * (len(given) - len(inputs)))
        else:
            made = self.run(given)
        for i, buffer in zip(self.live, made):
            part.outs[i].buffer = buffer


def _buffer(cell: Cell) -> Buffer:
    """The value of an input, which another thread may still have to compute, or has failed to."""
    if cell.buffer is None:
        from rushlight.exec.realize import realize_cell
        realize_cell(cell)
    assert cell.buffer is not None
    return cell.buffer


def run(nodes: list[Node], end: int, to_program: ToProgram) -> Iterator[int]:
    """Run the nodes before `end`, stretch by stretch; says each time how many have run. They refer to nothing any more then."""
    numbers = [node.sig.alike.number for node in nodes[:end]]
    operands: list[Any] = []
    for node in nodes:
        operands += node.ins
    graph = Whole(Counter(map(id, operands)), to_program)
    del operands  # they would keep memory that is of no use any more
    borders: list[int] = []
    at = 0
    try:
        while at < end:
            found = _longest(nodes, numbers, at, graph)
            if found is None:
                if not borders or borders[-1] <= at:
                    ahead = [*map(_row, nodes[at:min(at + AHEAD, end)])]
                    borders = [b + at for b in [*seams(ahead), len(ahead)]]
                found = _new(nodes[at:borders[bisect_right(borders, at)]], graph)
            part, stretch, inputs, given = found
            stretch.compute(part, inputs, given)
            at += len(part.nodes)
            graph.settle(part)
            del found, part, inputs, given
            yield at
    finally:
        graph.land()


class Whole:
    """What is known of a graph that runs in stretches: how many operands each value is, by its id, and which values it has `made`."""

    __slots__ = ("uses", "made", "shared", "to_program")

    def __init__(self, uses: dict[int, int], to_program: ToProgram) -> None:
        self.uses, self.to_program = uses, to_program
        self.made: set[int] = set()
        self.shared: list[tuple[Storage, Cell]] = []  # with memory that others see: it receives results when nothing reads the old ones

    def settle(self, part: Part) -> None:
        """The results of nodes are pending no more, and nodes refer to nothing."""
        stats.nodes += len(part.nodes)
        self.made.update(map(id, part.outs))
        for cell, shown in zip(part.outs, part.shown):
            cell.node = cell.before = None
            if shown and cell.buffer is not None:
                stats.track(cell.buffer, cell.buffer.nbytes)
                storage = cell.owner() if cell.owner is not None else None
                if storage is not None and storage.home is not None:
                    self.shared.append((storage, cell))
        for node in part.nodes:
            node.ins = node.outs = ()

    def land(self) -> None:
        """Memory that is shared with the outside receives its values."""
        for storage, cell in self.shared:
            if storage.cell is cell and cell.buffer is not None and storage.home is not None:
                np.copyto(storage.home, cell.buffer)
                cell.buffer = storage.home


def _row(node: Node) -> Row:
    return [id(x) for x in node.ins if x.__class__ is Cell], [(id(c), True) for c in node.outs]


Found = tuple[Part, Stretch, "list[Cell]", "list[Any]"]


def _longest(nodes: list[Node], numbers: list[int], at: int, graph: Whole) -> Found | None:
    """The longest stretch from a place on that is known."""
    for length in sorted(_lengths.get(numbers[at]) or (), reverse=True):
        known = _known.get(tuple(numbers[at:at + length]))
        if known is None:
            continue
        part = Part(nodes[at:at + length], graph.uses)
        for stretch in known:
            given = stretch.given(part, graph.made)
            if given is not None:
                return part, stretch, *given
    return None


def _new(nodes: list[Node], graph: Whole) -> Found:
    """A stretch that was not known, with its plan."""
    part = Part(nodes, graph.uses)
    with choose.without_collector():
        stretch = Stretch(part, graph)
    numbers = tuple([node.sig.alike.number for node in nodes])
    known = _known.get(numbers) or []
    _known.replace(numbers, [stretch, *known[:WAYS - 1]], len(numbers))
    lengths = _lengths.get(numbers[0]) or []
    if len(nodes) not in lengths:
        _lengths.replace(numbers[0], [len(nodes), *lengths[:WAYS - 1]])
    given = stretch.given(part, graph.made)
    assert given is not None, "a stretch is not its own"
    return part, stretch, *given
