"""What the transforms share: inputs that a transform differentiates, and results without the transform's own history.

One tape serves all levels: a gradient is asked for at certain tensors, so nested transforms cannot be confused.
What is left to do per level is to record only as much as an outer level (a tensor that requires gradients outside,
or an enclosing transform) still needs, and to hand out results that do not look as if they required gradients.
"""

from __future__ import annotations

from typing import Any

from rushlight.autograd.graph import GradFn
from rushlight.func.tree import flatten, map_leaves, unflatten
from rushlight.tensor.core import Tensor, gradient_edge, new_tensor
from rushlight.tensor.state import state
from rushlight.tensor.tape import AccumulateGrad
from rushlight.tensor.views import view


class Scope:
    """One transform at work: whether gradients were on outside, and the leaves that are its own."""

    def __init__(self) -> None:
        self.outer_grad = state.grad
        self.own: set[int] = set()
        self.keep: list[Any] = []
        self.linked = False  # an input has a history outside

    def __enter__(self) -> Scope:
        self.before = state.grad
        state.grad = True
        return self

    def __exit__(self, *_: Any) -> None:
        state.grad = self.before

    def own_input(self, x: Any) -> Any:
        """x as a tensor that this transform differentiates; what is no float tensor stays."""
        if not isinstance(x, Tensor) or x._spec.dtype.kind not in "fc":
            return x
        if x.requires_grad and self.outer_grad:
            self.linked = True
            return view(x, x._spec, "AliasBackward0", lambda g: g)
        leaf = x.detach()
        out = new_tensor(leaf._storage, leaf._spec)
        out._vc, out._rg = leaf._vc, True
        node = gradient_edge(out)[0]
        self.own.add(id(node))
        self.keep.append(node)
        return out

    def own_inputs(self, nest: Any) -> Any:
        """`own_input` of each leaf of a nest."""
        return map_leaves(self.own_input, nest)

    def needed_outside(self, *tensors: Any) -> bool:
        """Whether the history of some tensor reaches a leaf that is not this transform's own."""
        if not self.outer_grad:
            return False
        roots = [t for t in tensors if isinstance(t, Tensor) and t.requires_grad]
        return (self.linked and bool(roots)) or reaches_other_leaf([gradient_edge(t)[0] for t in roots], self.own)

    def finished(self, nest: Any) -> Any:
        """Results for the caller: without history where nobody outside needs it."""
        def strip(t: Any) -> Any:
            if not isinstance(t, Tensor) or not t.requires_grad or self.needed_outside(t):
                return t
            return t.detach()
        return map_leaves(strip, nest)


def reaches_other_leaf(nodes: list[GradFn], own: set[int]) -> bool:
    """Whether a node that accumulates, other than these, or the edge of a vmap, can be reached."""
    from rushlight.func.batching import BatchedInput
    seen: set[int] = set()
    stack = list(nodes)
    while stack:
        fn = stack.pop()
        if id(fn) in seen:
            continue
        seen.add(id(fn))
        if isinstance(fn, BatchedInput) or (isinstance(fn, AccumulateGrad) and id(fn) not in own):
            return True
        stack.extend(e[0] for e in fn.edges if e is not None)
    return False


def gradients(outputs: list[Any], inputs: list[Any], weights: list[Any], create_graph: bool,
              keep: bool = True) -> list[Any]:
    """The gradients of the outputs that have a history, zeros for inputs that they do not depend on."""
    from rushlight.autograd.api import grad
    pairs = [(o, w) for o, w in zip(outputs, weights) if isinstance(o, Tensor) and o.requires_grad]
    if not pairs:
        return [zeros_for(x) for x in inputs]
    found = grad([o for o, _ in pairs], inputs, [w for _, w in pairs], retain_graph=keep,
                 create_graph=create_graph, allow_unused=True)
    return [zeros_for(x) if g is None else g for x, g in zip(inputs, found)]


def zeros_for(x: Tensor) -> Tensor:
    """Zeros of the type of x, without its history."""
    from rushlight.tensor.creation import zeros_like
    return zeros_like(x.detach())


def chosen(args: tuple[Any, ...], argnums: int | tuple[int, ...]) -> Any:
    """The arguments that argnums name: one, or a tuple."""
    if isinstance(argnums, bool) or not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    for i in (argnums,) if isinstance(argnums, int) else argnums:
        if not isinstance(i, int):
            raise RuntimeError(f"argnums elements must be int, got {type(i)}")
        if not -len(args) <= i < len(args):
            raise RuntimeError(f"Got argnum={i}, but only {len(args)} positional inputs")
    if isinstance(argnums, tuple):
        if not argnums:
            raise RuntimeError("argnums must be non-empty")
        if len({i % len(args) for i in argnums}) != len(argnums):
            raise RuntimeError(f"argnums elements must be unique, got {argnums}")
        return tuple(args[i] for i in argnums)
    return args[argnums]


def replaced(args: tuple[Any, ...], argnums: int | tuple[int, ...], new: Any) -> tuple[Any, ...]:
    """The arguments with those that argnums name replaced."""
    out = list(args)
    for i, x in zip((argnums,) if isinstance(argnums, int) else argnums, (new,) if isinstance(argnums, int) else new):
        out[i] = x
    return tuple(out)


def tensors_only(nest: Any, api: str, what: str) -> tuple[list[Any], Any]:
    """The leaves and structure of a nest that must hold tensors."""
    leaves, structure = flatten(nest)
    for x in leaves:
        if not isinstance(x, Tensor):
            raise RuntimeError(f"{api}: Expected {what} to be a nest of Tensors, got a leaf of type {type(x).__name__}")
    return leaves, structure


__all__ = ["Scope", "chosen", "flatten", "gradients", "reaches_other_leaf", "replaced",
           "tensors_only", "unflatten", "zeros_for"]
