"""Tensor, and `apply`, through which every operation is recorded."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from rushlight.exec import speculation
from rushlight.exec.realize import realize, realize_cell
from rushlight.ir.dtype import DType
from rushlight.ir.graph import SCALARS, Cell, Node, ScalarSpec, Signature
from rushlight.ir.spec import Spec, contiguous_strides, dense_order, dense_strides, elementwise_strides, is_contiguous, spec
from rushlight.ops.domains import check_domain
from rushlight.ops.table import Op
from rushlight.tensor.state import settings, state
from rushlight.tensor.storage import Storage


class TensorMeta(type):
    """Lets `isinstance(p, Parameter)`-like checks of the API be attributes of types."""


class Tensor(metaclass=TensorMeta):
    """A multi-dimensional array on a lazy graph. Its methods are attached by `rushlight.tensor.methods`."""

    _grad_fn: Any = None
    _out = 0  # which output of _grad_fn this is
    _rg = False
    _base: Any = None  # the tensor that this is a view of
    _seen = 0  # the version at which the history of a view was made
    _wants = False  # a view of its own account requires gradients (its base may not)
    _origin: Any = None  # what forbids tracked writes to a view: "no_grad", "inference" or the name of a function with several results
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
        if (args or kwargs) and not cls.__module__.startswith("rushlight."):  # a program's own class, given values
            from rushlight.tensor.creation import legacy_tensor
            out = legacy_tensor(args, kwargs)
            out.__class__ = cls
            return out
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    if TYPE_CHECKING:  # the methods and operators that are attached at import
        __add__: Any
        __radd__: Any
        __sub__: Any
        __rsub__: Any
        __mul__: Any
        __rmul__: Any
        __truediv__: Any
        __rtruediv__: Any
        __matmul__: Any
        __pow__: Any
        __neg__: Any
        __getitem__: Any
        __setitem__: Any
        __len__: Any
        __iter__: Any
        __bool__: Any
        __float__: Any
        __int__: Any
        __lt__: Any
        __gt__: Any
        __le__: Any
        __ge__: Any
        __eq__: Any
        __ne__: Any

        def __getattr__(self, name: str) -> Any: ...

    @property
    def requires_grad(self) -> bool:
        base = self._base
        return self._rg if base is None else base._rg or self._grad_fn is not None or self._wants

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self._grad_fn is not None:
            raise RuntimeError("you can only change requires_grad flags of leaf variables.")
        self.requires_grad_(value)  # type: ignore[attr-defined]

    @property
    def grad_fn(self) -> Any:
        if self._base is not None:
            sync_view(self)
        return self._grad_fn

    @property
    def dtype(self) -> DType:
        return self._spec.dtype


_ops: dict[str, Op] = {}


def _op(name: str) -> Op:
    from rushlight.ops import table
    found = _ops.get(name)
    if found is None:
        found = _ops[name] = table.load()[name]
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
    dtype = next((s.dtype for s in specs if s.dtype is not None), None)
    if dtype is not None:
        check_domain(op.name, dtype)
    sig = Signature(op, attrs, tuple(specs), outs)
    if op.elementwise:
        _lay_out(sig)
    elif op.lies is not None:
        _turn(sig, op.lies(specs, attrs))
    if len(op.cache) > 20_000:
        op.cache.clear()
    op.cache[(attrs, *specs)] = sig
    return sig


def _inferred(op: Op, specs: list[Any], attrs: tuple[Any, ...], args: tuple[Any, ...]) -> Signature:
    """`infer`, but what is wrong with the history of an operand is said before what is wrong with its type."""
    try:
        return infer(op, specs, attrs)
    except NotImplementedError:
        for a in args if op.name.startswith("bitwise") and state.grad else ():
            if isinstance(a, Tensor) and a._base is not None:
                sync_view(a)
        raise


def _lay_out(sig: Signature) -> None:
    """Elementwise operations read operands broadcast, and leave the result as PyTorch lays it for these operands."""
    shape = sig.outs[0].shape
    reads: list[Any] = [s.expand(shape) if isinstance(s, Spec) else s for s in sig.given]
    arrays = [s for s in sig.given if isinstance(s, Spec)]
    if sig.op.name == "reorder":  # a copy in an order that is given
        strides, sig.op, sig.attrs = dense_strides(shape, sig.attrs[0]), _op("copy"), ()
    elif all([s.ordinary for s in arrays]):
        strides = contiguous_strides(shape)
    elif sig.op.strides == "same" and dense_order(shape, arrays[0].strides) is not None:
        strides = arrays[0].strides
    else:
        strides = elementwise_strides(shape, tuple(arrays), sig.op.strides == "numbers" and len(arrays) < len(reads))
    if not is_contiguous(shape, strides):  # run it with the dimensions in the order of the result's memory
        order = dense_order(shape, strides)
        assert order is not None
        reads = [s.permute(order) if isinstance(s, Spec) else s for s in reads]
        sig.outs = tuple([spec(s.dtype, tuple([s.shape[d] for d in order])) for s in sig.outs])
    sig.results = tuple([s.at(shape, strides) for s in sig.outs])
    sig.specs = tuple(reads)


def _turn(sig: Signature, order: Any) -> None:
    """Run an operation with the dimensions of results, and of operands that have as many, in another order."""
    if order is None:
        return
    place = tuple(sorted(range(len(order)), key=order.__getitem__))
    sig.specs = tuple([s.permute(order) if isinstance(s, Spec) and len(s.shape) == len(order) else s for s in sig.given])
    sig.outs = tuple([spec(s.dtype, tuple([s.shape[d] for d in order])) if len(s.shape) == len(order) else s for s in sig.outs])
    sig.results = tuple([s.permute(place) if len(s.shape) == len(order) else s for s in sig.outs])
    sig.attrs = sig.op.turn(sig.attrs, place)


_new: Any = object.__new__


def new_tensor(storage: Storage, s: Spec) -> Tensor:
    """A tensor without history on a storage."""
    t: Tensor = _new(Tensor)
    t._storage = storage
    t._spec = s
    t._vc = storage
    return t


def apply(op: Op, args: tuple[Any, ...], attrs: tuple[Any, ...] = ()) -> Any:
    """Record one operation on tensors and Python numbers; the result tensor, or a list of several."""
    specs: list[Any] = []
    ins: list[Any] = []
    needs = False
    graph = state.graph
    for a in args:
        if a.__class__ in SCALARS:
            specs.append(SCALARS[a.__class__])
            ins.append(a)
            continue
        if a._base is not None and state.grad and op.differentiable:
            sync_view(a)
        specs.append(a._spec)
        storage = a._storage
        if storage.home is None:
            cell = storage.cell
        elif storage.batched:
            from rushlight.func import batching
            return batching.apply(op, args, attrs)
        else:
            cell = storage.read()
        pending = cell.node
        if pending is not None and pending.graph is not graph:
            realize_cell(cell)  # another thread's: graphs that read each other's values could wait for each other
        ins.append(cell)
        if a._rg:
            needs = True
    sig = op.cache.get((attrs, *specs)) or _inferred(op, specs, attrs, args)
    node = Node(sig, ins, graph)
    if state.lines:
        node.line = user_line()
    if len(sig.outs) == 1:
        out_spec = sig.outs[0]
        cell = Cell(node, 0)
        node.outs = (cell,)
        out = _new(Tensor)
        out._storage = out._vc = Storage(cell, out_spec.numel, out_spec.dtype)
        out._spec = sig.results[0]
        nodes = graph.nodes
        nodes.append(node)
        graph.elements += out_spec.numel
        if needs and state.grad and op.differentiable and out_spec.dtype.kind in "fc":
            out._grad_fn = OpFn(op, sig, args, (out,), edges_of(args), node.line)
            out._rg = True
        count = len(nodes)
        if count == graph.due:
            speculation.start(graph)
        if count >= settings.max_nodes or graph.elements > settings.max_elements:
            realize_when_large(graph)
        return out
    return _apply_many(op, args, sig, node, needs)


def _apply_many(op: Op, args: tuple[Any, ...], sig: Signature, node: Node, needs: bool) -> list[Tensor]:
    cells = tuple([Cell(node, i) for i in range(len(sig.outs))])
    node.outs = cells
    outs = [new_tensor(Storage(c, s.numel, s.dtype), s) for c, s in zip(cells, sig.results)]
    graph = node.graph
    graph.nodes.append(node)
    graph.elements += sum(s.numel for s in sig.outs)
    if needs and state.grad and op.differentiable:
        fn = OpFn(op, sig, args, outs, edges_of(args), node.line)
        for i, o in enumerate(outs):
            if o._spec.dtype.kind in "fc":
                o._grad_fn, o._out, o._rg = fn, i, True
    realize_when_large(graph)
    return outs


def record(op: Op, ins: tuple[Any, ...], specs: list[Any], attrs: tuple[Any, ...]) -> Node:
    """A node without history on cells and Python numbers of these types, whose result cells nobody shows yet."""
    sig = op.cache.get((attrs, *specs)) or infer(op, specs, attrs)
    graph = state.graph
    node = Node(sig, ins, graph)
    if state.lines:
        node.line = user_line()
    node.outs = tuple([Cell(node, i) for i in range(len(sig.outs))])
    graph.nodes.append(node)
    graph.elements += sum([s.numel for s in sig.outs])
    return node


def settle(t: Tensor) -> None:
    """Run what another thread recorded for a tensor, before this thread reads it or gives its storage a new value."""
    node = t._storage.cell.node
    if node is not None and node.graph is not state.graph:
        realize_cell(t._storage.cell)


def realize_when_large(graph: Any) -> None:
    """Run what is pending where it has grown beyond the limits.

    Beyond that of elements some more operations are waited for: they may be what makes a large value small again (the sum over squares of
    the differences of all pairs), and who wrote them may hold it no longer, so that it is never in memory.
    """
    count = len(graph.nodes)
    if count < settings.max_nodes:
        if graph.elements <= settings.max_elements:
            return
        graph.patience = graph.patience or count + settings.more_nodes
        if count < graph.patience:
            return
    if not graph.traced:
        realize(graph)


def edges_of(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The backward edges of operands: None for numbers and for tensors that need no gradient."""
    edges: list[Any] = []
    for a in args:
        if a.__class__ in SCALARS or not a._rg:
            edges.append(None)
        elif (fn := a._grad_fn) is not None:
            edges.append((fn, a._out))
        else:
            acc = a._acc
            edges.append((acc, 0) if a._base is None and acc is not None and (acc := acc()) is not None else gradient_edge(a))
    return tuple(edges)


def gradient_edge(t: Tensor) -> Any:
    """Where the gradient of a tensor goes: its node, or the accumulator of a leaf.

    None for a view without history whose base requires gradients (it was made in `no_grad`): nothing flows through it.
    """
    fn = t._grad_fn
    if fn is not None:
        return fn, t._out
    if t._base is not None and not t._wants:
        return None
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


# What stands on `apply` and what it records with import each other; these names belong to this module as well.
from rushlight.tensor.views import as_spec, owned, relaid, spread_into, sync_view, view  # noqa: E402
from rushlight.tensor.tape import AccumulateGrad, OpFn, accumulate, edge_key, keeps, lasting, needed_names  # noqa: E402
from rushlight.tensor.inplace import assign, check_in_place, check_overlap  # noqa: E402
from rushlight.tensor.memory import flat_memory, from_flat, from_storage, realize_pending, start_pending, unwrap, wrap  # noqa: E402

__all__ = ["AccumulateGrad", "OpFn", "ScalarSpec", "Tensor", "accumulate", "apply", "as_spec", "assign", "check_in_place", "check_overlap",
           "edge_key", "edges_of", "flat_memory", "from_flat", "from_storage", "functions", "gradient_edge", "infer", "keeps", "lasting", "needed_names", "new_tensor", "owned",
           "realize_pending", "relaid", "spread_into", "start_pending", "sync_view", "unwrap", "user_line", "view", "wrap", "zeros"]
