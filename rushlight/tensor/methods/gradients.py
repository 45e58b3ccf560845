"""Methods of autograd."""

from __future__ import annotations

import weakref
from typing import Any

from rushlight.autograd.api import backward as run_backward
from rushlight.autograd.graph import RemovableHandle, sequence
from rushlight.tensor.core import Tensor, gradient_edge, new_tensor


def _is_view(self: Tensor) -> bool:
    """Whether the tensor is a view of another one for autograd."""
    return self._base is not None


def detach(self: Tensor) -> Tensor:
    """The same memory without history."""
    if self._storage.batched:
        from rushlight.func import batching
        return batching.detach(self)
    out = new_tensor(self._storage, self._spec)
    out._vc = self._vc
    return out


def detach_(self: Tensor) -> Tensor:
    """Forget the history. RuntimeError for views."""
    if self._base is not None:
        raise RuntimeError("Can't detach views in-place. Use detach() instead.")
    if self._grad_fn is not None:
        self.__dict__["_detached"] = next(sequence)  # nodes recorded before must not use it any more
    self._grad_fn, self._out, self._rg = None, 0, False
    return self


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Whether operations on the tensor are recorded for backward."""
    if requires_grad and self._spec.dtype.kind not in "fc":
        raise RuntimeError("only Tensors of floating point dtype can require gradients. "
                           f"This one is {self._spec.dtype.name}; convert it, for example with .float().")
    if not requires_grad and self._grad_fn is not None:
        raise RuntimeError("you can only change requires_grad flags of leaf variables. "
                           "If you want to use a computed variable in a subgraph that doesn't "
                           "require differentiation use var_no_grad = var.detach().")
    if self._grad_fn is None:
        self._rg = self._wants = bool(requires_grad)
    return self


def retain_grad(self: Tensor) -> None:
    """Keep the gradient of a tensor that is no leaf in ``grad``."""
    if not self.requires_grad:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if self._grad_fn is None or self.retains_grad:
        return
    fn = self.grad_fn
    if fn.retain is None:
        fn.retain = {}
    fn.retain[self._out] = weakref.ref(self)
    self.retains_grad = True


def backward(self: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False,
             inputs: Any = None) -> None:
    """Accumulate the gradients of the leaves of this tensor's graph in their ``grad``."""
    run_backward(self, gradient, retain_graph, create_graph, inputs=inputs)


def register_hook(self: Tensor, hook: Any) -> RemovableHandle:
    """Call hook(grad) when the gradient of this tensor is computed; what it returns replaces the gradient."""
    if not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    def call(g: Tensor) -> Any:
        got = hook(g)
        return g if got is None else got
    call.output_number = self._out if self._grad_fn is not None else 0  # type: ignore[attr-defined]
    fn = self.grad_fn
    if fn is None:
        hooks = self.__dict__.setdefault("_leaf_hooks", {})
        edge = gradient_edge(self)
        if edge is not None:
            edge[0].pre_hooks = hooks
        return RemovableHandle.holding(hooks, call)
    if fn.pre_hooks is None:
        fn.pre_hooks = {}
    return RemovableHandle.holding(fn.pre_hooks, call)


def register_post_accumulate_grad_hook(self: Tensor, hook: Any) -> RemovableHandle:
    """Call hook(tensor) after a gradient was added to ``grad`` of this leaf."""
    if not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if self.grad_fn is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return RemovableHandle.holding(self.__dict__.setdefault("_post_accumulate_hooks", {}), hook)
