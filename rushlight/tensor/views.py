"""Views: tensors on another tensor's memory, and how their history follows writes to it."""

from __future__ import annotations

import importlib
from typing import Any

from rushlight.autograd.graph import GradFn
from rushlight.ir.spec import Spec, spec
from rushlight.tensor.core import Tensor, _op, apply, gradient_edge, new_tensor, user_line
from rushlight.tensor.state import state


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


def view(t: Tensor, s: Spec, title: str, back: Any, differentiable: bool = True, origin: Any = None) -> Tensor:
    """Another tensor on the memory of t; ``back(g)`` turns the gradient of the view into that of t.

    `origin` names a function that returns several views: those may not be written where gradients are recorded.
    """
    if t._storage.batched and t._storage.cell.level is None:  # type: ignore[attr-defined]
        return importlib.import_module(t._storage.views).view(t, s)  # type: ignore[attr-defined, no-any-return]
    out = new_tensor(t._storage, s)
    out._vc = t._vc
    if t._base is not None and state.grad:  # without gradients nobody asks for the history
        sync_view(t)
    if not differentiable:
        return out
    out._base = t._base if t._base is not None else t
    out._seen = out._vc.version
    if t._rg or t._base is not None and t.requires_grad:
        out._rg = True
        if state.grad:
            out._grad_fn = ViewFn(title, s, gradient_edge(t), back)
            if state.lines:
                out._grad_fn.line = user_line()
    if state.inference:
        out._inference = True
        out._origin = "inference"
    elif not state.grad:
        out._origin = "no_grad"
    elif origin is not None or t._origin is not None:
        out._origin = origin or t._origin
    return out


def owned(t: Tensor) -> Tensor:
    """A result that shows a temporary through a view, as a tensor of its own with the same history."""
    if t._base is None:
        return t
    out = new_tensor(t._storage, t._spec)
    return with_history(out, t)


def with_history(out: Tensor, model: Tensor) -> Tensor:
    """out with the history of a tensor of the same values."""
    out._grad_fn, out._out, out._rg = model.grad_fn, model._out, model._grad_fn is not None
    return out


def relaid(t: Tensor, order: Any) -> Tensor:
    """t copied into another memory order (outermost dimension first,
    None for the ordinary one), with the same history."""
    before = state.grad
    state.grad = False
    try:
        out = apply(_op("copy"), (t,)) if order is None else apply(_op("reorder"), (t,), (order,))
    finally:
        state.grad = before
    return with_history(out, t)


def sync_view(t: Tensor) -> None:
    """After its memory was written in place, the history of a view is that of a view of the base as it is now."""
    base = t._base
    if t._seen != t._vc.version and (base._rg or t._grad_fn is not None):
        if t._origin is not None:
            raise RuntimeError(forbidden(t, "its base or another view of its base has been"))
        t._seen = t._vc.version
        kept = let_go(t)
        t._grad_fn = rebuilt_view(t, base)
        t._out = 0
        if kept:
            t.retain_grad()  # type: ignore[attr-defined]
    t._rg = base._rg or t._grad_fn is not None or t._wants


def let_go(t: Tensor) -> bool:
    """Stop the present node from keeping t's gradient; whether it did."""
    if not t.__dict__.get("retains_grad"):
        return False
    fn = t._grad_fn
    if fn is not None and fn.retain is not None:
        ref = fn.retain.get(t._out)
        if ref is not None and ref() is t:
            del fn.retain[t._out]
    t.retains_grad = False
    return True


def forbidden(t: Tensor, what: str) -> str:
    """Why a view may not take part in a recorded write."""
    if t._origin in ("no_grad", "inference"):
        return (f"A view was created in {t._origin} mode and {what} modified inplace with grad mode enabled. "
                "Make the view and the write both inside the block (the write is not "
                "recorded) or both outside (it is), or write to a clone().")
    title = (t._grad_fn.name() if t._grad_fn is not None else t._origin).removesuffix("Backward0")
    return (f"Output {t._out} of {title} is a view and {what} modified inplace. This view is the output of a function "
            "that returns multiple views. Such functions do not allow the output views to be modified inplace. "
            "You should replace the inplace operation by an out-of-place one.")


def rebuilt_view(t: Tensor, base: Tensor) -> ViewFn:
    """The node of t as an as_strided view of its base."""
    edge = gradient_edge(base) if base._rg else None
    return ViewFn("AsStridedBackward0", t._spec, edge, spread_into(t._spec, base._spec))


def spread_into(part: Spec, whole: Spec) -> Any:
    """g of a view -> zeros of the whole with g in the view's place. Works on the whole's own memory layout."""
    if part.dtype.is_complex != whole.dtype.is_complex:
        return _spread_across(part, whole)

    def back(g: Tensor) -> Tensor:
        if not part.numel:
            from rushlight.tensor.core import zeros
            return as_spec(zeros(spec(g._spec.dtype, whole.shape)), spec(g._spec.dtype, whole.shape))
        low = min(whole.offset, part.offset)
        size = max(whole.extent(), part.extent()) - low
        d = g._spec.dtype
        flat = apply(_op("unview"), (g,), (size, spec(d, part.shape, part.strides, part.offset - low)))
        return as_spec(flat, spec(d, whole.shape, whole.strides, whole.offset - low))
    return back


def _spread_across(part: Spec, whole: Spec) -> Any:
    """`spread_into` between complex memory and its view as pairs of real numbers."""
    from rushlight.tensor.functions.shape import view_as_complex, view_as_real

    def back(g: Tensor) -> Tensor:
        if whole.dtype.is_complex:
            pairs = spec(part.dtype, (*whole.shape, 2), (*[2 * s for s in whole.strides], 1), 2 * whole.offset)
            return view_as_complex(spread_into(part, pairs)(g).contiguous())
        pairs = spec(whole.dtype, (*part.shape, 2), (*[2 * s for s in part.strides], 1), 2 * part.offset)
        return spread_into(pairs, whole)(view_as_real(g))
    return back


def as_spec(t: Tensor, s: Spec) -> Tensor:
    """A differentiable view of a tensor's whole storage with any geometry."""
    if s is t._spec:
        return t
    return view(t, s, "AsStridedBackward0", spread_into(s, t._spec))
