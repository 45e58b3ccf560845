"""Tensors inside `vmap`: per-sample tensors whose storage holds a physical tensor with a leading batch dimension.

A batched tensor has the type, shape and strides of one sample; user code and the gradient rules see nothing else. Its
storage holds a `BatchedCell`: the physical tensor (batch, sample…) and the level of the `vmap` it belongs to. So

- a view of a sample is the same view of each row of the physical tensor: (batch, shape) with strides (size, strides);
- an operation on samples is recorded as one operation on physical tensors by the row's batching rule (`batch_rules`);
- physical tensors may be batched at an outer level or recorded on an outer tape: levels nest by themselves;
- writing in place gives the storage a new physical tensor, as it gives an ordinary storage a new value.

`rushlight.tensor.core.apply` hands operations on batched storages to `apply` here.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import weakref
from collections.abc import Iterator
from typing import Any

from rushlight.autograd.graph import GradFn
from rushlight.ir.graph import SCALARS, Cell
from rushlight.ir.spec import Spec, spec
from rushlight.ops.table import TABLE, Op
from rushlight.tensor import core
from rushlight.tensor.core import Tensor, new_tensor
from rushlight.tensor.state import state
from rushlight.tensor.storage import Storage

NO_ITEM = ("vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling "
           ".item() on a Tensor, please try to rewrite what you're doing with other operations. "
           "The same goes for numpy(), tolist(), and operations whose result shape depends on the numbers.")
NO_CONTROL = ("vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. "
              "We don't support that yet, please use torch.where or compute both sides.")
ENDED = "vmap: a tensor from inside vmap is used after it has returned; return it from the function that is mapped"
LEAKED = ("vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` in "
          "extra_args that has more elements than `self`. This happened due to `other` being vmapped over but `self` "
          "not being vmapped over in a vmap. Please try to use out-of-place operators instead of inplace arithmetic. "
          "If said operator is being called inside the PyTorch framework, please file a bug report instead. "
          "The tensor has the shape {} and has kept its values.")
RANDOM_ERROR = ("vmap: called random operation while in randomness error mode. Please either use the 'same' or "
                "'different' randomness flags on vmap or perform the randomness operation out of vmap")


class Level:
    """One running `vmap`: its size, how it treats random numbers, and the level around it."""

    def __init__(self, size: int, randomness: str):
        self.size = size
        self.randomness = randomness
        self.outer = state.level
        self.depth = self.outer.depth + 1 if self.outer is not None else 1
        self.ended = False
        self.promoted: list[tuple[Any, Cell, Any]] = []

    def __enter__(self) -> Level:
        state.level = self
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        state.level = self.outer
        self.ended = True
        self._restore(report=kind is None)

    def _restore(self, report: bool) -> None:
        """Tensors from outside that were written with batched values get
        their own values back, and an error says so."""
        if any(ref() is not None for ref, _, _ in self.promoted):
            gc.collect()
        shape = None
        for ref, cell, home in self.promoted:
            storage = ref()
            if storage is not None:
                storage.__class__, storage.home = Storage, home
                storage.replace(cell)
                shape = [storage.size]
        self.promoted.clear()
        if report and shape is not None:
            raise RuntimeError(LEAKED.format(shape))

    def check_random(self) -> None:
        """RuntimeError where random operations are not allowed."""
        if self.randomness == "error":
            raise RuntimeError(RANDOM_ERROR)

    def for_random(self, t: Tensor) -> Tensor:
        """The operand of a random operation: batched where each sample draws its own numbers."""
        self.check_random()
        if self.randomness == "same" or at_level(t, self):
            return t
        return batched(core.functions().expand(t, (self.size, *t._spec.shape)), self)

    def draw(self, f: Any, args: tuple[Any, ...], kwargs: dict[str, Any], sized: bool = False) -> Any:
        """A random function inside this vmap: once for all samples ("same"), or once per sample ("different")."""
        self.check_random()
        state.level = self.outer
        try:
            if self.randomness == "same":
                return self._drawn_once(f, args, kwargs)
            if sized:
                from rushlight.tensor.functions.common import shape_of
                size = shape_of(kwargs.pop("size")) if "size" in kwargs else shape_of(*args)
                return batched(f((self.size, *size), **kwargs), self)
            from rushlight.tensor.functions.joining import stack
            rows = [f(*[self._row(a, i) for a in args], **{k: self._row(a, i) for k, a in kwargs.items()})
                    for i in range(self.size)]
            return batched(stack(rows), self)
        finally:
            state.level = self

    def _drawn_once(self, f: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return f(*args, **kwargs)
        except RuntimeError as e:
            if str(e) != NO_ITEM:
                raise
            raise RuntimeError("Vmap does not currently support same randomness with a batched tensor input. "
                               "Please use different randomness with vmap: the samples differ, "
                               "so they cannot share the numbers that are drawn") from None

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        """In the block: the world around this vmap."""
        inner, state.level = state.level, self.outer
        try:
            yield
        finally:
            state.level = inner

    def each(self, f: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function on each sample by itself, the results stacked."""
        with self.outside():
            return self._stacked([f(*self._row(args, i), **self._row(kwargs, i)) for i in range(self.size)])

    def _stacked(self, rows: list[Any]) -> Any:
        if isinstance(rows[0], Tensor):
            from rushlight.tensor.functions.joining import stack
            return batched(stack(rows), self)
        parts = [self._stacked(list(column)) for column in zip(*rows)]
        return type(rows[0])(parts)

    def lowered(self, t: Tensor) -> Tensor:
        """The physical tensor (batch, shape…) of one that is batched here; others as they are."""
        return physical(t, self) if at_level(t, self) else t

    def full(self, t: Tensor) -> Tensor:
        """The physical tensor, also of one that is the same for all samples."""
        return physical(t, self) if at_level(t, self) else core.functions().expand(t, (self.size, *t._spec.shape))

    def lifted(self, t: Tensor) -> Tensor:
        """A physical tensor as one of samples."""
        return batched(t, self)

    def _row(self, value: Any, i: int) -> Any:
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            return type(value)(self._row(v, i) for v in value)
        if isinstance(value, dict):
            return {k: self._row(v, i) for k, v in value.items()}
        return physical(value, self)[i] if isinstance(value, Tensor) and at_level(value, self) else value


class BatchedCell(Cell):
    """The value of a batched storage: a physical tensor (batch, …) at a level. It is never realized itself."""

    __slots__ = ("physical", "level")

    def __init__(self, tensor: Tensor, level: Level):
        super().__init__(None, 0)
        self.physical = tensor
        self.level = level

    @property
    def error(self) -> BaseException:
        return RuntimeError(NO_ITEM)

    @error.setter
    def error(self, value: Any) -> None:
        pass


class BatchedStorage(Storage):
    """The storage of a batched tensor. ``home`` is set, so that the recorder looks at it twice."""

    __slots__ = ()
    batched = True

    def exposed(self) -> bool:
        return False

    def memory(self) -> Any:
        raise RuntimeError(NO_ITEM)

    share = memory


class BatchedInput(GradFn):
    """The history of a batched tensor whose physical tensor has one: the outer tape goes on from there."""

    __slots__ = ()

    def backward(self, grads: list[Any]) -> Any:
        return ()


def at_level(t: Tensor, level: Level) -> bool:
    """Whether a tensor is batched at this level."""
    storage = t._storage
    return storage.batched and storage.cell.level is level


def level_of(t: Any) -> Level | None:
    """The innermost level at which a tensor is batched."""
    if isinstance(t, Tensor) and t._storage.batched:
        return t._storage.cell.level  # type: ignore[attr-defined, no-any-return]
    return None


def batched(tensor: Tensor, level: Level, history: bool = True) -> Tensor:
    """A physical tensor (batch, shape…) as a batched tensor of that shape."""
    s = spec(tensor._spec.dtype, tensor._spec.shape[1:])
    storage = BatchedStorage(BatchedCell(tensor, level), s.numel, s.dtype)
    storage.home = ()  # type: ignore[assignment]
    t = new_tensor(storage, s)
    if history and tensor.requires_grad:
        t._grad_fn, t._rg = BatchedInput((), (s,)), True
    return t


def physical(t: Tensor, level: Level) -> Tensor:
    """The physical tensor (batch, shape…) of a tensor batched at this level, through the tensor's view."""
    from rushlight.tensor.functions.shape import reshape
    cell: Any = t._storage.cell
    if cell.level.ended:
        raise RuntimeError(ENDED)
    p: Tensor = cell.physical
    s, n = t._spec, t._storage.size
    p = in_dtype(p, s)
    if s.dtype is not t._storage.dtype:
        n = p._spec.numel // max(level.size, 1)
    if s.plain and s.numel == n:
        return p if p._spec.shape[1:] == s.shape else reshape(p, (level.size, *s.shape))
    flat = reshape(p, (level.size, n)).contiguous()
    return core.as_spec(flat, spec(s.dtype, (level.size, *s.shape), (n, *s.strides), flat._spec.offset + s.offset))


def in_dtype(p: Tensor, s: Spec) -> Tensor:
    """Memory in the dtype in which a view reads it: complex numbers as pairs, and back.
    Dimensions behind the first may be merged."""
    from rushlight.tensor.functions.shape import reshape, view_as_complex, view_as_real
    d = p._spec.dtype
    if d is s.dtype:
        return p
    if d.is_complex and d.to_real() is s.dtype:
        return view_as_real(p.contiguous())
    if s.dtype.is_complex and d.to_complex() is s.dtype:
        pairs = (-1, 2) if len(p._spec.shape) == 1 else (p._spec.shape[0], p._spec.numel // p._spec.shape[0] // 2, 2)
        return view_as_complex(reshape(p, pairs).contiguous())
    raise NotImplementedError(f"vmap over a view of {d} memory as {s.dtype}")


def apply(op: Op, args: tuple[Any, ...], attrs: tuple[Any, ...]) -> Any:
    """Record an operation on batched tensors: its batching rule on physical tensors, and its history among samples."""
    from rushlight.func import batch_rules
    level = max((found for a in args if (found := level_of(a)) is not None),
                key=lambda found: found.depth, default=None)
    if level is None:  # no samples: the other tensors without memory of their own
        storage = next(a._storage for a in args if isinstance(a, Tensor) and a._storage.batched)
        return importlib.import_module(storage.rules).apply(op, args, attrs)  # type: ignore[attr-defined]
    if level.ended:
        raise RuntimeError(ENDED)
    for a in args:
        if isinstance(a, Tensor) and a._base is not None:
            core.sync_view(a)
    specs = [a._spec if isinstance(a, Tensor) else SCALARS[type(a)] for a in args]
    sig = op.cache.get((attrs, *specs)) or core.infer(op, specs, attrs)
    inner = state.level
    state.level = level.outer
    try:
        results = batch_rules.run(batch_rules.Call(op, sig, args, attrs, level))
    finally:
        state.level = inner
    if isinstance(results, Tensor) and len(sig.outs) == 1 and at_level(results, level):
        return results  # the rule worked on samples: its parts have their history
    outs = [batched(r, level, history=False) for r in (results if isinstance(results, list) else [results])]
    assert all(o._spec.shape == s.shape and o._spec.dtype is s.dtype for o, s in zip(outs, sig.results)), \
        f"the batching rule of {op.name} gave {[o._spec for o in outs]} for {sig.results}"
    _record(op, sig, args, outs)
    return outs[0] if len(outs) == 1 else outs


def _record(op: Op, sig: Any, args: tuple[Any, ...], outs: list[Tensor]) -> None:
    """What `core.apply` leaves on the tape."""
    if not (state.grad and op.differentiable and any(isinstance(a, Tensor) and a._rg for a in args)):
        return
    fn = core.OpFn(op, sig, args, outs, core.edges_of(args))
    if state.lines:
        fn.line = core.user_line()
    for i, o in enumerate(outs):
        if o._spec.dtype.kind in "fc":
            o._grad_fn, o._out, o._rg = fn, i, True


def write(storage: Storage, s: Spec, new: Tensor) -> Cell:
    """The value of a storage after `new` (of the shape of s) was written through the view s."""
    levels = [x.cell.level for x in (storage, new._storage) if x.batched]  # type: ignore[attr-defined]
    level = max(levels, key=lambda found: found.depth)
    if not (storage.batched and storage.cell.level is level):
        _promote(storage, level)
    n, size = storage.size, level.size
    value = physical(new, level) if at_level(new, level) else new
    if s.plain and s.numel == n and s.dtype is storage.dtype:
        from rushlight.tensor.functions.shape import expand
        return BatchedCell(expand(value, (size, *s.shape)), level)
    from rushlight.func.batch_rules import reshape, written
    return BatchedCell(written(reshape(storage.cell.physical,  # type: ignore[attr-defined]
                                       (size, n)), value, s, size), level)


def _promote(storage: Storage, level: Level) -> None:
    """A storage from outside the level becomes batched: every sample starts with a copy of it."""
    if storage.home is not None and not storage.batched:
        raise RuntimeError(LEAKED.format([storage.size]))
    level.promoted.append((weakref.ref(storage), storage.cell, storage.home))
    flat = core.apply(TABLE["copy"], (new_tensor(storage, spec(storage.dtype, (storage.size,))),))
    storage.__class__, storage.home = BatchedStorage, ()  # type: ignore[assignment]
    storage.cell = BatchedCell(core.functions().expand(flat, (level.size, storage.size)), level)


def detach(t: Tensor) -> Tensor:
    """A batched tensor without history, on any tape."""
    cell: Any = t._storage.cell
    storage = BatchedStorage(BatchedCell(cell.physical.detach(), cell.level), t._storage.size, t._storage.dtype)
    storage.home = ()  # type: ignore[assignment]
    return new_tensor(storage, t._spec)


def describe(t: Tensor) -> str:
    """How a batched tensor prints."""
    level: Any = level_of(t)
    if level is None:
        from rushlight.sparse import rules
        raise rules.no_view()
    return f"BatchedTensor(lvl={level.depth}, bdim=0, value=\n{physical(t, level)!r}\n)"
