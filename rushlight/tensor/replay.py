"""Backward passes seen before: a pass over a graph of the same form records the same operations, so they are recorded at once.

The form of a graph is its nodes in order of recording, with their types, attributes, Python numbers, edges, which saved tensors are
one and the same, and which leaves have a gradient already. Everything else that could change what is recorded (hooks, anomaly
mode, a graph of the gradient) takes the ordinary way.
"""

from __future__ import annotations

from operator import attrgetter
from types import FunctionType
from typing import Any

from rushlight.autograd.graph import FREED, GradFn, Saved, changed_unseen, detached_since
from rushlight.exec import realize as realizing
from rushlight.exec import stretches
from rushlight.exec.realize import realize, realize_cell
from rushlight.exec.stats import stats
from rushlight.ir.graph import SCALARS, Bundle, Cell, Node, recorded
from rushlight.ir.spec import Spec
from rushlight.passes.recent import Recent
from rushlight.tensor.core import Tensor, new_tensor, realize_when_large
from rushlight.tensor.functions.precision import Formula
from rushlight.tensor.state import settings, state
from rushlight.tensor.storage import Storage
from rushlight.tensor.tape import AccumulateGrad, LastingOpFn, OpFn, accumulating
from rushlight.tensor.views import ViewFn

MOST_LONG = 1024  # of whose forms is known that they were seen
MOST = 100_000  # operations of all templates together
LONG = 200  # operations of a pass whose template is made when its form is seen again: loops have another each time
WALKED = (OpFn, ViewFn, LastingOpFn, Formula)  # nodes whose class and contents say all that they record


class Template:
    """What a pass records: a bundle on those of the form's cells that ``used`` names, and on ``numbers``; its results are the
    gradients of the leaves, whose types ``grads`` has, None for a leaf that gets none. ``elements`` counts what is recorded."""

    __slots__ = ("bundle", "used", "numbers", "grads", "elements")

    def __init__(self, bundle: Bundle, used: tuple[int, ...], numbers: tuple[Any, ...], grads: list[Spec | None], size: int):
        self.bundle, self.used, self.numbers, self.grads, self.elements = bundle, used, numbers, grads, size


class Form:
    """What a backward pass starts from: the nodes in order, its leaves, the gradients that these have (``before``, with the cells) and
    the cells that it can read."""

    __slots__ = ("key", "order", "leaves", "before", "cells")

    def __init__(self, key: tuple[Any, ...], order: list[Any], leaves: list[AccumulateGrad], before: list[tuple[Tensor, Cell] | None],
                 cells: list[Cell]):
        self.key, self.order, self.leaves, self.before, self.cells = key, order, leaves, before, cells


_templates: Recent[tuple[Template | None]] = Recent(MOST)  # None for forms that do not determine what is recorded
_long: Recent[list[None]] = Recent(MOST_LONG)  # how often long forms were seen, by their hashes


def form_of(fn: GradFn, number: int, grad: Any) -> Form | None:
    """The form of the graph under a node, or None where it must be walked."""
    if fn.__class__ not in WALKED or state.anomaly or state.lines or state.level is not None or grad._storage.home is not None \
            or not grad._spec.plain or realizing.observer is not None:
        return None
    order: list[Any] = [fn]
    leaves: list[AccumulateGrad] = []
    place: dict[Any, int] = {fn: 0}
    for node in order:  # grows while it runs
        if node.hooks or node.pre_hooks or node.retain:
            return None
        for edge in node.edges:
            if edge is not None and (after := edge[0]) not in place:
                if after.__class__ is AccumulateGrad:
                    variable = after.variable
                    if after.pre_hooks or after.hooks or after.retain or not variable._rg \
                            or variable._grad_fn is not None or variable._base is not None or not variable._spec.contiguous \
                            or "_post_accumulate_hooks" in variable.__dict__:
                        return None
                    leaves.append(after)
                    place[after] = -len(leaves)
                elif after.__class__ in WALKED:
                    place[after] = 0
                    order.append(after)
                else:
                    return None
    order.sort(key=_sequence, reverse=True)
    for i, node in enumerate(order):
        place[node] = i
    cells, known = [grad._storage.cell], {id(grad._storage.cell): 0}
    key: list[Any] = [number, grad._spec, len(leaves)]
    before: list[tuple[Tensor, Cell] | None] = []
    for leaf in leaves:
        have = leaf.variable.grad
        key.append(have is not None)
        if have is None:
            before.append(None)
            continue
        cell = have._storage.cell  # read once: another thread may add to it just now
        if not _grows(leaf.variable, have, cell, cells, known):
            return None
        before.append((have, cell))
    if not _described(order, place, key, cells, known):
        return None
    return Form(tuple(key), order, leaves, before, cells)


def _grows(variable: Tensor, have: Tensor, cell: Cell, cells: list[Cell], known: dict[int, int]) -> bool:
    """Enter a gradient that a leaf has already, with its cell; False where adding to it is out of the ordinary."""
    storage = have._storage
    if have._spec is not variable._spec or have._rg or have._grad_fn is not None or have._base is not None or have._vc is not storage \
            or storage.home is not None or storage.batched or storage.size != have._spec.numel or have.is_sparse or id(cell) in known:
        return False
    known[id(cell)] = len(cells)
    cells.append(cell)
    return True


_sequence = attrgetter("seq")


def _described(order: list[Any], place: dict[Any, int], key: list[Any], cells: list[Cell], known: dict[int, int]) -> bool:
    """Enter ordered nodes and what they read; False where one of them is out of the ordinary."""
    for fn in order:
        cls = fn.__class__
        if cls is ViewFn:
            if not _function(fn.back, key):
                return False
            key += fn.specs
        else:
            saved = fn.saved
            if cls is Formula:
                if saved is FREED or not _function(fn.rule, key) or not _several(saved, key, cells, known):
                    return False
                key += [*fn.specs, *[s.spec for s in saved]]
            else:
                key.append(fn.sig.id)
                if saved is FREED or (saved and not _several(saved.values(), key, cells, known)):
                    return False
        key += [None if edge is None else place[edge[0]] + (edge[1] << 32) for edge in fn.edges]
    return True


def _several(saved: Any, key: list[Any], cells: list[Cell], known: dict[int, int]) -> bool:
    """Enter what a node saved (its signature or its code says of which types); False where that is out of the ordinary."""
    for s in saved:
        if s.__class__ is Saved:
            if s.hooks is not None or s.counter.version != s.version:
                return False
            storage = s.tensor._storage if s.output < 0 else s.storage
            if s.output < 0 and (s.counter is not storage and changed_unseen(s.tensor) or detached_since(s) is not None):
                return False
            if storage.home is None:
                cell = storage.cell
            elif storage.batched:
                return False
            else:
                cell = storage.read()
            at = known.setdefault(id(cell), len(cells))
            if at == len(cells):
                cells.append(cell)
            key.append(at)
        elif s.__class__ in SCALARS:
            key.append((s.__class__, s or repr(s)))  # 0.0 == -0.0
        elif s.__class__ is tuple:
            key.append((tuple, len(s)))
            if not _several(s, key, cells, known):
                return False
        else:
            return False
    return True


def _function(function: Any, key: list[Any]) -> bool:
    """Enter a function: its code with what it refers to; False where that cannot be compared."""
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    key.append(code)
    for content in (*[c.cell_contents for c in function.__closure__ or ()], *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        if not _content(content, key):
            return False
    return True


def _content(content: Any, key: list[Any]) -> bool:
    """Enter what a function refers to."""
    cls = content.__class__
    if cls is FunctionType:
        return _function(content, key)
    if cls is list:
        key.append((list, len(content)))
        return all([_content(x, key) for x in content])
    if cls.__hash__ is None or hasattr(content, "_storage"):
        return False
    key.append((cls, content))
    return True


def run(form: Form) -> bool:
    """Record the template of a form, if there is one."""
    try:
        template, = _templates.get(form.key) or (None,)
    except TypeError:  # something in a closure has no hash
        return False
    if template is None:
        return False
    graph = state.graph
    ins = [form.cells[i] for i in template.used]
    for cell in ins:
        pending = cell.node
        if pending is not None and pending.graph is not graph:  # the forward pass of another thread
            realize_cell(cell)
    with accumulating:
        for leaf, have in zip(form.leaves, form.before):
            if leaf.variable.grad is not (have and have[0]) or have and have[0]._storage.cell is not have[1]:
                return False  # another thread was here
        bundle = template.bundle
        node = Node(bundle, (*ins, *template.numbers), graph)
        node.outs = tuple([Cell(node, i) for i in range(len(bundle.outs))])
        graph.nodes.append(node)  # before anybody else can see a gradient: another thread may run the node for it at once
        given = iter(node.outs)
        for leaf, have, s in zip(form.leaves, form.before, template.grads):
            if s is None:
                continue
            if have is None:
                leaf.variable.grad = new_tensor(Storage(next(given), s.numel, s.dtype), s)
            else:
                storage = have[0]._storage
                storage.replace(next(given))
                storage.version += 1
    for fn in form.order:
        fn.release()
    graph.elements += template.elements
    more = len(bundle.rows) - 1
    stats.nodes += more
    if len(graph.nodes) + more >= settings.max_nodes:
        realize(graph)
    else:
        realize_when_large(graph)
    return True


def known(form: Form) -> bool:
    """Whether what a form records need not be learned: it was, and the form does not determine it, or it is long and new."""
    try:
        return _templates.get(form.key) is not None or len(form.order) >= (stretches.LONG if stretches.latest else LONG) and _rare(form)
    except TypeError:
        return True


def _rare(form: Form) -> bool:
    """Whether a form is seen for the first time, or one of the first where graphs run in stretches: a template would end that."""
    name = hash(form.key)
    times = _long.get(name) or _long.put(name, [])
    times.append(None)
    return len(times) < (stretches.AGAIN if stretches.latest else 2)


def learn(form: Form, nodes: list[Node]) -> None:
    """Keep what an ordinary pass recorded as the template of its form, if the form determines it."""
    _templates.put(form.key, (_template(form, nodes),), len(nodes))


def _template(form: Form, nodes: list[Node]) -> Template | None:
    """What was recorded as a bundle; None where it is not determined by the form."""
    made = recorded(nodes, form.cells)
    if made is None:
        return None  # something that the form does not hold
    kept, grads = [], []
    for leaf in form.leaves:
        g = leaf.variable.grad
        if g is not None:
            at = made.place.get(id(g._storage.cell), -1)  # what another thread has put there is nowhere
            if at < len(made.used) or g._grad_fn is not None or g._base is not None or g._storage.size != g._spec.numel:
                return None  # a gradient that shares memory with something else
            kept.append(at)
        grads.append(None if g is None else g._spec)
    if len(set(kept)) < len(kept):
        return None  # two leaves that share a gradient
    size = sum(s.numel for node in nodes for s in node.sig.outs)
    outs = tuple([s for s in grads if s is not None])
    return Template(Bundle(made.rows, tuple(kept), outs), made.used, made.numbers, grads, size)
