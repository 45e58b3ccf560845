"""The nodes of the backward graph that operations of the table leave, and the accumulators at its leaves."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any
from weakref import ref

from rushlight.autograd.graph import FREED, TWICE, GradFn, Saved, sequence
from rushlight.ir.dtype import HALF, float32
from rushlight.ir.graph import SCALARS, Signature
from rushlight.ir.spec import dense_order
from rushlight.ops.table import Op
from rushlight.tensor import recorded_rules
from rushlight.tensor.core import Tensor, _op, apply, functions, gradient_edge, new_tensor, settle, zeros
from rushlight.tensor.state import state
from rushlight.tensor.storage import held


class AccumulateGrad(GradFn):
    """Adds what arrives to ``grad`` of a leaf."""

    __slots__ = ("variable", "post_hooks")

    def __init__(self, variable: Tensor):  # the attributes of GradFn without a call: a step makes one for each parameter
        self.edges = ()
        self.specs = (variable._spec,)
        self.seq = next(sequence)
        self.hooks = self.pre_hooks = self.retain = self.line = None
        self.variable = variable
        self.post_hooks: dict[int, Any] | None = None

    def backward(self, grads: list[Any]) -> Any:
        leaf = self.variable
        new = grads[0]
        if leaf._grad_fn is not None or leaf._base is not None and leaf.grad_fn is not None:
            raise RuntimeError("leaf variable has been moved into the graph interior: it was written in place after it had been used. Use x = x + y, or "
                               "write under torch.no_grad().")
        if new is not None and leaf._rg:
            accumulate(leaf, new)
            post = leaf.__dict__.get("_post_accumulate_hooks")
            if post:
                for hook in list(post.values()):
                    hook(leaf)
        return ()


accumulating = threading.RLock()  # several threads may send gradients to one leaf


def accumulate(leaf: Tensor, new: Tensor) -> None:
    """leaf.grad += new; the first gradient is taken over as it is where nobody else shares it."""
    with accumulating:
        have = leaf.grad
        if have is not None:
            settle(have)
        if have is None:
            if not state.grad:
                new = new.detach()  # type: ignore[attr-defined]
            order = None if leaf._spec.contiguous else dense_order(leaf._spec.shape, leaf._spec.strides)
            lies = new._spec if order is None else new._spec.permute(order)
            if state.grad or not lies.plain or new._storage.size != lies.numel or _shared(new):
                new = apply(_op("copy"), (new,)) if order is None else apply(_op("reorder"), (new,), (order,))
            leaf.grad = new
        elif state.grad or have.is_sparse:  # nothing dense can be written into a sparse gradient
            leaf.grad = have + new if new.is_sparse or not have.is_sparse else new + have  # type: ignore[operator, attr-defined]
        else:
            with_grad = state.grad
            state.grad = False
            try:
                have.add_(new)
            finally:
                state.grad = with_grad


def summed(a: Tensor, b: Tensor) -> Tensor:
    """a + b, two gradients of one tensor."""
    if a.__class__ is Tensor is b.__class__ and a._spec is b._spec and not state.grad:
        return apply(_op("add"), (a, b))  # type: ignore[no-any-return]
    return a + b  # type: ignore[operator, no-any-return]


def _shared(t: Tensor) -> bool:
    """Whether another tensor still shows the same storage."""
    import sys
    return sys.getrefcount(t._storage) > 4


def keeps(out: Tensor, *inputs: Tensor, result: bool = False) -> Tensor:
    """out, whose backward pass checks that these inputs (and the result) were not written to meanwhile.

    For operations whose gradient in PyTorch keeps more than the rules here need: what is an error there is one here.
    """
    fn = out._grad_fn
    if isinstance(fn, OpFn) and isinstance(fn.saved, dict) and out._base is None:
        fn.saved.update({f"input {i}": Saved(x) for i, x in enumerate(inputs)})
        if result:
            fn.saved["result"] = Saved(out, out._out)
    return out


def _hold(saved: Saved) -> None:
    """Keep the value beside the tensor, so that the tensor may be written to."""
    if saved.hooks is not None:
        return  # a hook keeps what it wants
    storage = saved.storage if saved.output >= 0 else saved.tensor._storage
    if storage.home is not None:
        return
    saved.cell = storage.cell
    if saved.output < 0:
        saved.edge = gradient_edge(saved.tensor) if saved.tensor._rg else None
    else:
        saved.edge, key = None, id(saved.cell)
        held[key] = ref(saved, partial(held.pop, key))  # no function of Python's: it would lose an interrupt


def lasting(out: Tensor) -> Tensor:
    """out, through whose operation one can go backward any number of times: its gradient keeps numbers alone."""
    if type(out._grad_fn) is OpFn:
        out._grad_fn.__class__ = LastingOpFn
    return out


class OpFn(GradFn):
    """The backward node of a row of the table."""

    __slots__ = ("op", "sig", "saved", "mask", "count")

    def __init__(self, op: Op, sig: Signature, args: tuple[Any, ...], outs: Sequence[Tensor], edges: tuple[Any, ...], line: str | None = None):
        self.edges = edges  # the attributes of GradFn without a call: every operation makes a node
        self.specs = sig.results
        self.seq = next(sequence)
        self.hooks = self.pre_hooks = self.retain = None
        self.line = line
        self.op = op
        self.sig = sig
        if None not in edges:
            key: Any = op
        elif edges.count(None) < len(edges):
            key = (op, *[e is not None for e in edges])
        else:
            key = (op, None, *[isinstance(a, Tensor) for a in args])
        needed = _needed_cache.get(key)
        saved: Any = {}
        for kind, i, name in needed_names(op, edges, key) if needed is None else needed:
            if kind == "in":
                a = args[i]
                saved[name] = a if a.__class__ in SCALARS else Saved(a)
            elif kind == "out":
                saved[name] = Saved(outs[i], i)
            else:
                saved[name] = tuple(Saved(a) if isinstance(a, Tensor) else a for a in args[i:])
        self.saved = saved
        for name in op.holds:
            if name in saved:
                _hold(saved[name])

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
        return recorded_rules.backward(self, grads, self._by_rules)

    def _by_rules(self, grads: list[Any]) -> Any:
        env: dict[str, Any] = dict(zip(self.op.attrs, self.sig.asked))
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
        if "*" in self.op.rules:  # one rule for all inputs
            env["needs"] = tuple([e is not None for e in self.edges])
            f, names = self.op.rules["*"]
            return f(*[env[n] if n in env else self._type_of(n, self.sig.given) for n in names])
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
        if op.once and env["g"]._spec.dtype in op.once:
            g = f(*[functions().cast(a, float32) if isinstance(a, Tensor) and a._spec.dtype in HALF else a for a in args])
        else:
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
        attrs = self.sig.asked
        return differentiate(lambda *xs: self.op.decompose(env["F"], *xs, *attrs),  # type: ignore[misc]
                             env["inputs"], [e is not None for e in self.edges], grads)


def differentiate(function: Any, inputs: Any, needs: Any, grads: Any) -> list[Any]:
    """The gradients of the needed inputs of a function of tensors, given those of its results; with a graph in grad mode."""
    from rushlight.autograd import engine
    create = state.grad
    state.grad = True
    try:  # the leaves are tensors of their own: what one input owes to another is not counted here
        leaves = [(x.view_as(x) if create and x._rg else x.detach().requires_grad_()) if need else x for x, need in zip(inputs, needs)]
        outs = function(*leaves)
    finally:
        state.grad = create
    outs = outs if isinstance(outs, (tuple, list)) else (outs,)
    targets = {edge_key(x): x for x, need in zip(leaves, needs) if need}
    roots = [(*gradient_edge(o), g) for o, g in zip(outs, grads) if g is not None and o._rg and gradient_edge(o)]
    found = engine.run(roots, True, create, targets, state)
    return [found.get(edge_key(x)) if need else None for x, need in zip(leaves, needs)]


class EvenOpFn(OpFn):
    """The node of the largest or smallest of all elements: those equal to it (or NaN, as it is) share the gradient, else it goes nowhere."""

    __slots__ = ()

    def backward(self, grads: list[Any]) -> Any:
        if self.saved is FREED:
            raise RuntimeError(TWICE)
        F = functions()  # noqa: N806
        x, out = self.saved["x"].unpack(self), self.saved["out"].unpack(self)
        hit = (x == out) | (x != x) & (out != out)
        return [F.where(hit, grads[0] / hit.sum(), 0)]


def shared_evenly(out: Tensor) -> Tensor:
    """out, the extremum of all elements, with the gradient of `max()` and `min()`."""
    if type(out._grad_fn) is OpFn and out._grad_fn.edges[0] is not None:
        out._grad_fn.__class__ = EvenOpFn
    return out


class LastingOpFn(OpFn):
    """The node of an operation whose gradient in PyTorch keeps no tensor: nothing is let go after the backward pass."""

    __slots__ = ()

    def release(self) -> None:
        pass


def edge_key(t: Tensor) -> tuple[int, int]:
    """What identifies a tensor's place in the backward graph."""
    fn, number = gradient_edge(t) or (None, 0)
    return id(fn), number


_needed_cache: dict[Any, list[tuple[str, int, str]]] = {}


def _kept_for_nobody(op: Op) -> set[str]:
    """What PyTorch keeps though no operand takes a gradient, being views that were made without recording: results,
    and inputs that more than one gradient names, or the only one."""
    named = [set(rule[1]) for rule in op.rules.values()]
    return {n for names in named for n in names
            if n.startswith("out") or len(named) == 1 or sum(n in others for others in named) > 1}


def needed_names(op: Op, edges: tuple[Any, ...], key: Any) -> list[tuple[str, int, str]]:
    """Which inputs and outputs the rules of the inputs that need gradients name, kept under a key."""
    found = _needed_cache.get(key)
    if found is None:
        found = []
        if not op.rules:
            found.append(("rest", 0, "inputs"))
        seen = set()
        last = len(op.inputs) - 1
        reached, kept = [e is not None for e in edges], None
        if True not in reached:
            reached, kept = key[2:], _kept_for_nobody(op)
        for i, wanted in enumerate(reached):
            rule = (op.rules.get("*") or op.rules.get(op.inputs[min(i, last)])) if wanted else None
            for n in rule[1] if rule else ():
                if n in seen or kept is not None and n not in kept:
                    continue
                seen.add(n)
                if n in op.inputs:
                    at = op.inputs.index(n)
                    found.append(("rest" if op.variadic and at == last else "in", at, n))
                elif n == "out" or (n.startswith("out") and n[3:].isdigit()):
                    found.append(("out", int(n[3:] or 0), n))
        _needed_cache[key] = found
    return found
