"""Writing in place: the memory of a tensor gets a new value, every alias sees it, and autograd knows."""

from __future__ import annotations

import sys
import weakref
from typing import Any

import numpy as np

from rushlight.autograd.graph import TWICE, GradFn, Saved
from rushlight.ir.graph import Cell
from rushlight.ir.spec import Spec, dense_order, spec
from rushlight.tensor.core import Tensor, _op, apply, functions, gradient_edge, new_tensor, zeros
from rushlight.tensor.state import state
from rushlight.tensor.storage import Storage
from rushlight.tensor.tape import OpFn
from rushlight.tensor.views import as_spec, forbidden, let_go, owned, rebuilt_view, relaid, sync_view, with_history

LEAF_IN_PLACE = "a leaf Variable that requires grad is being used in an in-place operation."
INSTEAD = " Wrap it in torch.no_grad(), or work on x.detach() or x.clone()."


# --- what may be written ------------------------------------------------------------------------------------------
def check_in_place(t: Tensor, *others: Any) -> None:
    """RuntimeError where autograd forbids an in-place operation on t with these operands."""
    if not state.grad or t._spec.dtype.kind not in "fc":
        return
    base = t._base
    if base is not None:
        sync_view(t)
    if not t._rg and not any(o._rg for o in others if isinstance(o, Tensor)):
        return
    if base is not None:
        if t._origin is not None:
            raise RuntimeError(forbidden(t, "is being"))
        if t._rg and base._grad_fn is None:
            raise RuntimeError("a view of " + LEAF_IN_PLACE + INSTEAD)
    if t._rg and t._grad_fn is None:
        raise RuntimeError(LEAF_IN_PLACE + INSTEAD)


def old_values(t: Tensor) -> Tensor:
    """t as it is now, for gradient rules that need what an in-place operation overwrites: writing t does not change it.

    It costs nothing but where the memory is shared with the outside. The caller hands the value back with `give_back`
    if t was not written after all.
    """
    storage = t._storage
    if storage.home is not None:
        out = new_tensor(relaid(t, None)._storage, spec(t._spec.dtype, t._spec.shape))
    else:
        out = new_tensor(Storage(storage.cell, storage.size, storage.dtype), t._spec)
    return with_history(out, t)


def give_back(t: Tensor, cell: Any) -> None:
    """After an operation failed, the storage of t shows its value alone again."""
    if t._storage.cell is cell:
        cell.owner = weakref.ref(t._storage)


def check_overlap(t: Tensor, operands: Any, expanded: bool = False, same: bool = False) -> None:
    """RuntimeError where elements of t share memory with each other
    (unless `expanded` is allowed) or partly with an operand.

    `same`: operands that are exactly t are forbidden too.
    """
    s = t._spec
    if not expanded and not s.contiguous and any(st == 0 and n > 1 for st, n in zip(s.strides, s.shape)):
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a "
                           "single memory location. Please clone() the tensor before performing the operation.")
    for o in operands:
        if isinstance(o, Tensor) and o._storage is t._storage and (_partly_shared(s, o._spec)
                                                                   or same and s.numel and o._spec is s):
            raise RuntimeError("unsupported operation: some elements of the input tensor and "
                               "the written-to tensor refer to a single memory location. "
                               "Please clone() the tensor before performing the operation.")


def _partly_shared(a: Spec, b: Spec) -> bool:
    """Whether two dense views share some memory without being the same. Of views with gaps nobody can tell cheaply."""
    if not a.numel or not b.numel or dense_order(a.shape, a.strides) is None or dense_order(b.shape, b.strides) is None:
        return False
    x, y = a.dtype.itemsize, b.dtype.itemsize
    a0, a1, b0, b1 = a.offset * x, (a.offset + a.numel) * x, b.offset * y, (b.offset + b.numel) * y
    if (a0, a1) == (b0, b1):
        return a.strides != b.strides
    return a0 < b1 and b0 < a1


# --- writing ------------------------------------------------------------------------------------------------------
def assign(t: Tensor, new: Tensor, take: bool = False, severs: bool = False) -> Tensor:
    """t takes the values of `new` (same shape or broadcast to it).

    `take`: nobody else knows the memory of `new`, so that t may have it without a copy. `severs`: the values do not
    depend on what t was, so that no gradient flows to it.
    """
    if t._storage.batched and t.is_quantized:
        return t._become(new)  # type: ignore[no-any-return]
    check_in_place(t, new)
    s = t._spec
    if new._base is not None and state.grad and new.requires_grad:
        if s.dtype.kind in "fc":
            sync_view(new)
        else:  # t has no history, so that nobody asks for that of the values
            new = new.detach()
    if new._spec.dtype is not s.dtype:
        if new._rg and new._spec.shape != s.shape:
            new = functions().expand(new, s.shape)  # its gradient is cast before it is summed
        new, take = functions().cast(new, s.dtype), True
    if new._spec.shape != s.shape:
        new, take = functions().expand(new, s.shape), False
    tracked = state.grad and (new._rg or t._rg)
    _store(t._storage, s, new, take)
    t._vc.version += 1
    if tracked:
        if take:
            _saved_as(t, new)
        _rebase_history(t, new, severs)
    return t


def shows_all(t: Tensor) -> bool:
    """Whether t is all of its memory, in whatever order of dimensions, and no gradient flows through it."""
    s, storage = t._spec, t._storage
    return (s.offset == 0 and s.numel == storage.size and s.dtype is storage.dtype and not storage.batched
            and not (state.grad and t._rg) and _whole_order(s) is not None)


def spare_memory(t: Tensor) -> Any:
    """The flat array of a tensor whose values nobody else can need any more, for `assign_memory`; else None."""
    cell = t._storage.cell
    flat = cell.buffer
    if flat is None or t._storage.home is not None or flat.base is not None:
        return None
    # the storage and this function hold the cell; the cell, this function and the calls' arguments hold the array
    return flat if sys.getrefcount(cell) == 3 and sys.getrefcount(flat) == 3 else None


def assign_memory(t: Tensor, flat: Any) -> Tensor:
    """t, of which `shows_all` holds, takes over an array that nobody else refers to:
    its elements in the order of memory."""
    t._storage.replace(Cell(None, 0, flat))
    t._vc.version += 1
    return t


def values_there(t: Tensor, src: Tensor) -> Any:
    """A copy of values that are computed already, for `assign_memory` to t; None where t cannot take a copy as it is.

    Copied at once, as PyTorch does, a checkpoint that is loaded into a model leaves nothing pending: its first pass has the
    plan of all later ones, and no memory for the weights besides their own.
    """
    s, given = t._spec, src._spec
    cell = src._storage.cell
    if (type(cell.buffer) is not np.ndarray or given.shape != s.shape or given.strides != s.strides or given.dtype is not s.dtype
            or src._storage.dtype is not s.dtype or src._storage.batched or not shows_all(t) or state.graph.traced
            or state.grad and src._rg or t._storage.home is not None):
        return None
    check_in_place(t, src)
    values = cell.buffer[given.offset:given.offset + given.numel]
    spare = spare_memory(t)
    if spare is None:
        return values.copy()
    np.copyto(spare, values)
    return spare


def _store(storage: Storage, s: Spec, new: Tensor, take: bool) -> None:
    """Give a storage its next value: new where s shows it, the old elsewhere."""
    if storage.batched or new._storage.batched:
        from rushlight.func import batching
        storage.replace(batching.write(storage, s, new))
        return
    before = state.grad
    state.grad = False
    try:
        whole = s.offset == 0 and s.numel == storage.size and s.dtype is storage.dtype
        if whole and (order := _whole_order(s)) is not None:
            cell = new._storage.cell
            if not (take and new._spec is s and new._storage.size == s.numel and new._storage.home is None
                    and cell.buffer is None):
                lying = new if s.plain else new_tensor(new._storage, new._spec.permute(order))
                cell = apply(_op("copy"), (lying,))._storage.cell
        elif storage.forever and storage.home is not None and s.dtype is storage.dtype:
            _land(storage, s, new)  # others may write the rest at the same time
            return
        elif s.dtype is storage.dtype:
            cell = apply(_op("write"), (_flat(storage), new), (s,))._storage.cell
        else:
            cell = apply(_op("write_bytes"), (_flat(storage), new), (s,))._storage.cell
    finally:
        state.grad = before
    storage.replace(cell)


def _land(storage: Storage, s: Spec, new: Tensor) -> None:
    """Write a part of memory that others hold too: at once, and no byte beside it."""
    from rushlight.tensor.memory import realize_pending, unwrap
    values = np.array(unwrap(new))
    realize_pending()  # what was recorded reads the memory as it was
    home: Any = storage.home
    size = home.dtype.itemsize
    part = np.lib.stride_tricks.as_strided(home[s.offset:], s.shape, [n * size for n in s.strides])
    part[...] = values
    storage.replace(Cell(None, 0, home))


def _whole_order(s: Spec) -> tuple[int, ...] | None:
    return tuple(range(len(s.shape))) if s.plain else dense_order(s.shape, s.strides)


def _flat(storage: Storage) -> Tensor:
    return new_tensor(storage, spec(storage.dtype, (storage.size,)))


# --- history ------------------------------------------------------------------------------------------------------
class Overwritten(GradFn):
    """The history of a tensor whose old values were replaced:
    no gradient (zeros) to the old ones, all of it to the new."""

    __slots__ = ()

    def name(self) -> str:
        return "CopyBackwards"

    def backward(self, grads: list[Any]) -> Any:
        return [zeros(self.specs[0]) if self.edges[0] is not None else None, grads[0]]


class CopySlices(GradFn):
    """The history of a base after one of its views was written:
    the old base outside the view, the new values inside."""

    __slots__ = ("part", "whole")

    def __init__(self, base_edge: Any, new_edge: Any, part: Spec, whole: Spec):
        super().__init__((base_edge, new_edge), (whole,))
        self.part: Spec | None = part
        self.whole = whole

    def release(self) -> None:
        self.part = None

    def backward(self, grads: list[Any]) -> Any:
        if self.part is None:
            raise RuntimeError(TWICE)
        if any([n > 1 and step == 0 for n, step in zip(self.part.shape, self.part.strides)]):
            raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a "
                               "single memory location. Please clone() the tensor before performing the operation: "
                               "an expanded view was filled, whose gradient has no place of its own.")
        inside = None
        if self.edges[1] is not None:
            inside = taken_from(grads[0], self.part, self.whole).clone()
        outside = owned(emptied(grads[0], self.part, self.whole)) if self.edges[0] is not None else None
        return [outside, inside]


def taken_from(g: Tensor, part: Spec, whole: Spec) -> Tensor:
    """What a gradient of the whole has in the place of a view."""
    if part.dtype.is_complex != whole.dtype.is_complex:
        F = functions()
        if whole.dtype.is_complex:
            return taken_from(F.view_as_real(g), part, _pairs(whole))
        return F.view_as_complex(taken_from(g, _pairs(part), whole).contiguous())
    flat, inner, _ = _laid_out(g, part, whole)
    return as_spec(flat, inner)


def emptied(g: Tensor, part: Spec, whole: Spec) -> Tensor:
    """A gradient of the whole with zeros in the place of a view."""
    if part.dtype.is_complex != whole.dtype.is_complex:
        F = functions()
        if whole.dtype.is_complex:
            return F.view_as_complex(emptied(F.view_as_real(g), part, _pairs(whole)).contiguous())
        return emptied(g, _pairs(part), whole)
    flat, inner, outer = _laid_out(g, part, whole)
    return as_spec(write_whole(flat, apply(_op("full"), (0,), (part.shape, inner.dtype)), inner), outer)


def _pairs(s: Spec) -> Spec:
    return spec(s.dtype.to_real(), (*s.shape, 2), (*[2 * n for n in s.strides], 1), 2 * s.offset)


def _laid_out(g: Tensor, part: Spec, whole: Spec) -> tuple[Tensor, Spec, Spec]:
    """g in memory as the whole lies, and the view and the whole as specs on that memory."""
    low = min(whole.offset, part.offset)
    d = g._spec.dtype
    inner = spec(d, part.shape, part.strides, part.offset - low)
    outer = spec(d, whole.shape, whole.strides, whole.offset - low)
    return apply(_op("unview"), (g,), (max(whole.extent(), part.extent()) - low, outer)), inner, outer


def write_whole(flat: Tensor, value: Tensor, s: Spec) -> Tensor:
    """A differentiable functional write: flat with value stored through the view s."""
    out = apply(_op("write"), (flat, value), (s,))
    if state.grad and (flat._rg or value._rg):
        out._grad_fn = CopySlices(gradient_edge(flat) if flat._rg else None,
                                  gradient_edge(value) if value._rg else None, s, flat._spec)
        out._rg = True
    return out


def _rebase_history(t: Tensor, new: Tensor, severs: bool) -> None:
    """Give t, and the base it is a view of, the history of the values just written."""
    edge = gradient_edge(new) if new._rg else None
    whole = t if t._base is None else t._base
    old = gradient_edge(whole) if whole._rg else None
    kept = let_go(t), let_go(whole)
    if whole is not t:
        whole._grad_fn, whole._out, whole._rg = CopySlices(old, edge, t._spec, whole._spec), 0, True
        t._grad_fn, t._out = rebuilt_view(t, whole), 0
        t._seen = t._vc.version
    elif severs or edge is None:
        t._grad_fn, t._out = Overwritten((old, edge), (t._spec,)), 0
    else:
        t._grad_fn, t._out = edge
    t._rg = True
    for x, was in zip((t, whole), kept):
        if was:
            x.retain_grad()


def _saved_as(t: Tensor, new: Tensor) -> None:
    """A result that its own gradient rule keeps is from now on the written tensor:
    writing it again is an error in backward."""
    fn = new._grad_fn
    if isinstance(fn, OpFn) and isinstance(fn.saved, dict) and new._storage is not t._storage:
        for s in fn.saved.values():
            if s.__class__ is Saved and s.output == new._out and s.hooks is None:
                s.storage, s.spec, s.counter, s.version = t._storage, t._spec, t._vc, t._vc.version


