"""backward and grad."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from rushlight.autograd import engine, grad_mode


def _start(output: Any) -> Any:
    """The gradient that a pass from a number starts with."""
    global _apply, _full
    if _apply is None:
        from rushlight.ops.table import TABLE
        from rushlight.tensor.core import apply
        _apply, _full = apply, TABLE["full"]
    return _apply(_full, (1.0,), (output._spec.shape, output._spec.dtype))


_apply: Any = None  # what stands above this package is found at the first use
_full: Any = None


def _roots(outputs: Any, grads: Any) -> list[Any]:
    if grads is None and getattr(outputs, "_grad_fn", None) is not None and outputs._base is None:
        if outputs._spec.numel == 1 and outputs._spec.dtype.kind == "f":
            return [(outputs._grad_fn, outputs._out, _start(outputs))]
    from rushlight.tensor import creation
    from rushlight.tensor.core import Tensor, gradient_edge
    outs = [outputs] if isinstance(outputs, (Tensor, *edge_types())) else list(outputs)
    given = [None] * len(outs) if grads is None else [grads] if isinstance(grads, Tensor) else list(grads)
    roots = []
    for o, g in zip(outs, given):
        if not isinstance(o, Tensor):
            s = o.node.specs[o.output_nr]
            if g is None:
                if s.numel != 1:
                    raise RuntimeError("grad can be implicitly created only for scalar outputs. "
                                       f"The output has shape {list(s.shape)}; pass a gradient.")
                g = creation.ones(s.shape, dtype=s.dtype)
            roots.append((o.node, o.output_nr, g))
            continue
        edge = gradient_edge(o) if o.grad_fn is not None or o.requires_grad else None
        if edge is None:
            raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn. It was "
                               "computed from nothing that requires grad, after a .detach(), or under torch.no_grad().")
        if g is None:
            if o._spec.numel != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs. The output has shape "
                                   f"{list(o._spec.shape)}; reduce it, for example with .sum(), or pass a gradient.")
            if o._spec.dtype.is_complex:
                raise RuntimeError("grad can be implicitly created only for real scalar outputs "
                                   f"but got {o.dtype}; pass a gradient.")
            g = _start(o)
        elif g._spec.shape != o._spec.shape:
            raise RuntimeError("Mismatch in shape: "
                               f"grad_output[0] has a shape of {g.shape} and output[0] has a shape of {o.shape}.")
        roots.append((*edge, g))
    return roots


def edge_types() -> tuple[Any, ...]:
    """GradientEdge, where it may be in use."""
    tools = sys.modules.get("rushlight.autograd.graph_tools")
    return (tools.GradientEdge,) if tools is not None else ()


def _place(x: Any) -> tuple[Any, int]:
    """The place in the graph that a tensor or a GradientEdge names; none for views through which no gradient flows."""
    from rushlight.tensor.core import Tensor, gradient_edge
    if not isinstance(x, Tensor):
        return x.node, x.output_nr
    assert x.grad_fn is not None or x.requires_grad  # grad_fn: the history as it is now
    return gradient_edge(x) or (None, 0)


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
             grad_variables: Any = None, inputs: Any = None) -> None:
    """Accumulate the gradients of tensors (weighted by grad_tensors) into the leaves' ``grad``.

    `grad_variables` is the old name of `grad_tensors`: RuntimeError where both are given.
    """
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError("`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. "
                               "Please only use `grad_tensors`.")
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        grad_tensors = grad_variables
    spread = sys.modules.get("rushlight.distributed.tensor.gradients")
    if spread is not None and spread.among(tensors, inputs):  # DTensors: their pieces
        return backward(spread.local(tensors), spread.local_gradients(tensors, grad_tensors), retain_graph,
                        create_graph, None, spread.local(inputs))
    keep = create_graph if retain_graph is None else retain_graph
    roots = _roots(tensors, grad_tensors)
    state = grad_mode._state()
    if inputs is None:
        engine.run(roots, keep, create_graph, None, state)
        return
    from rushlight.tensor.core import Tensor, accumulate
    leaves = [inputs] if isinstance(inputs, (Tensor, *edge_types())) else list(inputs)
    if not leaves:
        raise RuntimeError("'inputs' argument to backward() cannot be empty.")
    leaves = [x if isinstance(x, Tensor) else x.node.variable for x in leaves]
    places = [_place(x) for x in leaves]
    found = engine.run(roots, keep, create_graph, {(id(f), n): True for f, n in places}, state)
    before = state.grad
    state.grad = create_graph
    try:
        for x, (f, n) in zip(leaves, places):
            if (id(f), n) in found:
                accumulate(x, found[id(f), n])
    finally:
        state.grad = before


def grad(outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None,
         create_graph: bool = False, only_inputs: bool = True, allow_unused: bool | None = None,
         is_grads_batched: bool = False, materialize_grads: bool = False) -> tuple[Any, ...]:
    """The gradients of outputs (weighted by grad_outputs) with respect to inputs, as a tuple.

    >>> import rushlight as rl
    >>> x = rl.tensor(3., requires_grad=True)
    >>> rl.autograd.grad(x * x, x)
    (tensor(6.),)
    """
    from rushlight.tensor import creation
    from rushlight.tensor.core import Tensor, zeros
    from rushlight.tensor.formats import strided
    from rushlight.tensor.state import state
    spread = sys.modules.get("rushlight.distributed.tensor.gradients")
    if spread is not None and spread.among(outputs, inputs):  # DTensors: their pieces
        found = grad(spread.local(outputs), spread.local(inputs), spread.local_gradients(outputs, grad_outputs),
                     retain_graph, create_graph, only_inputs, allow_unused, is_grads_batched, materialize_grads)
        return spread.distributed(inputs, found)  # type: ignore[no-any-return]
    if is_grads_batched:
        return _batched(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads)
    if allow_unused is None:
        allow_unused = materialize_grads
    elif not allow_unused and materialize_grads:
        raise ValueError("Expected allow_unused to be True or not passed when "
                         "materialize_grads=True, but got: allow_unused=False.")
    wanted = [inputs] if isinstance(inputs, (Tensor, *edge_types())) else list(inputs)
    keep = create_graph if retain_graph is None else retain_graph
    for x in wanted:
        if isinstance(x, Tensor) and not x.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    places = [_place(x) for x in wanted]
    found = engine.run(_roots(outputs, grad_outputs), keep, create_graph, {(id(f), n): True for f, n in places}, state)
    results = []
    for x, (f, n) in zip(wanted, places):
        g = found.get((id(f), n))
        if g is None:
            if not allow_unused:
                raise RuntimeError("One of the differentiated Tensors appears to not have been used in the graph. "
                                   "Set allow_unused=True if this is the desired behavior.")
            g = (creation.zeros_like(x) if isinstance(x, Tensor)
                 else zeros(x.node.specs[x.output_nr])) if materialize_grads else None
        results.append(x.with_values(g) if g is not None and isinstance(x, Tensor) and x.layout is not strided
                       and g.layout is strided else g)
    return tuple(results)


def _batched(outputs: Any, inputs: Any, grad_outputs: Any, retain_graph: Any, create_graph: bool, allow_unused: Any,
             materialize: bool) -> tuple[Any, ...]:
    """`grad` for many weights at once: the first dimension of grad_outputs counts them."""
    from rushlight.func.vectorize import vmap
    from rushlight.tensor.core import Tensor
    given = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    missing: list[bool] = []

    def one(*weights: Any) -> Any:
        it = iter(weights)
        found = grad(outputs, inputs, [None if g is None else next(it) for g in given], retain_graph, create_graph,
                     True, allow_unused, False, materialize)
        missing[:] = [g is None for g in found]
        return tuple(g for g in found if g is not None)
    results = iter(vmap(one)(*[g for g in given if g is not None]))
    return tuple(None if gone else next(results) for gone in missing)
