"""rushlight in a few hundred lines: the same parts and names, nothing fast, nothing complete.

Read it from top to bottom. Each section names the folder of the real thing. Run it: it trains a small network and prints
what happened (`python docs/tiny.py`). It needs NumPy only.
"""

from __future__ import annotations

import heapq
import itertools
import weakref

import numpy as np


# === 1. The table (rushlight/ops): all that is known about an operation stands in one row =========================
class Op:
    """A row: the type of the result, the definition in NumPy, and one gradient rule per operand.

    A coarse row has a decomposition into other rows in place of a definition.
    """

    def __init__(self, name, shape, numpy=None, vjp=(), decompose=None):
        self.name, self.shape, self.numpy, self.vjp, self.decompose = name, shape, numpy, vjp, decompose


TABLE = {}


def row(name, shape, numpy=None, vjp=(), decompose=None):
    TABLE[name] = Op(name, shape, numpy, vjp, decompose)


def together(*shapes, **_):
    """Elementwise rows broadcast. Errors are raised here, while recording: at the line that caused them."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise RuntimeError(f"The shapes {' and '.join(map(str, map(list, shapes)))} do not broadcast") from None


def of_product(a, b):
    if a[-1] != b[-2]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a[0]}x{a[1]} and {b[0]}x{b[1]})")
    return (a[0], b[1])


# Rules are written with public operations, so that gradients have gradients. g: the gradient of the result y.
row("add", together, lambda a, b: a + b, (lambda g, y, a, b: g, lambda g, y, a, b: g))
row("mul", together, lambda a, b: a * b, (lambda g, y, a, b: g * b, lambda g, y, a, b: g * a))
row("exp", together, lambda a: np.exp(a), (lambda g, y, a: g * y,))
row("log", together, lambda a: np.log(a), (lambda g, y, a: g * a.power(-1.0),))
row("power", together, lambda a, n: a ** n, (lambda g, y, a, n: g * n * a.power(n - 1), None))
row("greater", together, lambda a, b: (a > b).astype(a.dtype))  # no rules: not differentiable
row("sum_to", lambda a, shape: shape, lambda a, shape: _sum_to(a, shape), (lambda g, y, a: g.expand(a.shape),))
row("expand", lambda a, shape: shape, lambda a, shape: np.broadcast_to(a, shape), (lambda g, y, a: g.sum_to(a.shape),))
row("transpose", lambda a: a[::-1], lambda a: a.T, (lambda g, y, a: g.t(),))
row("matmul", of_product, lambda a, b: a @ b, (lambda g, y, a, b: g @ b.t(), lambda g, y, a, b: a.t() @ g))
row("write", lambda old, new, at: old, lambda old, new, at: _write(old, new, at),
    (lambda g, y, old, new, at: g.write(constant(0.0).expand(new.shape), at), lambda g, y, old, new, at: g.read(at)))
row("read", lambda a, at: np.empty(a, bool)[at].shape, lambda a, at: a[at],
    (lambda g, y, a, at: constant(0.0).expand(a.shape).write(g, at),))
# A coarse row: recorded as one node, differentiated as one node, written out when a plan is built
row("relu", together, decompose=lambda a: a * a.greater(constant(0.0)), vjp=(lambda g, y, a: g * a.greater(constant(0.0)),))


def _sum_to(a, shape):
    lead = a.ndim - len(shape)
    dims = (*range(lead), *(lead + i for i, n in enumerate(shape) if n == 1 and a.shape[lead + i] != 1))
    return a.sum(axis=dims, keepdims=True).reshape(shape)


def _write(old, new, at):
    out = old.copy()
    out[at] = new
    return out


# === 2. Graph and storages (rushlight/ir/graph.py, rushlight/tensor/storage.py) ===================================
class Cell:
    """A value of the graph: pending (the result of a node) or realized (a buffer). Nodes refer to cells."""

    def __init__(self, node=None, buffer=None):
        self.node, self.buffer = node, buffer
        self.owner = None  # a weak reference to the storage that shows this cell


class Storage:
    """What tensors hold: it shows one cell, and another one after a write. Views share a storage.

    A value must be computed only if some storage still shows its cell. That is a fact, not a guess: graphs hold cells
    and users hold storages.
    """

    def __init__(self, cell):
        self.version = 0
        self.show(cell)

    def show(self, cell):
        self.cell = cell
        cell.owner = weakref.ref(self)


class Node:
    """A recorded operation: row, attributes, operand cells (numbers as they are), the result's cell."""

    def __init__(self, op, attrs, ins, shape):
        self.op, self.attrs, self.ins, self.shape = op, attrs, ins, shape
        self.out = Cell(self)


PENDING = []  # everything recorded and not yet run; in rushlight one list per thread


# === 3. Tensors and recording (rushlight/tensor/core.py) ==========================================================
class Tensor:
    """A storage, the place that is seen of it (``at``: a view), and the history for gradients."""

    def __init__(self, storage, shape, at=None, requires_grad=False):
        self.storage, self.shape, self.at = storage, shape, at
        self.requires_grad, self.grad_fn, self.grad = requires_grad, None, None

    # operations: each records one node
    def __add__(self, other): return apply("add", self, as_tensor(other))
    def __mul__(self, other): return apply("mul", self, as_tensor(other))
    def __sub__(self, other): return self + as_tensor(other) * -1.0
    def __matmul__(self, other): return apply("matmul", self, other)
    def __neg__(self): return self * -1.0
    __radd__, __rmul__ = __add__, __mul__
    def exp(self): return apply("exp", self)
    def log(self): return apply("log", self)
    def power(self, n): return apply("power", self, float(n))
    def relu(self): return apply("relu", self)
    def greater(self, other): return apply("greater", self, other)
    def t(self): return apply("transpose", self)
    def sum_to(self, shape): return self if shape == self.shape else apply("sum_to", self, shape=shape)
    def expand(self, shape): return self if shape == self.shape else apply("expand", self, shape=shape)
    def sum(self): return self.sum_to(())
    def write(self, new, at): return apply("write", self, new, at=at)
    def read(self, at): return apply("read", self, at=at)

    # views and writes in place
    def __getitem__(self, at):
        """A view: the same storage, no node."""
        assert self.at is None, "tiny has views of whole tensors only"
        view = Tensor(self.storage, np.empty(self.shape, bool)[at].shape, at)
        view.base = self
        return view

    def add_(self, other):
        """Writing is functional inside: the storage shows a new value. Older nodes keep the value that they saw."""
        new = self + other
        whole = self if self.at is None else self.base.write(new, self.at)
        value = new if self.at is None else whole
        self.storage.show(value.storage.cell)
        self.storage.version += 1
        return self

    # numbers: here everything pending is run
    def numpy(self):
        realize()
        whole = self.storage.cell.buffer
        return whole if self.at is None else whole[self.at]

    def item(self): return float(self.numpy())
    def detach(self): return Tensor(self.storage, self.shape, self.at)
    def backward(self, keep=False): backward(self, keep)
    def __repr__(self): return f"tensor({self.numpy()})"


def tensor(numbers, requires_grad=False):
    buffer = np.asarray(numbers, np.float64)
    return Tensor(Storage(Cell(buffer=buffer)), buffer.shape, requires_grad=requires_grad)


def constant(number): return tensor(number)
def as_tensor(x): return x if isinstance(x, Tensor) else tensor(x)


def apply(name, *args, **attrs):
    """Record one operation. Nothing is computed; shapes are known and checked at once."""
    op = TABLE[name]
    if any(isinstance(a, Tensor) and a.at is not None for a in args):
        args = [a.base.read(a.at) if isinstance(a, Tensor) and a.at is not None else a for a in args]
    shape = op.shape(*[a.shape for a in args if isinstance(a, Tensor)], **({"shape": attrs["shape"]} if "shape" in attrs else
                     {"at": attrs["at"]} if "at" in attrs else {}))
    node = Node(op, attrs, [a.storage.cell if isinstance(a, Tensor) else a for a in args], shape)
    PENDING.append(node)
    out = Tensor(Storage(node.out), shape)
    if op.vjp and any(isinstance(a, Tensor) and a.requires_grad for a in args):
        out.requires_grad, out.grad_fn = True, GradFn(op, args, attrs, out)
    return out


# === 4. Gradients (rushlight/autograd): a tape whose backward pass only records further nodes =====================
class GradFn:
    """What an operation leaves for backward. Saved tensors are kept with their version, to notice writes."""

    numbers = itertools.count()

    def __init__(self, op, args, attrs, out):
        self.op, self.args, self.attrs = op, args, attrs
        self.out = out.detach()
        self.versions = [a.storage.version for a in args if isinstance(a, Tensor)]
        self.number = next(self.numbers)

    def gradients(self, g):
        if self.args is None:
            raise RuntimeError("Trying to backward through the graph a second time: say keep=True the first time")
        tensors = [a for a in self.args if isinstance(a, Tensor)]
        if self.versions != [a.storage.version for a in tensors]:
            raise RuntimeError("one of the variables needed for gradient computation has been modified by an inplace operation")
        y = self.out.detach()  # kept without its history, so that no cycle holds memory; here it gets it back
        y.requires_grad, y.grad_fn = True, self
        extra = {"at": self.attrs["at"]} if "at" in self.attrs else {}
        for a, rule in zip(self.args, self.op.vjp):
            if isinstance(a, Tensor) and a.requires_grad and rule is not None:
                yield a, rule(g, y, *self.args, **extra).sum_to(a.shape)


def backward(loss, keep=False):
    """Nodes in reverse order of recording, each once all its gradients have arrived. What they saved is let go, unless kept:
    then no storage shows it any more, and the plan need not hand it out."""
    arrived = {loss.grad_fn: constant(1.0)}
    heap = [(-loss.grad_fn.number, loss.grad_fn)]
    while heap:
        _, fn = heapq.heappop(heap)
        for a, g in fn.gradients(arrived.pop(fn)):
            if a.grad_fn is None:
                a.grad = g if a.grad is None else a.grad + g
            elif a.grad_fn in arrived:
                arrived[a.grad_fn] = arrived[a.grad_fn] + g
            else:
                arrived[a.grad_fn] = g
                heapq.heappush(heap, (-a.grad_fn.number, a.grad_fn))
        if not keep:
            fn.args = fn.out = None


# === 5. Realizing (rushlight/exec/realize.py): pending graph -> key -> plan -> numbers ============================
PLANS = {}
STATS = {"nodes": 0, "plans built": 0, "plans reused": 0}


def realize():
    """Run everything pending. A graph of the same form as an earlier one runs the earlier plan."""
    nodes, PENDING[:] = PENDING[:], []
    if not nodes:
        return
    key, inputs, live = summary(nodes)
    STATS["nodes"] += len(nodes)
    STATS["plans reused" if key in PLANS else "plans built"] += 1
    plan = PLANS.get(key) or PLANS.setdefault(key, build(nodes, live))
    for cell, buffer in zip([nodes[i].out for i in live], plan(inputs)):
        cell.buffer = np.asarray(buffer)
    for node in nodes:
        node.out.node = None


def summary(nodes):
    """The key: operations, attributes, shapes, who reads whom, which results are still wanted. Numbers are inputs, so a new
    learning rate needs no new plan."""
    place = {id(node.out): i for i, node in enumerate(nodes)}
    key, inputs, slots, live = [], [], {}, []
    for i, node in enumerate(nodes):
        reads = []
        for x in node.ins:
            if id(x) in place:
                reads.append(place[id(x)])
                continue
            known = isinstance(x, Cell) and id(x) in slots
            slot = slots[id(x)] if known else slots.setdefault(id(x) if isinstance(x, Cell) else object(), len(inputs))
            if not known:
                inputs.append(x.buffer if isinstance(x, Cell) else x)
            reads.append(~slot)  # inputs count downwards from -1
        owner = node.out.owner and node.out.owner()
        wanted = owner is not None and owner.cell is node.out
        live += [i] if wanted else []
        shapes = tuple(np.shape(inputs[~r]) for r in reads if r < 0)
        node.reads = tuple(reads)
        key.append((node.op.name, repr(node.attrs), node.shape, node.reads, shapes, wanted))
    return tuple(key), inputs, live


# === 6. Passes (rushlight/passes): a list of rewrites from the recorded program to one that an executor runs ======
def build(nodes, live):
    """Program: instructions (name of the result, row, attributes, names of the operands)."""
    program = [(f"v{i}", node.op, node.attrs, [f"v{r}" if r >= 0 else f"inputs[{~r}]" for r in node.reads], node.shape) for i, node in enumerate(nodes)]
    outputs = [f"v{i}" for i in live]
    for rewrite in (drop_dead, decompose, drop_dead):
        program = rewrite(program, outputs)
    return compile_numpy(program, outputs)


def drop_dead(program, outputs):
    """Without the instructions whose results nobody reads."""
    needed, kept = set(outputs), []
    for instr in reversed(program):
        if instr[0] in needed:
            needed.update(instr[3])
            kept.append(instr)
    return kept[::-1]


def decompose(program, outputs):
    """Coarse operations written out: their decomposition is traced as any program is, on stand-ins of the same shape."""
    out, shapes = [], {name: shape for name, *_, shape in program}
    for name, op, attrs, operands, shape in program:
        if op.decompose is None:
            out.append((name, op, attrs, operands, shape))
            continue
        outer, PENDING[:] = PENDING[:], []
        stand_ins = [tensor(np.zeros(shapes.get(o, shape))) for o in operands]
        result = op.decompose(*stand_ins)
        body, PENDING[:] = PENDING[:], outer
        names = {id(t.storage.cell): o for t, o in zip(stand_ins, operands)}
        for i, node in enumerate(body):
            names[id(node.out)] = name if node.out is result.storage.cell else f"{name}_{i}"
            reads = [names.get(id(x)) or repr(float(x.buffer)) for x in node.ins]
            out.append((names[id(node.out)], node.op, node.attrs, reads, node.shape))
    return out


# === 7. Executors (rushlight/exec/numpy): NumPy is the definition; others must agree with it ======================
def compile_numpy(program, outputs):
    """The program as one Python function; it is also what `explain` would print."""
    lines, env = ["def plan(inputs):"], {"np": np}
    for i, (name, op, attrs, operands, shape) in enumerate(program):
        env[f"{op.name}_{i}"] = op.numpy
        env[f"attrs_{i}"] = attrs
        args = ", ".join(f"np.asarray({o})" if o[0].isdigit() else o for o in operands)
        lines.append(f"    {name} = {op.name}_{i}({args}, **attrs_{i})  # {list(shape)}")
    lines.append(f"    return ({''.join(o + ', ' for o in outputs)})")
    text = "\n".join(lines)
    exec(text, env)
    env["plan"].text = text
    return env["plan"]


# === 8. A program ================================================================================================
def train(steps=200, seed=0):
    """A small network learns XOR; the learning rate changes every step. Returns the losses."""
    rng = np.random.default_rng(seed)
    w1, b1 = tensor(rng.standard_normal((2, 8)), requires_grad=True), tensor(np.zeros(8), requires_grad=True)
    w2, b2 = tensor(rng.standard_normal((8, 1)), requires_grad=True), tensor(np.zeros(1), requires_grad=True)
    x, y = tensor([[0, 0], [0, 1], [1, 0], [1, 1]]), tensor([[0], [1], [1], [0]])
    losses = []
    for step in range(steps):
        error = (x @ w1 + b1).relu() @ w2 + b2 - y
        loss = (error * error).sum() * 0.25
        loss.backward()
        for p in (w1, b1, w2, b2):
            gradient, p.grad = p.grad, None
            p.detach().add_(gradient * (-0.2 / (1 + step / 100)))
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    found = train()
    print(f"loss {found[0]:.4f} -> {found[-1]:.4f}")
    print(STATS)
    print(max((plan.text for plan in PLANS.values()), key=len))
