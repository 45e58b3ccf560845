"""Tensor, and `apply`, through which every operation is recorded."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np

from rushlight.autograd.graph import FREED, TWICE, GradFn, Saved
from rushlight.exec.realize import realize
from rushlight.ir.dtype import DType, of_numpy
from rushlight.ir.graph import SCALARS, Cell, Node, ScalarSpec, Signature
from rushlight.ir.spec import Spec, spec
from rushlight.ops.table import Op
from rushlight.tensor.state import settings, state
from rushlight.tensor.storage import Storage

LEAF_IN_PLACE = "a leaf Variable that requires grad is being used in an in-place operation."


class TensorMeta(type):
    """Lets `isinstance(p, Parameter)`-like checks of the API be attributes of types."""


class Tensor(metaclass=TensorMeta):
    """A multi-dimensional array on a lazy graph. Its methods are attached by `rushlight.tensor.methods`."""

    _grad_fn: Any = None
    _out = 0  # which output of _grad_fn this is
    _rg = False
    _base: Any = None  # the tensor that this is a view of
    _view: Any = None  # how to rebuild the view's node: a function of (base) -> GradFn
    _seen = 0
    _vc: Any
    _acc: Any = None
    _hooks: Any = None
    _inference = False
    grad: Any = None
    retains_grad = False
    _storage: Storage
    _spec: Spec
    __array_priority__ = 1000

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Tensor:
            from rushlight.tensor.creation import legacy_tensor
            return legacy_tensor(args, kwargs)
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    @property
    def requires_grad(self) -> bool:
        if self._base is not None:
            sync_view(self)
        return self._rg

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)  # type: ignore[attr-defined]

    @property
    def grad_fn(self) -> Any:
        if self._base is not None:
            sync_view(self)
        return self._grad_fn

    @property
    def dtype(self) -> DType:
        return self._spec.dtype


class AccumulateGrad(GradFn):
    """Adds what arrives to ``grad`` of a leaf."""

    __slots__ = ("variable", "post_hooks")

    def __init__(self, variable: Tensor):
        super().__init__((), (variable._spec,))
        self.variable = variable
        self.post_hooks: dict[int, Any] | None = None

    def backward(self, grads: list[Any]) -> Any:
        leaf = self.variable
        new = grads[0]
        if new is not None:
            accumulate(leaf, new)
            post = leaf.__dict__.get("_post_accumulate_hooks")
            if post:
                for hook in list(post.values()):
                    hook(leaf)
        return ()


_accumulating = threading.RLock()  # several threads may send gradients to one leaf


def accumulate(leaf: Tensor, new: Tensor) -> None:
    """leaf.grad += new; the first gradient is taken over as it is where nobody else shares it."""
    with _accumulating:
        have = leaf.grad
        if have is None:
            if not state.grad:
                new = new.detach()  # type: ignore[attr-defined]
                if not new._spec.plain or new._storage.size != new._spec.numel or _shared(new):
                    new = apply(_op("copy"), (new,))
            leaf.grad = new
        elif state.grad:
            leaf.grad = have + new  # type: ignore[operator]
        else:
            with_grad = state.grad
            state.grad = False
            try:
                have.add_(new)
            finally:
                state.grad = with_grad


def _shared(t: Tensor) -> bool:
    """Whether another tensor still shows the same storage."""
    import sys
    return sys.getrefcount(t._storage) > 4


_ops: dict[str, Op] = {}


def _op(name: str) -> Op:
    from rushlight.ops import table
    found = _ops.get(name)
    if found is None:
        found = _ops[name] = table.load()[name]
    return found


class OpFn(GradFn):
    """The backward node of a row of the table."""

    __slots__ = ("op", "sig", "saved", "mask", "count")

    def __init__(self, op: Op, sig: Signature, args: tuple[Any, ...], outs: list[Tensor], edges: tuple[Any, ...]):
        super().__init__(edges, sig.outs)
        self.op = op
        self.sig = sig
        self.saved: Any = {}
        names = needed_names(op, edges)
        for kind, i, name in names:
            if kind == "in":
                a = args[i]
                self.saved[name] = Saved(a) if isinstance(a, Tensor) else a
            elif kind == "rest":
                self.saved[name] = tuple(Saved(a) if isinstance(a, Tensor) else a for a in args[i:])
            else:
                self.saved[name] = Saved(outs[i], i)

    def name(self) -> str:
        return self.op.grad_name

    def release(self) -> None:
        if self.saved:
            self.saved = FREED

    def make_output(self, s: Saved) -> Tensor:
        t = new_tensor(s.storage, s.spec)
        t._vc = s.counter
        if self.specs[s.output].dtype.kind in "fc":
            t._grad_fn, t._out, t._rg = self, s.output, True
        return t

    def backward(self, grads: list[Any]) -> Any:
        if self.saved is FREED:
            raise RuntimeError(TWICE)
        env: dict[str, Any] = dict(zip(self.op.attrs, self.sig.attrs))
        for name, s in self.saved.items():
            env[name] = s.unpack(self) if s.__class__ is Saved else tuple(
                x.unpack(self) if x.__class__ is Saved else x for x in s) if s.__class__ is tuple else s
        env["F"] = functions()
        env["g"] = grads[0]
        if len(grads) > 1:
            env["given"] = tuple(g is not None for g in grads)
            for i, g in enumerate(grads):
                env[f"g{i}"] = g if g is not None or self.specs[i].dtype.kind not in "fc" else zeros(self.specs[i])
        else:
            env["g0"] = grads[0]
        if not self.op.rules:
            return self._through_decomposition(env, grads)
        return [None if e is None else self._one(i, env) for i, e in enumerate(self.edges)]

    def _one(self, i: int, env: dict[str, Any]) -> Any:
        op = self.op
        last = len(op.inputs) - 1
        name = op.inputs[min(i, last)]
        rule = op.rules.get(name)
        if rule is None:
            raise NotImplementedError(f"the derivative for '{op.name}' with respect to its operand {name} is not implemented.")
        f, names = rule
        specs = self.sig.given
        if op.variadic and i >= last:
            env["i"] = i - last
        args = [env[n] if n in env else self._type_of(n, specs) for n in names]
        g = f(*args)
        want = specs[i]
        if g is not None and op.kind == "map":
            if g._spec.dtype is not want.dtype:
                g = functions().cast_grad(g, want.dtype)
            if g._spec.shape != want.shape:
                g = functions().sum_to(g, want.shape)
        return g

    def _type_of(self, name: str, specs: tuple[Any, ...]) -> Any:
        base = name.removesuffix("_spec")
        at = self.op.inputs.index(base)
        if self.op.variadic and at == len(self.op.inputs) - 1:
            return specs[at:]
        return specs[at]

    def _through_decomposition(self, env: dict[str, Any], grads: list[Any]) -> Any:
        """The gradient of a row without rules: differentiate its decomposition."""
        from rushlight.autograd import engine
        inputs = list(env["inputs"])
        leaves = [x.detach().requires_grad_() if e is not None else x for x, e in zip(inputs, self.edges)] \
            if not state.grad else inputs
        create = state.grad
        state.grad = True
        try:
            outs = self.op.decompose(env["F"], *leaves, *self.sig.attrs)  # type: ignore[misc]
        finally:
            state.grad = create
        outs = outs if isinstance(outs, tuple) else (outs,)
        targets = {}
        for x, e in zip(leaves, self.edges):
            if e is not None:
                targets[edge_key(x)] = x
        roots = [(*gradient_edge(o), g) for o, g in zip(outs, grads) if g is not None and o._rg]
        found = engine.run(roots, True, create, targets, state)
        return [None if e is None else found.get(edge_key(x)) for x, e in zip(leaves, self.edges)]


def edge_key(t: Tensor) -> tuple[int, int]:
    """What identifies a tensor's place in the backward graph."""
    fn, number = gradient_edge(t)
    return id(fn), number


_needed_cache: dict[tuple[Op, tuple[bool, ...]], list[tuple[str, int, str]]] = {}


def needed_names(op: Op, edges: tuple[Any, ...]) -> list[tuple[str, int, str]]:
    """Which inputs and outputs the rules of the inputs that need gradients name."""
    key = (op, tuple([e is not None for e in edges]))
    found = _needed_cache.get(key)
    if found is None:
        found = []
        if not op.rules:
            found.append(("rest", 0, "inputs"))
        seen = set()
        last = len(op.inputs) - 1
        for i, e in enumerate(edges):
            rule = op.rules.get(op.inputs[min(i, last)]) if e is not None else None
            for n in rule[1] if rule else ():
                if n in seen:
                    continue
                seen.add(n)
                if n in op.inputs:
                    at = op.inputs.index(n)
                    found.append(("rest" if op.variadic and at == last else "in", at, n))
                elif n == "out" or (n.startswith("out") and n[3:].isdigit()):
                    found.append(("out", int(n[3:] or 0), n))
        _needed_cache[key] = found
    return found


_functions: Any = None


def functions() -> Any:
    """The public functions, as the rules of the table see them."""
    global _functions
    if _functions is None:
        from rushlight.tensor import rules_namespace
        _functions = rules_namespace.namespace()
    return _functions


def zeros(s: Spec) -> Tensor:
    """Zeros of a type."""
    return apply(_op("full"), (0.0,), (s.shape, s.dtype))


def infer(op: Op, specs: list[Any], attrs: tuple[Any, ...]) -> Signature:
    """The signature of an operation on operands of these types: shape inference, once per combination."""
    outs = tuple([spec(d, s) for d, s in op.shape(*specs, *attrs)])
    reads = specs
    if op.kind == "map":
        reads = [s.expand(outs[0].shape) if isinstance(s, Spec) else s for s in specs]
    sig = Signature(op, attrs, tuple(specs), outs)
    sig.specs = tuple(reads)
    if len(op.cache) > 20_000:
        op.cache.clear()
    op.cache[(attrs, *specs)] = sig
    return sig


def new_tensor(storage: Storage, s: Spec) -> Tensor:
    """A tensor without history on a storage."""
    t: Tensor = object.__new__(Tensor)
    t._storage = storage
    t._spec = s
    t._vc = storage
    return t


def apply(op: Op, args: tuple[Any, ...], attrs: tuple[Any, ...] = ()) -> Any:
    """Record one operation on tensors and Python numbers; the result tensor, or a list of several."""
    specs: list[Any] = []
    ins: list[Any] = []
    needs = False
    for a in args:
        number = SCALARS.get(a.__class__)
        if number is None:
            if a._base is not None:
                sync_view(a)
            specs.append(a._spec)
            storage = a._storage
            ins.append(storage.cell if storage.home is None else storage.read())
            if a._rg:
                needs = True
        else:
            specs.append(number)
            ins.append(a)
    sig = op.cache.get((attrs, *specs)) or infer(op, specs, attrs)
    graph = state.graph
    node = Node(sig, tuple(ins), graph)
    if state.lines:
        node.line = user_line()
    if len(sig.outs) == 1:
        out_spec = sig.outs[0]
        cell = Cell(node, 0)
        node.outs = (cell,)
        out = object.__new__(Tensor)
        out._storage = out._vc = Storage(cell, out_spec.numel, out_spec.dtype)
        out._spec = out_spec
        graph.nodes.append(node)
        graph.bytes += out_spec.numel
        if needs and state.grad and op.differentiable and out_spec.dtype.kind in "fc":
            out._grad_fn = fn = OpFn(op, sig, args, [out], edges_of(args))
            fn.line = node.line
            out._rg = True
        if len(graph.nodes) >= settings.max_nodes or graph.bytes > settings.max_bytes:
            realize(graph)
        return out
    return _apply_many(op, args, sig, node, needs)


def _apply_many(op: Op, args: tuple[Any, ...], sig: Signature, node: Node, needs: bool) -> list[Tensor]:
    cells = tuple([Cell(node, i) for i in range(len(sig.outs))])
    node.outs = cells
    outs = [new_tensor(Storage(c, s.numel, s.dtype), s) for c, s in zip(cells, sig.outs)]
    graph = node.graph
    graph.nodes.append(node)
    graph.bytes += sum(s.numel for s in sig.outs)
    if needs and state.grad and op.differentiable:
        fn = OpFn(op, sig, args, outs, edges_of(args))
        fn.line = node.line
        for i, o in enumerate(outs):
            if o._spec.dtype.kind in "fc":
                o._grad_fn, o._out, o._rg = fn, i, True
    if len(graph.nodes) >= settings.max_nodes or graph.bytes > settings.max_bytes:
        realize(graph)
    return outs


def edges_of(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The backward edges of operands: None for numbers and for tensors that need no gradient."""
    return tuple([(gradient_edge(a) if a._rg else None) if isinstance(a, Tensor) else None for a in args])


def gradient_edge(t: Tensor) -> tuple[GradFn, int]:
    """Where the gradient of a tensor goes: its node, or the accumulator of a leaf."""
    fn = t._grad_fn
    if fn is not None:
        return fn, t._out
    acc = t._acc and t._acc()
    if acc is None:
        acc = AccumulateGrad(t)
        t._acc = weakref.ref(acc)
        hooks = t.__dict__.get("_leaf_hooks")
        if hooks is not None:
            acc.pre_hooks = hooks
    return acc, 0


def user_line() -> str:
    """The innermost line of the program outside this package."""
    import os
    import sys
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(here):
        frame = frame.f_back
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}" if frame is not None else "?"


# --- views --------------------------------------------------------------------------------------------------------
class ViewFn(GradFn):
    """The backward node of a view, with its gradient as a function."""

    __slots__ = ("title", "back")

    def __init__(self, title: str, s: Spec, edge: Any, back: Any):
        super().__init__((edge,), (s,))
        self.title = title
        self.back = back

    def name(self) -> str:
        return self.title

    def backward(self, grads: list[Any]) -> Any:
        return [self.back(grads[0])]


def view(t: Tensor, s: Spec, title: str, back: Any, differentiable: bool = True) -> Tensor:
    """Another tensor on the memory of t; ``back(g)`` turns the gradient of the view into that of t."""
    out = new_tensor(t._storage, s)
    out._vc = t._vc
    if t._base is not None:
        sync_view(t)
    if not differentiable:
        return out
    base = t._base if t._base is not None else t
    out._base = base
    out._seen = out._vc.version
    if t._rg and state.grad:
        out._grad_fn = ViewFn(title, s, gradient_edge(t), back)
        out._rg = True
    if state.inference:
        out._inference = True
    return out


def sync_view(t: Tensor) -> None:
    """After the base was written in place, the history of a view is that of a view of the new base."""
    base = t._base
    if t._seen == t._vc.version:
        return
    t._seen = t._vc.version
    if base._rg and (base._grad_fn is not None):
        t._grad_fn = rebuilt_view(t, base)
        t._out = 0
        t._rg = True


def rebuilt_view(t: Tensor, base: Tensor) -> ViewFn:
    """The node of t as an as_strided view of its base."""
    return ViewFn("AsStridedBackward0", t._spec, gradient_edge(base), spread_into(t._spec, base._spec))


def spread_into(part: Spec, whole: Spec) -> Any:
    """g of a view -> zeros of the whole with g in the view's place. Works on the whole's own memory layout."""
    def back(g: Tensor) -> Tensor:
        size = max(whole.extent(), part.extent()) - min(whole.offset, part.offset)
        low = min(whole.offset, part.offset)
        target = spec(g._spec.dtype, part.shape, part.strides, part.offset - low)
        flat = apply(_op("unview"), (g,), (size, target))
        return as_spec(flat, spec(g._spec.dtype, whole.shape, whole.strides, whole.offset - low))
    return back


def as_spec(t: Tensor, s: Spec) -> Tensor:
    """A differentiable view of a tensor's whole storage with any geometry."""
    if s is t._spec:
        return t
    return view(t, s, "AsStridedBackward0", spread_into(s, t._spec))


# --- writing in place ---------------------------------------------------------------------------------------------
def check_in_place(t: Tensor) -> None:
    """RuntimeError where autograd forbids an in-place operation."""
    if state.grad and t._rg:
        if t._grad_fn is None and (t._base is None or t._base._grad_fn is None):
            if t._base is not None and t._base._rg:
                raise RuntimeError("a view of " + LEAF_IN_PLACE)
            raise RuntimeError(LEAF_IN_PLACE + " Wrap it in torch.no_grad(), or work on x.detach() or x.clone().")
        if t._base is not None and t._base._rg and t._base._grad_fn is None:
            raise RuntimeError("a view of " + LEAF_IN_PLACE)
    elif state.grad and t._base is not None and t._base.requires_grad and t._base._grad_fn is None:
        raise RuntimeError("a view of " + LEAF_IN_PLACE)


def assign(t: Tensor, new: Tensor) -> Tensor:
    """t takes the values of `new` (same shape): every alias of its memory sees them."""
    if t._base is not None:
        sync_view(t)
    check_in_place(t)
    s = t._spec
    if new._spec.dtype is not s.dtype:
        new = functions().cast(new, s.dtype)
    if new._spec.shape != s.shape:
        new = functions().expand(new, s.shape)
    storage = t._storage
    tracked = state.grad and (new._rg or t._rg)
    number = new._storage
    whole = s.plain and s.numel == storage.size and s.dtype is storage.dtype
    if whole and new._spec.plain and number.size == s.numel and number.home is None and number.cell.buffer is None and number is not storage \
            and _fresh(number):
        cell = number.cell
    elif whole:
        cell = _record_copy(new)
    else:
        cell = _record_write(storage, new, s)
    storage.replace(cell)
    if t._vc is not storage:  # memory reached through .data has a counter of its own: autograd does not see the write
        storage.version -= 1
        t._vc.version += 1
    if tracked:
        _rebase_history(t, new)
    elif t._base is None and t._grad_fn is not None and state.grad:
        t._grad_fn, t._rg = None, False
    if t._base is not None:
        t._seen = t._vc.version if not tracked else t._seen
    return t


def _fresh(storage: Storage) -> bool:
    """Whether the storage was made by the operation that is being written back, so that its value may be taken over."""
    import sys
    return sys.getrefcount(storage) <= 5


def _record_copy(new: Tensor) -> Cell:
    before = state.grad
    state.grad = False
    try:
        return apply(_op("copy"), (new,))._storage.cell
    finally:
        state.grad = before


def _record_write(storage: Storage, new: Tensor, s: Spec) -> Cell:
    before = state.grad
    state.grad = False
    try:
        flat = new_tensor(storage, spec(storage.dtype, (storage.size,)))
        if s.dtype is not storage.dtype:
            raise NotImplementedError(f"writing {s.dtype} through a view of {storage.dtype} memory; write to the original tensor")
        return apply(_op("write"), (flat, new), (s,))._storage.cell
    finally:
        state.grad = before


class CopySlices(GradFn):
    """The history of a base after one of its views was written: the old base outside the view, the new values inside."""

    __slots__ = ("part", "whole")

    def __init__(self, base_edge: Any, new_edge: Any, part: Spec, whole: Spec):
        super().__init__((base_edge, new_edge), (whole,))
        self.part = part
        self.whole = whole

    def backward(self, grads: list[Any]) -> Any:
        g = grads[0]
        part, whole = self.part, self.whole
        low = min(whole.offset, part.offset)
        d = g._spec.dtype
        inner = spec(d, part.shape, part.strides, part.offset - low)
        outer = spec(d, whole.shape, whole.strides, whole.offset - low)
        size = max(whole.extent(), part.extent()) - low
        flat = apply(_op("unview"), (g,), (size, outer))
        inside = as_spec(flat, inner) if self.edges[1] is not None else None
        outside = None
        if self.edges[0] is not None:
            hole = apply(_op("full"), (0,), (part.shape, d))
            outside = as_spec(write_whole(flat, hole, inner), outer)
        return [outside, inside]


def write_whole(flat: Tensor, value: Tensor, s: Spec) -> Tensor:
    """A differentiable functional write: flat with value stored through the view s."""
    out = apply(_op("write"), (flat, value), (s,))
    if state.grad and (flat._rg or value._rg):
        out._grad_fn = CopySlices(gradient_edge(flat) if flat._rg else None, gradient_edge(value) if value._rg else None, s, flat._spec)
        out._rg = True
    return out


def _rebase_history(t: Tensor, new: Tensor) -> None:
    """Give t, and the base it is a view of, the history of the values just written."""
    edge = gradient_edge(new) if new._rg else None
    base = t._base
    if base is None:
        if edge is None:
            t._grad_fn, t._rg = None, False
        else:
            t._grad_fn, t._out = edge
            t._rg = True
            _move_retained(t)
        return
    old = gradient_edge(base) if base._rg else None
    base._grad_fn = CopySlices(old, edge, t._spec, base._spec)
    base._out = 0
    base._rg = True
    t._grad_fn = rebuilt_view(t, base)
    t._out = 0
    t._rg = True
    t._seen = t._vc.version


def _move_retained(t: Tensor) -> None:
    if t.__dict__.get("retains_grad"):
        t.__dict__["retains_grad"] = False
        t.retain_grad()  # type: ignore[attr-defined]


# --- memory -------------------------------------------------------------------------------------------------------
def wrap(array: np.ndarray, dtype: DType | None = None) -> Tensor:
    """A tensor that takes over a fresh array, without a copy where it is contiguous."""
    if not array.flags.c_contiguous or not array.flags.writeable:
        array = np.array(array, order="C")
    d = dtype or of_numpy(array.dtype)
    t = from_flat(array.reshape(-1), array.shape, None, 0)
    assert t._spec.dtype is d
    return t


def from_flat(array: np.ndarray, shape: tuple[int, ...], strides: tuple[int, ...] | None = None, offset: int = 0) -> Tensor:
    """A tensor with a new storage on flat memory."""
    d = of_numpy(array.dtype)
    cell = Cell(None, 0, array)
    return new_tensor(Storage(cell, array.size, d), spec(d, tuple(shape), None if strides is None else tuple(strides), offset))


def from_storage(storage: Storage, dtype: DType, shape: tuple[int, ...], strides: tuple[int, ...] | None, offset: int) -> Tensor:
    """A tensor on a storage that exists."""
    return new_tensor(storage, spec(dtype, tuple(shape), None if strides is None else tuple(strides), offset))


def flat_memory(storage: Storage) -> np.ndarray:
    """The realized memory of a storage, one-dimensional."""
    return storage.memory()


def unwrap(t: Tensor) -> np.ndarray:
    """The realized values for reading inside the package; not to be written to."""
    from rushlight.exec.numpy.executor import view as array_view
    s = t._spec
    flat = t._storage.memory()
    size = s.dtype.itemsize
    if s.plain and flat.dtype == s.dtype.numpy and flat.size == s.numel:
        return flat.reshape(s.shape)
    return array_view(flat, s.dtype.numpy, s.shape, tuple(n * size for n in s.strides), s.offset * size)


def realize_pending() -> None:
    """Run everything that the calling thread has recorded and that is still of use."""
    realize(state.graph)


__all__ = ["Tensor", "ScalarSpec", "apply", "assign", "as_spec", "from_flat", "from_storage", "flat_memory", "realize_pending", "unwrap", "view", "wrap"]
