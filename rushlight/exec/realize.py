"""From the pending graph to numbers: find the plan by the graph's key, or build it, then run it."""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.exec import choose
from rushlight.exec.stats import stats
from rushlight.ir.graph import SCALARS, Buffer, Cell, Graph, Node
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import spec

Run = Callable[[list[Any]], "tuple[Buffer, ...]"]
MAX_PLANS = int(os.environ.get("RUSHLIGHT_PLANS", "512"))

_plans: OrderedDict[tuple[Any, ...], Run] = OrderedDict()
_plans_lock = threading.Lock()
observer: Callable[[list[Node], Run, list[Any]], Any] | None = None  # runs plans in the profiler's stead


def realize_cell(cell: Cell) -> None:
    """Run what the value of a cell waits for, in whichever thread's graph it is pending."""
    node = cell.node
    if cell.buffer is None and node is not None and cell.error is None:
        realize(node.graph)
    if cell.error is not None:
        raise cell.error
    assert cell.buffer is not None, "a value was read that the plan did not materialise"


def realize(graph: Graph) -> None:
    """Run every pending node of a graph that something outside still refers to."""
    with graph.lock:
        nodes, graph.nodes, graph.bytes = graph.nodes, [], 0
        if not nodes:
            return
        live: list[Cell] = []
        count = len(nodes)
        inputs: list[Any] = []
        try:
            key, inputs, donated = _summary(nodes, live)
            run = _plans.get(key)
            if run is None:
                run = _build(nodes, live, inputs, donated, key)
            else:
                stats.plans_reused += 1
                with _plans_lock:
                    if key in _plans:
                        _plans.move_to_end(key)
            stats.nodes += len(nodes)
            given = [x.buffer if type(x) is Cell else x for x in inputs]
            results = run(given) if observer is None else observer(nodes, run, given)
        except BaseException as e:
            _fail(nodes, e, {id(inputs[i]) for i in getattr(e, "spoiled", ()) if i < len(inputs)})
            raise
        if len(nodes) > count:  # their thread was just about to append them while this one took the list
            graph.nodes[:0] = nodes[count:]
            del nodes[count:]
        known = set(map(id, given))
        for cell, buffer in zip(live, results):
            _settle(cell, buffer, known)
        for node in nodes:  # nodes and cells refer to each other: let go, so that memory is freed at once
            node.ins = ()
            for cell in node.outs:
                cell.node = cell.before = None


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


def _settle(cell: Cell, buffer: Buffer, known: set[int]) -> None:
    """Hand a result to its storage; memory shared with the outside receives the numbers in place."""
    storage = cell.owner() if cell.owner is not None else None
    if storage is not None and storage.home is not None and storage.cell is cell:
        if storage.home is not buffer:
            np.copyto(storage.home, buffer)
        buffer = storage.home
    else:
        if id(buffer) not in known:  # a buffer taken over is counted already
            stats.track(buffer, buffer.nbytes)
    cell.buffer = buffer


def _summary(nodes: list[Node], live: list[Cell]) -> tuple[tuple[Any, ...], list[Any], list[int]]:
    """The key of the graph, its inputs (cells, then numbers), and which inputs may be overwritten.

    The key holds topology, operations, types, memory sizes, which results live and which inputs die; never a number.
    """
    key: list[Any] = []
    slots: dict[int, int] = {}
    inputs: list[Any] = []
    numbers: list[Any] = []
    uses: list[int] = []  # how many operands each input is
    kept: dict[int, int] = {}  # how many cells keep another as the value before
    x: Any = None
    for position, node in enumerate(nodes):
        node.position = position
        key.append(node.sig.id)
        for x in node.ins:
            if type(x) is not Cell:
                numbers.append(x)
                continue
            source = x.node
            if x.buffer is None and source is not None and source.position >= 0 and source.graph is node.graph \
                    and source.position < position and nodes[source.position] is source:
                key.append(source.position << 4 | x.index)
                continue
            if x.buffer is None:
                realize_cell(x)
            slot = slots.get(id(x))
            if slot is None:
                slot = slots[id(x)] = len(inputs)
                inputs.append(x)
                uses.append(0)
            uses[slot] += 1
            key.append(-1 - slot)
        mask = 0
        for cell in node.outs:
            if cell.before is not None:
                kept[id(cell.before)] = kept.get(id(cell.before), 0) + 1
            mask <<= 1
            owner = cell.owner() if cell.owner is not None else None
            if owner is not None and owner.cell is cell:
                mask |= 1
                live.append(cell)
        key.append(mask)
    donated = []
    x = None
    for i in range(len(inputs)):
        cell = inputs[i]
        key.append(cell.buffer.nbytes)
        # beside those operands only `inputs`, `cell`, the call's argument and later values refer to it: no node of another thread
        if not cell.alive() and cell.owner is not None and sys.getrefcount(cell) == uses[i] + 3 + kept.get(id(cell), 0):
            donated.append(i)
    key.append(tuple(donated))
    return tuple(key), inputs + numbers, donated


def _build(nodes: list[Node], live: list[Cell], inputs: list[Any], donated: list[int], key: tuple[Any, ...]) -> Run:
    """Compile the graph with the executor in force and remember the plan."""
    run = choose.compile_program(to_program(nodes, live, inputs, donated))
    stats.plans_built += 1
    with _plans_lock:
        _plans[key] = run
        while len(_plans) > MAX_PLANS:
            _plans.popitem(last=False)
    return run


def _memory(cell: Cell) -> Any:
    """The type of a realized cell's whole memory."""
    from rushlight.ir.dtype import of_numpy
    assert cell.buffer is not None
    return spec(of_numpy(cell.buffer.dtype), (cell.buffer.size,))


def to_program(nodes: list[Node], live: list[Cell], inputs: list[Any], donated: list[int]) -> Program:
    """The recorded nodes as a program."""
    types: list[Any] = [_memory(x) if type(x) is Cell else SCALARS[type(x)] for x in inputs]
    program = Program(types, values=len(types), donated=frozenset(donated))
    number = {id(x): i for i, x in enumerate(inputs) if type(x) is Cell}
    next_number = sum(type(x) is Cell for x in inputs)
    for node in nodes:
        operands = []
        for x, s in zip(node.ins, node.sig.specs):
            if type(x) is Cell:
                operands.append(Operand(number[id(x)], s))
            else:
                operands.append(Operand(next_number, s))
                next_number += 1
        results = tuple(program.new() for _ in node.outs)
        number.update((id(c), r) for c, r in zip(node.outs, results))
        program.instrs.append(Instr(node.sig.op, tuple(operands), node.sig.attrs, results, node.sig.outs, node.line))
    program.outputs = tuple(number[id(c)] for c in live)
    program.verify()
    return program


def clear_plans() -> None:
    """Forget every plan."""
    with _plans_lock:
        _plans.clear()
