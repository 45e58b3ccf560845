"""Backward passes seen before: a pass over a graph of the same form records the same nodes, so they are copied from a template.

The form of a graph is its nodes in order of recording, with their types, attributes, Python numbers, edges, and which saved
tensors are one and the same. Everything else that could change what is recorded (hooks, anomaly mode, gradients that are
there already, a graph of the gradient) takes the ordinary way.
"""

from __future__ import annotations

from typing import Any

from rushlight.autograd.graph import FREED, GradFn, Saved
from rushlight.exec.realize import realize
from rushlight.ir.graph import Cell, Node
from rushlight.tensor.core import new_tensor
from rushlight.tensor.state import settings, state
from rushlight.tensor.storage import Storage
from rushlight.tensor.tape import AccumulateGrad, LastingOpFn, OpFn, accumulating
from rushlight.tensor.views import ViewFn

MOST = 256  # templates
WALKED = (OpFn, ViewFn, LastingOpFn)  # nodes whose class and contents say all that they record


class Template:
    """``nodes``: (signature, operands, number of results) with operands as places in the list of cells, or ~place in
    ``numbers``; ``grads``: for each leaf the place of its gradient and its Spec."""

    __slots__ = ("nodes", "numbers", "grads", "bytes")

    def __init__(self, nodes: list[Any], numbers: list[Any], grads: list[Any], size: int):
        self.nodes, self.numbers, self.grads, self.bytes = nodes, numbers, grads, size


class Form:
    """What a backward pass starts from: the nodes in order, its leaves, and the cells that it can read."""

    __slots__ = ("key", "order", "leaves", "cells")

    def __init__(self, key: tuple[Any, ...], order: list[Any], leaves: list[AccumulateGrad], cells: list[Cell]):
        self.key, self.order, self.leaves, self.cells = key, order, leaves, cells


_templates: dict[tuple[Any, ...], Template | None] = {}


def form_of(fn: GradFn, number: int, grad: Any) -> Form | None:
    """The form of the graph under a node, or None where it must be walked."""
    if fn.__class__ not in WALKED or state.anomaly or state.lines or state.level is not None or grad._storage.home is not None \
            or not grad._spec.plain:
        return None
    order: list[Any] = [fn]
    leaves: list[AccumulateGrad] = []
    seen: dict[Any, int] = {fn: 0}
    for node in order:  # grows while it runs
        if node.hooks or node.pre_hooks or node.retain:
            return None
        for edge in node.edges:
            if edge is not None and edge[0] not in seen:
                after = edge[0]
                kind = after.__class__
                if kind is AccumulateGrad:
                    seen[after] = ~len(leaves)
                    leaves.append(after)
                elif kind in WALKED:
                    seen[after] = len(order)
                    order.append(after)
                else:
                    return None
    order.sort(key=_newest)
    return _described(order, leaves, number, grad)


def _newest(fn: GradFn) -> int:
    return -fn.seq


def _described(order: list[Any], leaves: list[AccumulateGrad], number: int, grad: Any) -> Form | None:
    """The form of ordered nodes: its key and cells."""
    place: dict[Any, int] = {fn: i for i, fn in enumerate(order)}
    for i, leaf in enumerate(leaves):
        variable = leaf.variable
        if leaf.pre_hooks or leaf.hooks or leaf.retain or variable.grad is not None or not variable._rg \
                or not variable._spec.contiguous or "_post_accumulate_hooks" in variable.__dict__:
            return None
        place[leaf] = ~i
    key: list[Any] = [number, grad._spec, len(leaves)]
    cells: list[Cell] = [grad._storage.cell]
    known: dict[int, int] = {id(cells[0]): 0}
    for fn in order:
        if fn.__class__ is not ViewFn:
            key.append(fn.sig.id)
            if fn.saved is FREED or not _saved(fn, key, cells, known):
                return None
        elif not _viewed(fn, key):
            return None
        for edge in fn.edges:
            if edge is None:
                key.append(None)
            else:
                key.append(place[edge[0]])
                key.append(edge[1])
    return Form(tuple(key), order, leaves, cells)


def _saved(fn: OpFn, key: list[Any], cells: list[Cell], known: dict[int, int]) -> bool:
    """Enter what a node saved; False where that is out of the ordinary."""
    for s in fn.saved.values():
        if s.__class__ is not Saved:
            if s.__class__ not in (int, float, bool, complex):
                return False
            key.append((s.__class__, s))
            continue
        if s.hooks is not None or s.counter.version != s.version:
            return False
        storage = s.storage if s.output >= 0 else s.tensor._storage
        if storage.batched:
            return False
        cell = storage.cell if storage.home is None else storage.read()
        at = known.get(id(cell))
        if at is None:
            at = known[id(cell)] = len(cells)
            cells.append(cell)
        key.append(at)
        key.append(s.spec)
    return True


def _viewed(fn: ViewFn, key: list[Any]) -> bool:
    """Enter a view: the code of its gradient with what it refers to."""
    back = fn.back
    code = getattr(back, "__code__", None)
    if code is None:
        return False
    key += [code, *fn.specs]
    for c in back.__closure__ or ():
        content = c.cell_contents
        if content.__class__.__hash__ is None or hasattr(content, "_storage"):
            return False
        key.append(content)
    return True


def run(form: Form) -> bool:
    """Record the template of a form, if there is one."""
    try:
        template = _templates.get(form.key)
    except TypeError:  # something in a closure has no hash
        return False
    if template is None:
        return False
    graph, cells = state.graph, form.cells
    with accumulating:
        if any(leaf.variable.grad is not None for leaf in form.leaves):
            return False  # another thread was here
        nodes, numbers = graph.nodes, template.numbers
        for sig, operands, count in template.nodes:
            node = Node(sig, tuple([cells[i] if i >= 0 else numbers[~i] for i in operands]), graph)
            if count == 1:
                cell = Cell(node, 0)
                node.outs = (cell,)
                cells.append(cell)
            else:
                node.outs = made = tuple([Cell(node, i) for i in range(count)])
                cells += made
            nodes.append(node)
        for leaf, (at, s) in zip(form.leaves, template.grads):
            if at is not None:
                leaf.variable.grad = new_tensor(Storage(cells[at], s.numel, s.dtype), s)
    for fn in form.order:
        fn.release()
    graph.bytes += template.bytes
    if len(nodes) >= settings.max_nodes or graph.bytes > settings.max_bytes:
        realize(graph)
    return True


def known(form: Form) -> bool:
    """Whether a form was seen before: then it has no template because it does not determine what is recorded."""
    try:
        return form.key in _templates
    except TypeError:
        return True


def learn(form: Form, nodes: list[Node]) -> None:
    """Keep what an ordinary pass recorded as the template of its form, if the form determines it."""
    if len(_templates) >= MOST:
        _templates.clear()
    _templates[form.key] = _template(form, nodes)


def _template(form: Form, nodes: list[Node]) -> Template | None:
    place: dict[int, int] = {id(c): i for i, c in enumerate(form.cells)}
    count, size = len(form.cells), 0
    numbers: list[Any] = []
    rows: list[Any] = []
    for node in nodes:
        operands = []
        for x in node.ins:
            if x.__class__ is not Cell:
                operands.append(~len(numbers))
                numbers.append(x)
            elif id(x) in place:
                operands.append(place[id(x)])
            else:
                return None  # something that the form does not hold
        for cell in node.outs:
            place[id(cell)] = count
            count += 1
        size += sum(s.numel for s in node.sig.outs)
        rows.append((node.sig, tuple(operands), len(node.outs)))
    grads: list[Any] = []
    for leaf in form.leaves:
        g = leaf.variable.grad
        if g is None:
            grads.append((None, None))
            continue
        at = place.get(id(g._storage.cell), 0)
        if at < len(form.cells) or g._grad_fn is not None or g._base is not None or g._storage.size != g._spec.numel:
            return None  # a gradient that shares memory with something else
        grads.append((at, g._spec))
    return Template(rows, numbers, grads, size)
