"""Where half precision is rounded: what PyTorch's CPU kernels compute at
once is rounded once, the rest after every step.

Also histories for results that are computed otherwise than their gradient says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.autograd.grad_mode import no_grad
from rushlight.autograd.graph import FREED, TWICE, GradFn, Saved
from rushlight.ir.dtype import HALF, DType, float32
from rushlight.ir.graph import SCALARS
from rushlight.ops.table import Op
from rushlight.tensor.core import OpFn, Tensor, apply, edges_of, infer
from rushlight.tensor.functions.common import cast, stand_in
from rushlight.tensor.state import state

SHORT = 32  # elements that do not fill two vectors of PyTorch's kernels: its scalar loops round them after every step
# they take the number on their right as it is
EXACT_NUMBERS = frozenset(("mul", "div", "floor_divide", "trunc_divide"))


def rounded_number(value: Any, dtype: DType) -> Any:
    """A float as a half-precision kernel receives it."""
    return float(np.asarray(value).astype(dtype.numpy)) if value.__class__ is float else value


def half_of(*operands: Any) -> DType | None:
    """The half-precision dtype among operands outside vmap, if there is one."""
    for o in operands:
        if isinstance(o, Tensor) and o._spec.dtype in HALF and not o._storage.batched:
            return o._spec.dtype
    return None


def wide(x: Any) -> Any:
    """Half floats as float32, in which kernels compute."""
    return cast(x, float32) if isinstance(x, Tensor) and x._spec.dtype in HALF else x


def once(f: Callable[..., Tensor], *operands: Any) -> Tensor:
    """f of operands, computed in float32 and rounded once where all are of one half precision."""
    dtype = half_of(*operands)
    if dtype is None or any([isinstance(o, Tensor) and o._spec.dtype is not dtype for o in operands]):
        return f(*operands)
    return cast(f(*[wide(o) for o in operands]), dtype)


def tracked(x: Any) -> bool:
    """Whether x requires gradients, its history being brought up to date."""
    return isinstance(x, Tensor) and (x.grad_fn is not None or x.requires_grad)


def history_of(op: Op, args: tuple[Any, ...], compute: Callable[[], Tensor], attrs: tuple[Any, ...] = ()) -> Tensor:
    """What `compute()` gives, with the history of an operation of the table on these operands."""
    if not (state.grad and any([tracked(a) for a in args])):
        return compute()
    with no_grad():
        out = compute()
    specs = [SCALARS[a.__class__] if a.__class__ in SCALARS else a._spec for a in args]
    sig = op.cache.get((attrs, *specs)) or infer(op, specs, attrs)
    out._grad_fn, out._rg = OpFn(op, sig, args, [out], edges_of(args)), True
    return out


class Formula(GradFn):
    """A node whose gradients are a function of what arrives and of kept tensors, written as PyTorch rounds it."""

    __slots__ = ("title", "rule", "saved")
    title: str
    rule: Callable[..., tuple[Any, ...]]
    saved: Any

    def name(self) -> str:
        return self.title

    def release(self) -> None:
        if self.saved:
            self.saved = FREED

    make_output = OpFn.make_output

    def backward(self, grads: list[Any]) -> Any:
        if self.saved is FREED:
            raise RuntimeError(TWICE)
        found = self.rule(grads[0], *[s.unpack(self) for s in self.saved])
        return [None if e is None else g for e, g in zip(self.edges, found)]


def with_gradient(title: str, inputs: tuple[Tensor, ...], compute: Callable[[], Tensor],
                  rule: Callable[..., tuple[Any, ...]], kept: tuple[Tensor, ...] = (), result: bool = False) -> Tensor:
    """What `compute()` gives, with the gradients ``rule(g, *kept)`` of its inputs; `result`: the result is the last
    that is kept."""
    if not (state.grad and any([tracked(x) for x in inputs])):
        return compute()
    with no_grad():
        out = compute()
    node = Formula(edges_of(inputs), (out._spec,))
    node.title, node.rule = title, rule
    node.saved = [Saved(x) for x in kept] + ([Saved(out, 0)] if result else [])
    out._grad_fn, out._rg = node, True
    return out


class OpFnApart(OpFn):
    """A node that keeps a tensor of another type than its signature says, so that no template of a pass fits it."""

    __slots__ = ()


def in_place_of(out: Tensor, name: str, kept: Tensor) -> None:
    """Let the operation that gave `out` keep another tensor for its gradient than the operand of this name."""
    fn = out._grad_fn
    if isinstance(fn, OpFn) and isinstance(fn.saved, dict) and name in fn.saved:
        if fn.saved[name].spec is not kept._spec:
            fn.__class__ = OpFnApart
        fn.saved[name] = Saved(kept)


def by_scalar(op: Op, x: Tensor, y: Tensor) -> Tensor | None:
    """Half precision times or over a 0-d tensor of a wider type,
    which PyTorch does not round first; None for other operands.

    On the left PyTorch rounds it, but not in the gradient.
    """
    half, scalar = (x, y) if x._spec.shape else (y, x)
    if scalar._spec.shape or not half._spec.shape or op.name not in EXACT_NUMBERS or half_of(half) is None:
        return None
    if scalar._spec.dtype.kind != "f" or scalar._spec.dtype in HALF or scalar._storage.batched:
        return None
    dtype = half._spec.dtype
    if half is x:
        out = history_of(op, (x, stand_in(y, dtype)), lambda: cast(apply(op, (wide(x), cast(y, float32))), dtype))
    else:
        out = apply(op, (stand_in(x, dtype), y))
    in_place_of(out, "xy"[half is x], scalar)
    return out
