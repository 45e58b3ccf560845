"""From the pending graph to numbers: find the plan by the graph's key, or build it, then run it."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import count
from sys import getrefcount
from threading import get_ident
from typing import Any

import numpy as np

from rushlight.exec import apart, choose, flight, rescue, speculation, stretches, unneeded
from rushlight.exec.apart import Apart
from rushlight.exec.stats import stats
from rushlight.exec.wiring import Found, Wiring, known, wiring_of
from rushlight.ir.graph import SCALARS, Buffer, Cell, Graph, Node, Signature
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import spec

Run = Callable[[list[Any]], "tuple[Buffer, ...]"]
Living = tuple["list[tuple[Cell, Any]]", "tuple[bool, ...]"]
Key = tuple[Wiring, tuple[bool, ...], tuple[int, ...], tuple[int, ...]]
MAX_PLANS = int(os.environ.get("RUSHLIGHT_PLANS", "512"))

_plans: OrderedDict[Key, Run] = OrderedDict()
_plans_lock = threading.Lock()
_newest: list[Run | None] = [None]  # the plan at the end of the dictionary, by which it need not be moved there
observer: Callable[[list[Node], Run, list[Any]], Any] | None = None  # runs plans in the profiler's stead


def realize_cell(cell: Cell) -> None:
    """Run what the value of a cell waits for, in whichever thread's graph it is pending."""
    if cell.buffer is None and cell.error is None:
        if flight.current is not None:
            flight.fetch(cell)
        node = cell.node
        if cell.buffer is None and node is not None:
            realize(node.graph)
    if cell.error is not None:
        raise cell.error
    assert cell.buffer is not None, "a value was read that the plan did not materialise"


def realize(graph: Graph, leave: bool = False) -> None:
    """Run every pending node of a graph that something outside still refers to.

    With `leave` the last of them may still run when this returns (`rushlight.exec.flight`).
    """
    with graph.lock:
        begun, graph.begun = graph.begun, None
        foreign = graph.thread != get_ident()
        ahead: tuple[list[Node], tuple[Found, Living] | None] | None = None
        flying = flight.current
        if flying is not None and flying is not begun:
            pending = graph.nodes[:]
            ahead = pending, _known(pending, foreign)  # now, while other threads compute
            flight.land()
        flying = None  # it refers to cells whose memory may be overwritten if nobody else does
        elements = graph.elements
        pending, graph.nodes, graph.elements, graph.patience = graph.nodes, [], 0, 0
        if not pending:
            return
        graph.due = 0
        nodes = pending[:]  # another thread may be just about to append to the list that this one took
        taken = len(nodes)
        ins = [node.ins for node in nodes]
        inputs: Sequence[Cell] = ()
        try:
            seen = ahead[1] if ahead is not None and ahead[0] == nodes else None
            ahead = None
            if seen is None and begun is None and taken >= stretches.LONG and (seen := _known(nodes, foreign)) is None and not foreign:
                _in_stretches(nodes, ins, elements)
                if not nodes:
                    graph.nodes[:0], graph.successor = pending[taken:], None
                    return
            key, outs, live, inputs, given = _summary(nodes, foreign, seen)
            seen = None
            run = _reused(key)
            if run is None and begun is None and not foreign and (kept := unneeded.needed(nodes, live, key)) is not nodes:
                unneeded.drop(nodes, kept)
                nodes, ins = kept, [node.ins for node in kept]
                outs, live, inputs, given = [], [], (), []  # they refer to cells whose memory may be overwritten if nobody else does
                key, outs, live, inputs, given = _summary(nodes)
                run = _reused(key)
            if run is None:
                run = _build(nodes, [cell for cell, _ in live], inputs, given, key)
            stats.nodes += len(nodes)
            speculation.follow(graph, None if leave else run, nodes, inputs)
            if observer is None:
                _let_go(nodes)
            results: tuple[Buffer, ...] | None = None
            if begun is not None:
                results = begun.finish(run if observer is None else None, given, inputs)
            if results is not None:
                pass
            elif leave and _launch(run, given, inputs, live, outs):
                results = None  # the flight shows them
            elif observer is not None:
                results = observer(nodes, run, given)
            elif getattr(run, "switches", None):  # plans that keep something with their inputs
                results = run(given, inputs)  # type: ignore[call-arg]
            else:
                results = run(given)
        except BaseException as e:
            if begun is not None:
                begun.drop()
            spoiled = {id(inputs[i]) for i in getattr(e, "spoiled", ()) if i < len(inputs)}
            _fail(_without_value(nodes, ins, spoiled, e), e, spoiled)
            raise
        if len(pending) > taken:
            graph.nodes[:0] = pending[taken:]
        if observer is not None:
            _let_go(nodes)
        if results is not None:
            _count(results, given)
            _settle(live, results)
            for cell in outs:
                cell.node = cell.before = None


def _in_stretches(nodes: list[Node], ins: list[Sequence[Any]], elements: int) -> None:
    """Run those at the begin of a graph of a form that never comes again, and take them out of the lists."""
    if observer is not None:
        return
    done = 0
    try:
        for end in stretches.run(nodes, stretches.ending(nodes, elements), to_program):
            ins[done:end] = [()] * (end - done)  # what nobody else refers to is freed at once
            done = end
    finally:
        del nodes[:done], ins[:done]


def _known(nodes: list[Node], foreign: bool) -> tuple[Found, Living] | None:
    """What is known of the wiring of these nodes, and which results live; one that dies later is computed for nobody."""
    found = known(nodes)
    return None if found is None else (found, _living(found[1], foreign))


def _living(outs: list[Cell], foreign: bool) -> Living:
    """The results that storages show, with the storage, and of each result whether it is one. Of a `foreign` thread's nodes all
    results live: just now it may be recording another reader."""
    live: list[tuple[Cell, Any]] = []
    alive = []
    for cell in outs:
        owner = cell.owner
        if owner is not None and (storage := owner()) is not None and storage.cell is cell:
            live.append((cell, storage))
            alive.append(True)
        else:
            if foreign:
                live.append((cell, None))
            alive.append(foreign)
    return live, tuple(alive)


def _let_go(nodes: list[Node]) -> None:
    """Nodes and cells refer to each other: without this, memory would be freed by the garbage collector only."""
    for node in nodes:
        node.ins = ()


def _launch(run: Run, given: list[Any], inputs: Sequence[Cell], live: list[tuple[Cell, Any]], outs: list[Cell]) -> bool:
    """Run a plan until nothing of it can fail, its rest while the program goes on; False where that cannot be now.

    Memory that is shared with the outside receives its results when no step reads its old values any more: not in parts.
    """
    launcher = getattr(run, "launcher", None)
    if launcher is None or launcher.head == launcher.steps or observer is not None:
        return False
    if any([storage is not None and storage.home is not None for _, storage in live]):
        return False
    with launcher.lock:
        if not flight.lock.acquire(blocking=False):
            return False
        try:
            flight.land()  # another thread's
            job = launcher.job(given, inputs)
            if job is None:
                return False
            flying = flight.current = flight.Flight(job, live, outs, given, _count, _settle)
            try:
                flying.reach(launcher.head)
            except BaseException:
                if flight.current is flying:
                    flying.abandon()
                raise
        finally:
            flight.lock.release()
    return True


def _without_value(nodes: list[Node], ins: list[Sequence[Any]], spoiled: set[int], error: BaseException) -> list[Node]:
    """The nodes that have no value after a failure; the others get theirs."""
    if len(nodes) == 1 or not isinstance(error, Exception) or isinstance(error, MemoryError):
        return nodes
    _let_go(nodes)
    try:
        found, outs, results = rescue.values(nodes, ins, spoiled, to_program)
    except Exception:  # the failure itself is what has to be told
        return nodes
    _settle(_living(outs, True)[0], results)
    for cell in outs:
        cell.node = cell.before = None
    valid = {*map(id, found)}
    return [node for node in nodes if id(node) not in valid]


def _fail(nodes: list[Node], error: BaseException, spoiled: set[int]) -> None:
    """Nothing of these nodes has a value. Storages that they would have written to in place keep the value that they had,
    but for memory that was overwritten before the error."""
    for node in nodes:
        for cell in node.outs:
            cell.error = error
            cell.node = None
    for node in nodes:
        for cell in node.outs:
            storage = cell.owner() if cell.owner is not None else None
            old = cell.before
            while old is not None and old.error is not None:
                old = old.before
            if storage is not None and storage.cell is cell and old is not None and id(old) not in spoiled:
                storage.cell = old
                old.owner = cell.owner
    for node in nodes:
        for cell in node.outs:
            cell.before = None


def _count(results: tuple[Buffer, ...], given: list[Any]) -> None:
    """Say that there is new memory: not what was taken over from inputs, which is counted already."""
    before = {*map(id, given)}
    for buffer in results:
        if id(buffer) not in before:
            stats.track(buffer, buffer.nbytes)


def _settle(live: list[tuple[Cell, Any]], results: tuple[Buffer, ...]) -> None:
    """Hand results to their storages; memory shared with the outside receives the numbers in place."""
    for _, storage in live:
        if storage is not None and storage.home is not None:
            results = _apart_from_homes(live, results)
            break
    for (cell, storage), buffer in zip(live, results):
        if storage is not None and storage.home is not None and storage.cell is cell:
            if storage.home is not buffer:
                np.copyto(storage.home, buffer)
            buffer = storage.home
        cell.buffer = buffer


def _apart_from_homes(live: list[tuple[Cell, Any]], results: tuple[Buffer, ...]) -> tuple[Buffer, ...]:
    """The results, in other memory where they have taken over some that a storage's own result is written to now."""
    away = [id(storage.home) for (cell, storage), buffer in zip(live, results)
            if storage is not None and storage.home is not None and storage.home is not buffer and storage.cell is cell]
    return tuple([buffer.copy() if id(buffer) in away else buffer for buffer in results])


def _summary(nodes: list[Node], foreign: bool = False, seen: tuple[Found, Living] | None = None) \
        -> tuple[Key, list[Cell], list[tuple[Cell, Any]], Sequence[Cell], list[Any]]:
    """The key of the graph, its results, those that storages show (with the storage), the inputs' cells, and what a plan is given.

    The key holds topology, operations, types, memory sizes, which results live and which inputs die (and may be overwritten);
    never a number. ``seen`` is what was found before the plan in flight had landed.
    """
    wiring, outs, inputs, numbers = wiring_of(nodes, realize_cell, None if seen is None else seen[0])
    live, alive = _living(outs, foreign) if seen is None else seen[1]
    given: list[Any] = []
    sizes, donated = [], []
    for i, references in enumerate(wiring.references):  # (zip would refer to the cell as well)
        cell = inputs[i]
        buffer = cell.buffer
        given.append(buffer)
        sizes.append(buffer.nbytes)  # type: ignore[union-attr]
        owner = cell.owner
        # beside its operands only `inputs`, `cell`, the call's argument and later values refer to it: no node of another thread
        if owner is not None and ((storage := owner()) is None or storage.cell is not cell) and getrefcount(cell) == references + 3:
            donated.append(i)
    given += numbers
    return (wiring, alive, tuple(sizes), tuple(donated)), outs, live, inputs, given


def _reused(key: Key) -> Run | None:
    """The plan of a graph that was met before."""
    run = _plans.get(key)
    if isinstance(run, Apart) and run.outgrown:
        return None
    if run is not None:
        stats.plans_reused += 1
        if run is not _newest[0]:
            _newest[0] = run
            try:
                _plans.move_to_end(key)
            except KeyError:  # another thread forgot it just now
                pass
    return run


def _build(nodes: list[Node], live: list[Cell], inputs: Sequence[Cell], given: list[Any], key: Key) -> Run:
    """Compile the graph with the executor in force and remember the plan."""
    with choose.without_collector():
        run = choose.compile_program(to_program(nodes, live, [*inputs, *given[len(inputs):]], key[-1]), key in _plans)
    stats.plans_built += 1
    with _plans_lock:
        _newest[0] = run
        _plans[key] = run
        while len(_plans) > MAX_PLANS:
            _plans.popitem(last=False)
    return run


def _memory(cell: Cell) -> Any:
    """The type of a realized cell's whole memory."""
    from rushlight.ir.dtype import of_numpy
    assert cell.buffer is not None
    return spec(of_numpy(cell.buffer.dtype), (cell.buffer.size,))


def to_program(nodes: list[Node], live: list[Cell], inputs: list[Any], donated: Sequence[int]) -> Program:
    """The recorded nodes as a program."""
    types: list[Any] = [_memory(x) if type(x) is Cell else SCALARS[type(x)] for x in inputs]
    program = Program(types, values=len(types), donated=frozenset(donated))
    number = {id(x): i for i, x in enumerate(inputs) if type(x) is Cell}
    numbers = count(len(number))
    for node in nodes:
        given = [number[id(x)] if type(x) is Cell else next(numbers) for x in node.ins]
        number.update(zip(map(id, node.outs), _instructions(program, node.sig, given, node.line)))
    program.outputs = tuple(number[id(c)] for c in live)
    program.verify()
    return program


def _instructions(program: Program, sig: Signature, given: list[int], line: str | None) -> tuple[int, ...]:
    """Append what a signature stands for, on these values; its results."""
    if sig.rows is None:
        results = tuple(range(program.values, program.values + len(sig.outs)))
        program.values += len(results)
        operands = tuple(map(Operand, given, sig.specs))
        program.instrs.append(Instr(sig.op, operands, sig.attrs, results, sig.outs, line))
        return results
    values = list(given)
    for part, places in sig.rows:
        values += _instructions(program, part, [values[p] for p in places], line)
    return tuple(values[p] for p in sig.kept)  # type: ignore[attr-defined]


def clear_plans() -> None:
    """Forget every plan."""
    with _plans_lock:
        _plans.clear()
        _newest[0] = None
    apart.forget()
