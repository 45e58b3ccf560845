"""A unit of fully sharded training: parameters that are gathered together
before they are used and scattered again after it.

Whole parameters are the results of one autograd node, whose backward reduces their gradients and leaves each rank
its piece. Between forward and backward their memory may be given up: the storages stay, empty, and are filled
again when a gradient reaches the unit's output.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.autograd import engine
from rushlight.autograd.function import Function
from rushlight.autograd.grad_mode import no_grad
from rushlight.distributed import exchange
from rushlight.distributed.collectives import ReduceOp, _array, _reduced
from rushlight.distributed.fsdp.slots import Cuts, Slot, Stretches
from rushlight.ir.graph import Cell
from rushlight.tensor.core import Tensor, realize_pending, wrap
from rushlight.tensor.state import state

GONE = (
    "this parameter is sharded at the moment: its whole value exists only while the module that owns it computes. Use "
    "FullyShardedDataParallel.summon_full_params(module) or module.unshard()"
)


def local_of(leaf: Any) -> Any:
    """A leaf's own numbers."""
    return getattr(leaf, "_local_tensor", leaf)


class Use:
    """Whole parameters for one call of a module, until its backward pass has run."""

    def __init__(self, unit: Unit):
        self.unit, self.filled, self.whole = unit, True, []  # type: ignore[var-annotated]
        self.storages: list[Any] = []
        self.waits = 0  # the number of the backward pass that will end it

    def release(self) -> None:
        """Give the memory up; what was recorded runs first."""
        if not self.filled:
            return
        realize_pending()
        for s in self.storages:
            cell = Cell(None, 0)
            cell.error = RuntimeError(GONE)
            s.replace(cell)
        self.filled = False

    def fill(self) -> None:
        """Gather again."""
        if self.filled:
            return
        for s, array in zip(self.storages, self.unit.gathered()):
            s.replace(Cell(None, 0, array.reshape(-1)))
        self.filled = True

    def before_backward(self) -> None:
        """A gradient has reached the unit's output."""
        self.fill()
        self.unit.show(self)
        task = engine.current()
        if self.waits != task.number:
            self.waits = task.number
            task.at_end.append(self.after_backward)

    def after_backward(self) -> None:
        """The unit's gradients are reduced, or the pass has ended."""
        if self.unit.shown is self:
            self.unit.hide()
        if self.unit.reshard_after_backward:
            self.release()


class Gather(Function):
    """Pieces to whole parameters; backward reduces the gradients and leaves each rank its piece."""

    @staticmethod
    def forward(ctx: Any, use: Use, *pieces: Any) -> Any:
        ctx.use = use
        ctx.set_materialize_grads(False)
        out = [wrap(a) for a in use.unit.gathered()]
        use.storages = [t._storage for t in out]
        ctx.mark_non_differentiable(*[t for t, s in zip(out, use.unit.slots) if not s.requires_grad])
        return tuple(out)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        use = ctx.use
        with no_grad():
            found = use.unit.reduce(list(grads))
        use.after_backward()
        return (None, *found)


class Unit:
    """The parameters of one unit, their leaves, and the groups over which they are sharded and replicated."""

    def __init__(
        self,
        slots: list[Slot],
        shard_group: Any,
        replicate_group: Any,
        *,
        flat: bool = False,
        dims: list[int] | None = None,
        param_dtype: Any = None,
        reduce_dtype: Any = None,
    ):
        self.slots, self.shard_group, self.replicate_group, self.flat = slots, shard_group, replicate_group, flat
        self.size: int = shard_group.size() if shard_group is not None else 1
        self.rank: int = shard_group.rank() if shard_group is not None else 0
        self.copies = replicate_group.size() if replicate_group is not None else 1
        self.layout: Any = Stretches(slots, self.size) if dims is None else Cuts(slots, self.size, dims)
        self.param_dtype, self.reduce_dtype = param_dtype, reduce_dtype
        self.leaves: list[Any] = []
        self.shown: Use | None = None
        self.sync, self.divide = True, float(self.size * self.copies)
        self.reshard_after_forward, self.reshard_after_backward = True, True
        self.kept: list[Any] = [None] * len(slots)  # whole gradients that were not reduced yet
        self.scatter_all = dims is None  # parameters without a gradient count as zeros
        self.hook: Any = None  # (state, hook) in the place of the reduction

    # --- pieces ---------------------------------------------------------------------------------------------------
    def adopt(self, wholes: list[np.ndarray], make: Any) -> None:
        """Make the leaves: make(slot, piece) for each, or one of all pieces end to end."""
        pieces = [np.array(self.layout.piece(s, w, self.rank)) for s, w in zip(self.slots, wholes)]
        if self.flat:
            self.leaves = [make(None, wrap(np.concatenate(pieces) if pieces else np.zeros(0, np.float32)))]
        else:
            self.leaves = [
                make(s, wrap(p.reshape(self.layout.shape(s, self.rank)))) for s, p in zip(self.slots, pieces)
            ]

    def pieces_of(self, values: list[Any]) -> list[np.ndarray]:
        """Flat arrays by slot of values that lie as the leaves do."""
        if not self.flat:
            return [_array(local_of(v)).reshape(-1) for v in values]
        whole, out, at = _array(values[0]).reshape(-1), [], 0
        for s in self.slots:
            n = int(np.prod(self.layout.shape(s, self.rank)))
            out.append(whole[at : at + n])
            at += n
        return out

    def gathered(self, values: list[Any] | None = None, cast: bool = True) -> list[np.ndarray]:
        """Whole arrays of all slots (of the leaves, or of values that lie like them), one message per dtype."""
        realize_pending()
        pieces = self.pieces_of(self.leaves if values is None else values)
        if cast and self.param_dtype is not None:
            pieces = [
                p if s.own_dtype or not s.dtype.is_floating_point else p.astype(self.param_dtype.numpy)
                for s, p in zip(self.slots, pieces)
            ]
        return self._joined(pieces)

    def _joined(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
        if self.size == 1:
            return [self.layout.whole(s, [p]) for s, p in zip(self.slots, pieces)]
        out: list[Any] = [None] * len(pieces)
        for chosen in _by_dtype(pieces):
            sent = exchange.gather_arrays(np.concatenate([pieces[j] for j in chosen]), self.shard_group)
            at = [0] * self.size
            for j in chosen:
                parts = []
                for r in range(self.size):
                    n = int(np.prod(self.layout.shape(self.slots[j], r), dtype=np.int64))
                    parts.append(sent[r][at[r] : at[r] + n])
                    at[r] += n
                out[j] = self.layout.whole(self.slots[j], parts)
        return out

    # --- whole parameters -----------------------------------------------------------------------------------------
    def unshard(self) -> Use:
        """Gather, and put the whole parameters in their places."""
        if self.shown is not None and self.shown.filled:
            return self.shown
        self.refresh()
        use = Use(self)
        use.whole = list(Gather.apply(use, *[local_of(leaf) for leaf in self.leaves]))
        for j, s in enumerate(self.slots):
            if s.spread is not None:
                from rushlight.distributed.tensor.dtensor import make

                use.whole[j] = make(use.whole[j], *s.spread)
        self.show(use)
        return use

    def refresh(self) -> None:
        """Leaves that the program has replaced (load_state_dict(assign=True), setattr)."""
        if not self.flat and self.shown is None:
            for j, s in enumerate(self.slots):
                module, name = s.owners[0]
                found = module._parameters.get(name)
                if found is not None:
                    self.leaves[j] = found

    def show(self, use: Use) -> None:
        """Modules see the whole parameters."""
        self.shown = use
        for s, t in zip(self.slots, use.whole):
            self._place(s, t)

    def hide(self) -> None:
        """Modules see their leaves."""
        self.shown = None
        at = 0
        for j, s in enumerate(self.slots):
            if self.flat:  # the names stay, for what asks for a dtype: this rank's stretch, without gradients
                n = int(np.prod(self.layout.shape(s, self.rank)))
                self._place(s, self.leaves[0].detach()[at : at + n])
                at += n
            else:
                self._place(s, self.leaves[j])

    def _place(self, s: Slot, t: Any) -> None:
        for module, name in s.owners:
            if self.flat:
                module.__dict__[name] = t
            else:
                module._parameters[name] = t

    def forward_ended(self, out: Any) -> None:
        """After forward: hide the whole parameters, and free them where they are gathered again for backward."""
        use = self.shown
        if use is None:
            return
        self.hide()
        if state.grad:
            watch(out, use)
        if self.reshard_after_forward:
            use.release()

    # --- gradients ------------------------------------------------------------------------------------------------
    def reduce(self, grads: list[Any]) -> list[Any]:
        """Gradients of the leaves from those of the whole parameters: averaged over all ranks, a piece each. None
        while not synchronised."""
        realize_pending()
        grads = [getattr(g, "_local_tensor", g) for g in grads]
        grads = [k if g is None else g if k is None else g + k for g, k in zip(grads, self.kept)]
        self.kept = [None] * len(self.slots)
        if not self.sync:
            self.kept = [None if g is None else g.detach() for g in grads]
            realize_pending()
            return [None] * len(self.leaves)
        chosen = [j for j, s in enumerate(self.slots) if s.requires_grad]
        found: list[Any] = [None] * len(self.slots)
        arrays = {j: self._whole_gradient(j, grads[j]) for j in chosen}
        for group in _by_dtype([arrays[j] for j in chosen]):
            self._reduce_group([chosen[i] for i in group], arrays, [grads[chosen[i]] is not None for i in group], found)
        if self.flat:
            full = [
                np.zeros(int(np.prod(self.layout.shape(s, self.rank))), np.float32) if f is None else f
                for s, f in zip(self.slots, found)
            ]
            return [wrap(np.concatenate(full).astype(self.leaves[0].dtype.numpy))]
        return [
            None if f is None or not f.size and self.scatter_all and not self._whole_piece(j) else wrap(
                np.ascontiguousarray(
                    f.reshape(self.layout.shape(self.slots[j], self.rank)).astype(local_of(self.leaves[j]).dtype.numpy)
                )
            ) for j, f in enumerate(found)
        ]

    def _whole_piece(self, j: int) -> bool:
        return int(np.prod(self.layout.shape(self.slots[j], self.rank))) == self.slots[j].numel

    def _whole_gradient(self, j: int, g: Any) -> np.ndarray:
        s = self.slots[j]
        dtype = (
            s.dtype if s.own_dtype or self.param_dtype is None or not s.dtype.is_floating_point else self.param_dtype
        )
        wide = dtype if self.reduce_dtype is None or s.own_dtype else self.reduce_dtype
        if g is None:
            return np.zeros(s.shape, wide.numpy)
        return np.asarray(_array(g)).astype(wide.numpy, copy=False)

    def _reduce_group(
        self, chosen: list[int], arrays: dict[int, np.ndarray], used: list[bool], found: list[Any]
    ) -> None:
        """One message for parameters of one dtype: first who has used which of them, then their gradients."""
        flags = np.array(used, arrays[chosen[0]].dtype)
        if self.hook is not None:
            self._through_hook(chosen, arrays, found)
            return
        parts = [
            np.concatenate([flags, *[self.layout.piece(self.slots[j], arrays[j], r) for j in chosen]])
            for r in range(self.size)
        ]
        total = (
            parts[0] if self.size == 1 else _reduced(exchange.exchange_arrays(parts, self.shard_group), ReduceOp.SUM)
        )
        if self.copies > 1:
            total = _reduced(exchange.gather_arrays(total, self.replicate_group), ReduceOp.SUM)
        at = len(chosen)
        for k, j in enumerate(chosen):
            n = int(np.prod(self.layout.shape(self.slots[j], self.rank), dtype=np.int64))
            if self.scatter_all or total[k] > 0:
                found[j] = total[at : at + n] / np.asarray(self.divide, total.dtype)
            at += n

    def _through_hook(self, chosen: list[int], arrays: dict[int, np.ndarray], found: list[Any]) -> None:
        """A communication hook in the place of the reduction: hook(state, whole[, output piece])."""
        import rushlight as rl
        from rushlight.distributed.tensor.layout import chunk

        about, hook = self.hook
        flat = np.concatenate([arrays[j].reshape(-1) for j in chosen])
        if self.size == 1:
            whole = wrap(flat)
            hook(about, whole)
            result, low = _array(whole), 0
        else:
            n = -(-flat.size // self.size)
            out = rl.zeros(n, dtype=wrap(flat[:1].copy()).dtype)
            hook(about, wrap(np.concatenate([flat, np.zeros(n * self.size - flat.size, flat.dtype)])), out)
            low, high = chunk(flat.size, self.size, self.rank)
            result = _array(out)[: high - low]
        at = 0
        for j in chosen:
            s = self.slots[j]
            a, b = min(max(at - low, 0), result.size), min(max(at + s.numel - low, 0), result.size)
            found[j] = result[a:b]
            at += s.numel


def _by_dtype(arrays: list[np.ndarray]) -> list[list[int]]:
    """Numbers of arrays by dtype, in order of appearance."""
    out: dict[Any, list[int]] = {}
    for i, a in enumerate(arrays):
        out.setdefault(a.dtype, []).append(i)
    return list(out.values())


def watch(out: Any, use: Use) -> None:
    """Have the first gradient that reaches an output prepare the unit."""
    for t in tensors_in(out):
        if t.requires_grad and not t.is_leaf:
            local_of(t).register_hook(lambda g: use.before_backward())


def tensors_in(value: Any) -> list[Any]:
    """The tensors in nested lists, tuples, dictionaries and dataclasses."""
    import dataclasses

    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in tensors_in(v)]
    if isinstance(value, dict):
        return [t for v in value.values() for t in tensors_in(v)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [t for f in dataclasses.fields(value) for t in tensors_in(getattr(value, f.name))]
    return []


def cast_floats(value: Any, dtype: Any) -> Any:
    """Floating-point tensors in nested lists, tuples and dictionaries in another dtype."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.dtype.is_floating_point and value.dtype is not dtype else value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(cast_floats(v, dtype) for v in value))
    if type(value) in (list, tuple):
        return type(value)(cast_floats(v, dtype) for v in value)
    if isinstance(value, dict):
        return type(value)((k, cast_floats(v, dtype)) for k, v in value.items())
    return value
