"""User-defined operations with their own backward."""

from __future__ import annotations

import functools
from typing import Any

from rushlight.autograd.graph import FREED, TWICE, GradFn, Saved


class FunctionCtx:
    """What forward hands to backward."""

    def __init__(self) -> None:
        self.needs_input_grad: tuple[bool, ...] = ()
        self._to_save: tuple[Any, ...] = ()
        self._dirty: tuple[Any, ...] = ()
        self._not_differentiable: tuple[Any, ...] = ()
        self._materialize = True
        self._node: Any = None

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors for backward; they are checked for in-place changes."""
        self._to_save = tensors

    save_for_forward = save_for_backward

    def mark_dirty(self, *args: Any) -> None:
        """Say which inputs forward changed in place."""
        self._dirty = args

    def mark_non_differentiable(self, *args: Any) -> None:
        """Say which outputs have no gradient."""
        self._not_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients reach backward as zeros (default) or None."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What save_for_backward kept."""
        node = self._node
        if node is None:
            return self._to_save
        if node.saved is FREED:
            raise RuntimeError(TWICE)
        return tuple(s.unpack(node) if isinstance(s, Saved) else s for s in node.saved)

    saved_variables = saved_tensors


class CustomFn(GradFn):
    """The backward node of a Function."""

    __slots__ = ("function", "ctx", "saved", "tensor_inputs")

    def name(self) -> str:
        return self.function.__name__ + "Backward"

    def make_output(self, s: Saved) -> Any:
        from rushlight.tensor.core import new_tensor
        t = new_tensor(s.storage, s.spec)
        t._vc, t._grad_fn, t._out, t._rg = s.counter, self, s.output, True
        return t

    def release(self) -> None:
        if self.saved:
            self.saved = FREED

    def backward(self, grads: list[Any]) -> Any:
        from rushlight.tensor.core import zeros
        if self.ctx._materialize:
            grads = [zeros(s) if g is None and s is not None else g for g, s in zip(grads, self.specs)]
        results = self.function.backward(self.ctx, *grads)
        results = results if isinstance(results, (tuple, list)) else (results,)
        count = len(self.ctx.needs_input_grad)
        if len(results) < count or any(r is not None for r in results[count:]):
            raise RuntimeError(f"function {self.name()} returned an incorrect number of gradients "
                               f"(expected {count}, got {len(results)})")
        out = []
        for g, e, i in zip(results, self.edges, range(count)):
            want = self.tensor_inputs[i]
            shape = None if want is None else want.shape
            if g is not None and want is not None and g._spec.dtype is not want.dtype:
                g = g.to(want.dtype)
            if g is not None and shape is not None and g._spec.shape != shape:
                from rushlight.tensor.functions.shape import sum_to
                try:
                    g = sum_to(g, shape)
                except RuntimeError:
                    raise RuntimeError(f"Function {self.name()} returned an invalid gradient at "
                                       f"index {i} - got {list(g._spec.shape)} but expected shape "
                                       f"compatible with {list(shape)}") from None
            out.append(g if e is not None else None)
        return out


class Function:
    """Base class of user-defined operations: static methods forward(ctx,
    …) and backward(ctx, …), called through ``apply``.

    >>> import rushlight as rl
    >>> class Double(rl.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x): return x * 2
    ...     @staticmethod
    ...     def backward(ctx, g): return g * 2
    >>> Double.apply(rl.tensor(3.))
    tensor(6.)
    """

    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any):
        raise RuntimeError(f"{type(self)} should not be instantiated. Methods on autograd functions are all static, "
                           "so you should invoke them on the class itself. "
                           "Instantiating an autograd function will raise an error in a future version of PyTorch.")

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the gradients of the inputs."""
        raise NotImplementedError("You must implement either the backward or vjp method for your custom "
                                  "autograd.Function to use it with backward mode AD.")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward, recording backward where an input requires gradients."""
        from rushlight.tensor.core import Tensor, gradient_edge
        from rushlight.tensor.state import state
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        before = state.grad
        state.grad = False
        try:
            if "setup_context" in vars(cls) or any("setup_context" in vars(k)
                                                   for k in cls.__mro__[:-1] if k is not Function):
                result = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, result)  # type: ignore[attr-defined]
            else:
                result = cls.forward(ctx, *args, **kwargs)
        finally:
            state.grad = before
        if not before or not any(ctx.needs_input_grad):
            return result
        edges = tuple(gradient_edge(a) if n else None for a, n in zip(args, ctx.needs_input_grad))
        return _attach(cls, ctx, args, result, edges)


def _attach(cls: Any, ctx: FunctionCtx, args: tuple[Any, ...], result: Any, edges: tuple[Any, ...]) -> Any:
    """Give the results of forward their history."""
    from rushlight.tensor.core import Tensor, user_line
    from rushlight.tensor.state import state
    outs = list(result) if isinstance(result, (tuple, list)) else [result]
    node = CustomFn(edges, tuple(o._spec if isinstance(o, Tensor) else None for o in outs))
    node.function, node.ctx = cls, ctx
    if state.lines:
        node.line = user_line()
    node.tensor_inputs = [a._spec if isinstance(a, Tensor) else None for a in args]
    skip = {id(t) for t in ctx._not_differentiable}
    for i, o in enumerate(outs):
        if not isinstance(o, Tensor) or id(o) in skip or o._spec.dtype.kind not in "fc":
            continue
        if any(o is a for a in args) and not any(o is d for d in ctx._dirty):
            o = outs[i] = o.view(o._spec.shape) if o._base is None else o.detach()
            o._base = None
        o._grad_fn, o._out, o._rg = node, i, True
    outputs = {id(o): i for i, o in enumerate(outs)}
    node.saved = tuple(Saved(t, outputs.get(id(t), -1)) if isinstance(t, Tensor) else t for t in ctx._to_save)
    ctx._node = node
    ctx._to_save = ()
    return type(result)(outs) if isinstance(result, (tuple, list)) else outs[0]


def once_differentiable(f: Any) -> Any:
    """backward whose own gradient is not defined."""
    @functools.wraps(f)
    def wrapper(ctx: Any, *args: Any) -> Any:
        from rushlight.tensor.state import state
        before = state.grad
        state.grad = False
        try:
            return f(ctx, *args)
        finally:
            state.grad = before
    return wrapper
