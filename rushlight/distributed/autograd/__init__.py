"""Gradients through remote calls (torch.distributed.autograd):
backward goes to where a part of the forward pass was computed.

Within ``context()`` a call is one node of the caller's graph: its backward asks the other process for the gradients of
the call's arguments, and that process keeps those of its own leaves in the context.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

from rushlight.autograd.function import Function
from rushlight.futures import Future
from rushlight.tensor.core import AccumulateGrad, Tensor

_numbers = itertools.count(1)


class _Local(threading.local):
    context: int | None = None


_local = _Local()


class _Context:
    """What a process keeps of a context: the calls it has served, and gradients of its leaves."""

    def __init__(self) -> None:
        self.calls: dict[int, tuple[list[Any], list[Any]]] = {}
        self.gradients: dict[int, tuple[Any, Any]] = {}
        self.lock = threading.Lock()


_contexts: dict[int, _Context] = {}


class context:
    """In the block, remote calls are recorded; gives the context's number,
    which `backward` and `get_gradients` take."""

    def __enter__(self) -> int:
        from rushlight.distributed.rpc import agent

        self.before, _local.context = _local.context, (agent.current().info.id << 40) + next(_numbers)
        _contexts[_local.context] = _Context()
        self.number = _local.context
        return self.number

    def __exit__(self, *_: Any) -> None:
        from rushlight.distributed.rpc import agent, pickles

        _local.context = self.before
        _contexts.pop(self.number, None)
        me = agent.current()
        for w in me.workers.values():
            if w.id != me.info.id:
                me.send_later(w.id, ["grad release", pickles.dump(self.number)])


def recording() -> bool:
    """Whether calls of this thread are recorded."""
    return _local.context is not None


def tensors_in(value: Any) -> list[Any]:
    """The tensors in nested lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in tensors_in(v)]
    return [t for v in value.values() for t in tensors_in(v)] if isinstance(value, dict) else []


def _replaced(value: Any, new: Any) -> Any:
    """The same nest with tensors from an iterator."""
    if isinstance(value, Tensor):
        return next(new)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_replaced(v, new) for v in value))
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(v, new) for v in value)
    return {k: _replaced(v, new) for k, v in value.items()} if isinstance(value, dict) else value


# --- forward ------------------------------------------------------------------------------------------------------
def call(worker: Any, func: Callable[..., Any], args: Any, kwargs: Any, timeout: float) -> Future:
    """A recorded remote call: a future of its result."""
    from rushlight.distributed.rpc import agent, pickles

    number = _local.context
    sent = tensors_in((args, kwargs))
    flags = [t.requires_grad for t in sent]
    args, kwargs = _replaced((tuple(args or ()), dict(kwargs or {})), iter([t.detach() for t in sent]))
    answer = agent.current().request(
        worker.id, "grad call", pickles.dump((number, flags, pickles.Call(func, args, kwargs))), timeout
    )

    def attach(done: Future) -> Any:
        result, kept, needs = done.value()
        if kept is None:
            return result
        import rushlight as rl

        outs = tensors_in(result)
        anchor = rl.zeros(1, requires_grad=True)  # so that the call is a node even where no argument requires gradients
        chosen = [o for o, n in zip(outs, needs) if n]
        made = iter(_RemoteCall.apply((worker, number, kept), chosen, anchor, *sent))
        return _replaced(result, iter([next(made) if n else o for o, n in zip(outs, needs)]))

    return answer.then(attach)


class _RemoteCall(Function):
    """The caller's node of a remote call."""

    @staticmethod
    def forward(ctx: Any, about: Any, outs: list[Any], anchor: Any, *args: Any) -> Any:
        ctx.about = about
        return tuple(outs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        from rushlight.distributed.rpc import agent, pickles

        worker, number, kept = ctx.about
        found = agent.current().ask(
            worker.id, "grad backward", pickles.dump((number, kept, [g.detach() for g in grads]))
        )
        return (None, None, None, *found)


def _serve_call(source: int, body: bytes) -> Any:
    """The other side: run it on leaves of its own, and keep inputs and outputs."""
    from rushlight.distributed.rpc import pickles

    number, flags, made = pickles.load(body)
    mine = _contexts.setdefault(number, _Context())
    got = tensors_in((made.args, made.kwargs))
    leaves = [t.detach().requires_grad_(True) if f else t for t, f in zip(got, flags)]
    made.args, made.kwargs = _replaced((made.args, made.kwargs), iter(leaves))
    before, _local.context = _local.context, number
    try:
        result = made()
        if isinstance(result, pickles.Answer):
            result = result.future.wait()
    finally:
        _local.context = before
    outs = tensors_in(result)
    needs = [o.requires_grad for o in outs]
    if not any(needs):
        return result, None, needs
    kept = next(_numbers)
    mine.calls[kept] = [t if f else None for t, f in zip(leaves, flags)], [o for o, n in zip(outs, needs) if n]
    return _replaced(result, iter([o.detach() for o in outs])), kept, needs


# --- backward -----------------------------------------------------------------------------------------------------
def _leaves(roots: list[Any]) -> list[Any]:
    """The leaves under roots."""
    found, seen = [], set()
    stack = [r.grad_fn for r in roots if r.grad_fn is not None]
    out = [r for r in roots if r.grad_fn is None and r.requires_grad]
    while stack:
        fn = stack.pop()
        if id(fn) in seen:
            continue
        seen.add(id(fn))
        if isinstance(fn, AccumulateGrad):
            found.append(fn.variable)
        stack += [e[0] for e in fn.edges if e is not None]
    return out + [t for t in found if not any(t is o for o in out)]


def _run(number: int, roots: list[Any], grads: list[Any] | None, inputs: list[Any]) -> list[Any]:
    """Go backward here: gradients of the inputs are returned, those of other leaves kept in the context."""
    import rushlight as rl

    leaves = _leaves(roots)
    if not leaves:
        return [None] * len(inputs)
    found = rl.autograd.grad(roots, leaves, grads, retain_graph=True, allow_unused=True)
    mine, out = _contexts[number], [None] * len(inputs)
    for leaf, g in zip(leaves, found):
        place = next((i for i, t in enumerate(inputs) if t is leaf), None)
        if place is not None:
            out[place] = g
        elif g is not None:
            with mine.lock:
                before = mine.gradients.get(id(leaf))
                mine.gradients[id(leaf)] = leaf, g if before is None else before[1] + g
    rl.realize()
    return out


def _serve_backward(source: int, body: bytes) -> Any:
    from rushlight.distributed.rpc import pickles

    number, kept, grads = pickles.load(body)
    inputs, outs = _contexts[number].calls[kept]
    return _run(number, outs, grads, inputs)


def _release(source: int, body: bytes) -> None:
    from rushlight.distributed.rpc import pickles

    _contexts.pop(pickles.load(body), None)


def backward(context_id: int, roots: list[Any], retain_graph: bool = False) -> None:
    """Gradients of the sum of ``roots`` (single numbers) with respect to
    all leaves, in all processes, into the context.

    ``grad`` of the leaves is left alone: see `get_gradients`. RuntimeError for an unknown context, and for roots that
    are not single numbers.
    """
    if context_id not in _contexts:
        raise RuntimeError(f"Could not find autograd context with id: {context_id}")
    roots = list(roots)
    if not roots:
        raise RuntimeError("No tensors provided for gradient computation.")
    for r in roots:
        if not r.requires_grad:
            raise RuntimeError("requires_grad not set on: a root of distributed.autograd.backward")
        if r.numel() != 1:
            raise RuntimeError(f"a root has {r.numel()} elements: backward goes from single numbers")
    _run(context_id, roots, None, [])


def get_gradients(context_id: int) -> dict[Any, Any]:
    """This process's leaves and their gradients in a context."""
    if context_id not in _contexts:
        raise RuntimeError(f"Could not find autograd context with id: {context_id}")
    return dict(_contexts[context_id].gradients.values())


HANDLERS = {"grad call": _serve_call, "grad backward": _serve_backward, "grad release": _release}
