"""Gradient rules recorded before: a rule on operands of the same types records the same operations, so they are recorded as one node.

This is for backward passes of another form each time, whose graphs run in stretches (`rushlight.exec.stretches`). Those of a form seen
before are one node as a whole (`rushlight.tensor.replay`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.autograd.graph import Saved, changed_unseen, detached_since
from rushlight.exec import stretches
from rushlight.exec.realize import realize_cell
from rushlight.ir.graph import SCALARS, Bundle, Cell, Node, Signature, recorded
from rushlight.ir.spec import Spec
from rushlight.passes.recent import Recent
from rushlight.tensor.core import Tensor, new_tensor, realize_when_large
from rushlight.tensor.state import state
from rushlight.tensor.storage import Storage

MOST = 100_000  # operations of all rules together
MOST_SEEN = 4096

Place = tuple[int, Spec] | int | None  # of a gradient: a result with its type, one of the gradients that came, or nothing


class Rule:
    """What a rule records: a signature on those of the operands' cells that ``used`` names, and ``numbers``. ``places`` say where the
    gradients of the operands are, ``size`` counts the elements of what is recorded."""

    __slots__ = ("sig", "used", "numbers", "places", "size")

    def __init__(self, sig: Signature, used: tuple[int, ...], numbers: tuple[Any, ...], places: tuple[Place, ...], size: int):
        self.sig, self.used, self.numbers, self.places, self.size = sig, used, numbers, places, size


# with the functions that recorded them; None for what the types do not determine, or what records nothing
_rules: Recent[tuple[Rule | None, list[Any]]] = Recent(MOST)
_with_numbers: Recent[bool] = Recent(MOST_SEEN)  # hashes of keys with numbers of the program's that were seen once: most never come again


def backward(fn: Any, grads: list[Any], ordinary: Callable[[list[Any]], Any]) -> Any:
    """The gradients of the operands of a node, `ordinary` ones or as they were recorded before."""
    if not stretches.latest or state.grad or state.lines or state.anomaly or state.level is not None:
        return ordinary(grads)
    described = _described(fn, grads)
    if described is None:
        return ordinary(grads)
    key, cells, numbers = described
    try:
        known = _rules.get(key)
    except TypeError:  # an attribute without a hash
        return ordinary(grads)
    if known is None or known[1] != [*fn.op.rules.values()]:
        if numbers and _with_numbers.get(hash(key)) is None:
            _with_numbers.put(hash(key), True)
            return ordinary(grads)
        return _learned(fn, key, cells, grads, ordinary)
    rule = known[0]
    return ordinary(grads) if rule is None else _recorded(rule, cells, grads)


def _described(fn: Any, grads: list[Any]) -> tuple[tuple[Any, ...], list[Cell], bool] | None:
    """What determines the operations that a rule records, the cells that it reads, and whether numbers are part of it; None where it is
    out of the ordinary."""
    key: list[Any] = [fn.sig.id]
    cells: list[Cell] = []
    numbers = False
    for g in grads:
        if g is None:
            key.append(None)
            continue
        s, storage = g._spec, g._storage
        if g.__class__ is not Tensor or s.offset or storage.home is not None or storage.batched:  # windows: of as many types as a loop is long
            return None
        key.append(s)
        cells.append(storage.cell)
    key += [e is None for e in fn.edges]
    for s in fn.saved.values():
        if s.__class__ is Saved:
            if s.hooks is not None or s.counter.version != s.version:
                return None
            if s.output < 0:
                t = s.tensor
                storage = t._storage
                if s.counter is not storage and changed_unseen(t) or detached_since(s) is not None:
                    return None
                lies = t._spec
            else:
                storage, lies = s.storage, s.spec
            if lies.offset or storage.home is not None or storage.batched:
                return None
            key.append(lies)
            cells.append(storage.cell)
        elif s.__class__ in SCALARS:
            key.append((s.__class__, s or repr(s)))  # 0.0 == -0.0
            numbers = True
        else:
            return None
    if len({*map(id, cells)}) < len(cells):  # x * x is not the form of x * y
        return None
    return tuple(key), cells, numbers


def _recorded(rule: Rule, cells: list[Cell], grads: list[Any]) -> list[Any]:
    """Record a rule; the gradients."""
    graph = state.graph
    ins: list[Any] = [cells[i] for i in rule.used]
    for cell in ins:
        pending = cell.node
        if pending is not None and pending.graph is not graph:  # the forward pass of another thread
            realize_cell(cell)
    ins += rule.numbers
    node = Node(rule.sig, ins, graph)
    node.outs = tuple([Cell(node, i) for i in range(len(rule.sig.outs))])
    graph.nodes.append(node)
    graph.elements += rule.size
    storages: list[Any] = [None] * len(node.outs)
    found: list[Any] = []
    for place in rule.places:
        if place.__class__ is int:
            found.append(grads[place])  # type: ignore[index]
        elif place is None:
            found.append(None)
        else:
            i, s = place  # type: ignore[misc]
            storage = storages[i]
            if storage is None:
                out = rule.sig.outs[i]
                storage = storages[i] = Storage(node.outs[i], out.numel, out.dtype)
            found.append(new_tensor(storage, s))
    realize_when_large(graph)
    return found


def _learned(fn: Any, key: tuple[Any, ...], cells: list[Cell], grads: list[Any], ordinary: Callable[[list[Any]], Any]) -> Any:
    """The ordinary gradients, with what they record kept, and recorded as it will be from now on."""
    graph = state.graph
    nodes = graph.nodes
    first = len(nodes)
    results = ordinary(grads)
    with graph.lock:  # another thread may run the nodes just now, and empty them
        if graph.nodes is not nodes or graph.begun is not None:
            return results
        rule = _rule(nodes[first:], cells, grads, results)
        _rules.replace(key, (rule, [*fn.op.rules.values()]), 1 if rule is None else max(1, len(nodes) - first))
        if rule is None:
            return results
        del nodes[first:]
        graph.elements -= rule.size
    return _recorded(rule, cells, grads)


def _rule(nodes: list[Node], cells: list[Cell], grads: list[Any], results: Any) -> Rule | None:
    """What was recorded, as a rule; None where these cells do not determine it."""
    if not nodes or not isinstance(results, (list, tuple)):
        return None
    made = recorded(nodes, cells)
    if made is None:
        return None
    first = made.operands
    kept: list[int] = []
    outs: list[Spec] = []
    types = [s for sig, _ in made.rows for s in sig.outs]
    found: list[Place] = []
    for g in results:
        same = [i for i, given in enumerate(grads) if given is g]
        if g is None or same:
            found.append(same[0] if g is not None else None)
            continue
        at = made.place.get(id(g._storage.cell), -1) if g.__class__ is Tensor else -1
        if at < first or g._rg or g._base is not None or g._storage.home is not None:
            return None  # it shows what came, or something else
        if at not in kept:
            kept.append(at)
            outs.append(types[at - first])
        if g._storage.size != outs[kept.index(at)].numel or g._storage.dtype is not outs[kept.index(at)].dtype:
            return None
        found.append((kept.index(at), g._spec))
    if not kept:
        return None
    size = sum([s.numel for s in types])
    alone = len(made.rows) == 1 and made.rows[0][1] == tuple(range(first)) and kept == [*range(first, first + len(types))]
    sig = made.rows[0][0] if alone else Bundle(made.rows, tuple(kept), tuple(outs))
    return Rule(sig, made.used, made.numbers, tuple(found), size)
