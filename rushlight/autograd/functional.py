"""Jacobians, Hessians and their products with vectors (torch.autograd.functional)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.autograd.api import grad
from rushlight.autograd.grad_mode import enable_grad

Tensors = Any  # a tensor or a tuple of tensors
NOT_CONNECTED = ("Output {} of the user-provided function is independent of input {}. "
                 "This is not allowed in strict mode.")


# --- what the functions share -------------------------------------------------------------------------------------
def _as_tuple(given: Any, argument: str, function: str) -> tuple[bool, tuple[Any, ...]]:
    """Whether a tuple was given, and the tensors as a tuple; TypeError for anything else."""
    from rushlight.tensor.core import Tensor
    many = isinstance(given, tuple)
    values = given if many else (given,)
    for i, x in enumerate(values):
        if not isinstance(x, Tensor):
            raise TypeError(f"The {argument} given to {function} must be either a Tensor or a tuple "
                            "of Tensors but the " + (f"value at index {i} has type {type(x)}." if many else
                                                      f"given {argument} has type {type(x)}."))
    return many, values


def _own(inputs: tuple[Any, ...], create_graph: bool) -> tuple[Any, ...]:
    """Inputs to differentiate by: linked to the caller's where the result must
    be differentiable, else leaves of their own."""
    if not create_graph:
        return tuple(x.detach().requires_grad_() for x in inputs)
    return tuple(x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in inputs)


def _released(nest: Any, create_graph: bool) -> Any:
    """Results without history, unless it was asked for."""
    if isinstance(nest, tuple):
        return tuple(_released(x, create_graph) for x in nest)
    return nest if create_graph else nest.detach()


def _one(values: tuple[Any, ...], many: bool) -> Any:
    return values if many else values[0]


def _call(func: Callable[..., Any], inputs: tuple[Any, ...], function: str) -> tuple[bool, tuple[Any, ...]]:
    return _as_tuple(func(*inputs), "outputs of the user-provided function", function)


def _scalar(func: Callable[..., Any], inputs: tuple[Any, ...], function: str) -> Any:
    """The function's only output, of one element; RuntimeError for anything else."""
    many, outs = _call(func, inputs, function)
    if many:
        raise RuntimeError(f"The function given to {function} should return a single Tensor")
    if outs[0].numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {function} should contain a single element")
    return outs[0].squeeze()


def _vectors(v: Any, like: tuple[Any, ...], many: bool, argument: str, function: str) -> tuple[Any, ...]:
    """The vector(s) v in the shapes of tensors; None stands for the number one."""
    from rushlight.tensor.creation import ones_like
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError("The vector v can only be None if the "
                               f"{'user-provided function returns' if argument == 'outputs' else 'input to the'} "
                               f"{'' if argument == 'outputs' else 'user-provided function is '}a "
                               "single Tensor with a single element.")
        return (ones_like(like[0].detach()),)
    v_many, vs = _as_tuple(v, "v", function)
    if len(vs) != len(like):
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(vs)}." if many or v_many
                           else f"v should be one Tensor, got {len(vs)}.")
    for i, (a, x) in enumerate(zip(vs, like)):
        if a.shape != x.shape:
            raise RuntimeError(f"v has invalid size: should be {x.shape} but got {a.shape}." if not many else
                               f"Entry {i} in v has invalid size: should be {x.shape} but got {a.shape}.")
    return tuple(vs)


def _pull(outs: tuple[Any, ...], inputs: tuple[Any, ...], weights: tuple[Any, ...] | None, create_graph: bool,
          strict: bool, what: str = "") -> tuple[Any, ...]:
    """Gradients, with zeros where an output does not depend on an input; in strict mode that is an error."""
    from rushlight.tensor.creation import zeros_like
    pairs = [(o, None if weights is None else weights[i]) for i, o in enumerate(outs) if o.requires_grad]
    if strict and len(pairs) < len(outs):
        first = next(i for i, o in enumerate(outs) if not o.requires_grad)
        raise RuntimeError(f"Output {first} of the user-provided function does not require gradients. The outputs "
                           "must be computed in a differentiable manner from the input when running in strict mode.")
    if not pairs:
        return tuple(zeros_like(x) for x in inputs)
    given = None if weights is None else [w for _, w in pairs]
    found = grad([o for o, _ in pairs], inputs, given, retain_graph=True, create_graph=create_graph, allow_unused=True)
    if strict and any(g is None for g in found):
        i = next(i for i, g in enumerate(found) if g is None)
        raise RuntimeError(what.format(i) if what
                           else f"The output of the user-provided function is independent of input {i}. "
                           "This is not allowed in strict mode.")
    return tuple(zeros_like(x) if g is None else g for g, x in zip(found, inputs))


def _checked_strict(results: tuple[Any, ...], create_graph: bool, strict: bool, what: str) -> None:
    """In strict mode with a graph, results must depend on the inputs themselves."""
    if strict and create_graph:
        for i, r in enumerate(results):
            if not r.requires_grad:
                raise RuntimeError(f"{what} is independent of the inputs at {i}. "
                                   "This is not allowed in strict mode when create_graph=True.")


# --- products with vectors ----------------------------------------------------------------------------------------
def vjp(func: Callable[..., Any], inputs: Tensors, v: Tensors = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Any, Any]:
    """(func(*inputs), v^T J): v has the shape of the output, the product that of the inputs.

    v may be None for an output of one element. ``create_graph`` makes both differentiable; ``strict`` raises
    RuntimeError where an output does not depend on an input (otherwise its part is zero).

    >>> import rushlight as rl
    >>> vjp(lambda x: x * x, rl.tensor([1., 2.]), rl.ones(2))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    with enable_grad():
        many, given = _as_tuple(inputs, "inputs", "vjp")
        mine = _own(given, create_graph)
        outs_many, outs = _call(func, mine, "vjp")
        weights = _vectors(v, outs, outs_many, "outputs", "vjp")
        found = _pull(outs, mine, weights, create_graph, strict)
        _checked_strict(found, create_graph, strict, "The vector-Jacobian product")
    return _released(_one(outs, outs_many), create_graph), _released(_one(found, many), create_graph)


def jvp(func: Callable[..., Any], inputs: Tensors, v: Tensors = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Any, Any]:
    """(func(*inputs), J v): v has the shape of the inputs, the product that of the output.

    J v is the gradient by w of the (in w linear) product w^T J. v may be None for an input of one element.

    >>> import rushlight as rl
    >>> jvp(lambda x: x * x, rl.tensor([1., 2.]), rl.ones(2))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    with enable_grad():
        many, given = _as_tuple(inputs, "inputs", "jvp")
        mine = _own(given, create_graph)
        vectors = _vectors(v, mine, many, "inputs", "jvp")
        outs_many, outs = _call(func, mine, "jvp")
        found = _push(outs, mine, vectors, create_graph, strict)
        _checked_strict(found, create_graph, strict, "The Jacobian-vector product")
    return _released(_one(outs, outs_many), create_graph), _released(_one(found, outs_many), create_graph)


def _push(outs: tuple[Any, ...], inputs: tuple[Any, ...], vectors: tuple[Any, ...], create_graph: bool,
          strict: bool) -> tuple[Any, ...]:
    """J v by two backward passes."""
    from rushlight.tensor.creation import zeros_like
    weights = tuple(zeros_like(o.detach()).requires_grad_() for o in outs)
    pulled = _pull(outs, inputs, weights, True, strict)
    return _pull(pulled, weights, vectors, create_graph, False)


def vhp(func: Callable[..., Any], inputs: Tensors, v: Tensors = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Any, Any]:
    """(func(*inputs), v^T H) for a function that returns one element; v and the product have the shape of the inputs.

    >>> import rushlight as rl
    >>> vhp(lambda x: (x ** 3).sum(), rl.tensor([1., 2.]), rl.ones(2))
    (tensor(9.), tensor([ 6., 12.]))
    """
    with enable_grad():
        many, given = _as_tuple(inputs, "inputs", "vhp")
        mine = _own(given, create_graph)
        vectors = _vectors(v, mine, many, "inputs", "vhp")
        out = _scalar(func, mine, "vhp")
        slope = _pull((out,), mine, None, True, strict)
        found = _pull(slope, mine, vectors, create_graph, strict,
                      "The Hessian is independent of input {}. This is not allowed in strict mode.")
        _checked_strict(found, create_graph, strict, "The vector-Hessian product")
    return _released(out, create_graph), _released(_one(found, many), create_graph)


def hvp(func: Callable[..., Any], inputs: Tensors, v: Tensors = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Any, Any]:
    """(func(*inputs), H v) for a function that returns one element: the derivative of the gradient along v.

    >>> import rushlight as rl
    >>> hvp(lambda x: (x ** 3).sum(), rl.tensor([1., 2.]), rl.ones(2))
    (tensor(9.), tensor([ 6., 12.]))
    """
    with enable_grad():
        many, given = _as_tuple(inputs, "inputs", "hvp")
        mine = _own(given, create_graph)
        vectors = _vectors(v, mine, many, "inputs", "hvp")
        out = _scalar(func, mine, "hvp")
        slope = _pull((out,), mine, None, True, strict)
        if strict and not all(s.requires_grad for s in slope):
            raise RuntimeError("The gradient of the user-provided function does not depend on the inputs "
                               "(the Hessian is zero). This is not allowed in strict mode.")
        found = _push(slope, mine, vectors, create_graph, False)
        _checked_strict(found, create_graph, strict, "The Hessian-vector product")
    return _released(out, create_graph), _released(_one(found, many), create_graph)


# --- whole matrices -----------------------------------------------------------------------------------------------
def jacobian(func: Callable[..., Any], inputs: Tensors, create_graph: bool = False, strict: bool = False,
             vectorize: bool = False, strategy: str = "reverse-mode") -> Any:
    """The Jacobian of func at the inputs: shape (output, input), nested over tuples of outputs, then of inputs.

    ``vectorize`` computes all rows at once under vmap, else one backward pass per element of the output.
    ``strategy="forward-mode"`` goes by columns; it wants ``vectorize=True`` and no graph. ``strict`` as in `vjp`.

    >>> import rushlight as rl
    >>> jacobian(lambda x: x * x, rl.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode". '
                             'Hint: If your function has more outputs than inputs, '
                             '"forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".')
    if strategy == "forward-mode":
        if create_graph:
            raise NotImplementedError('torch.autograd.functional.jacobian: `create_graph=True` and '
                                      '`strategy="forward-mode"` are not supported together (yet). '
                                      'Please either set `create_graph=False` or `strategy="reverse-mode"`.')
        if strict:
            raise RuntimeError('torch.autograd.functional.jacobian: '
                               '`strict=True` and `strategy="forward-mode"` are not supported together (yet).')
        if not vectorize:
            raise NotImplementedError('Computing Jacobian using forward-AD or forward-over-reverse '
                                      'Hessian is only implemented for `vectorize=True`.')
    if strict and vectorize:
        raise RuntimeError("torch.autograd.functional.jacobian: `strict=True` and `vectorize=True` are not "
                           "supported together. Please either set `strict=False` or `vectorize=False`.")
    with enable_grad():
        many, given = _as_tuple(inputs, "inputs", "jacobian")
        if strategy == "forward-mode":
            return _by_columns(func, given, many)
        mine = _own(given, create_graph)
        outs_many, outs = _call(func, mine, "jacobian")
        rows = _rows_at_once if vectorize else _row_by_row
        parts = tuple(_one(rows(o, i, mine, create_graph, strict), many) for i, o in enumerate(outs))
    return _released(_one(parts, outs_many), create_graph)


def _row_by_row(out: Any, number: int, inputs: tuple[Any, ...], create_graph: bool, strict: bool) -> tuple[Any, ...]:
    """One backward pass per element of an output."""
    from rushlight.tensor.creation import zeros
    from rushlight.tensor.functions.joining import stack
    if strict and not out.requires_grad:
        raise RuntimeError(f"Output {number} of the user-provided function does not require gradients. The outputs "
                           "must be computed in a differentiable manner from the input when running in strict mode.")
    rows = []
    for element in out.reshape(-1).unbind():
        if strict:
            found = grad(element, inputs, retain_graph=True, create_graph=create_graph, allow_unused=True)
            for i, g in enumerate(found):
                if g is None:
                    raise RuntimeError(NOT_CONNECTED.format(number, i))
                if create_graph and not g.requires_grad:
                    raise RuntimeError(f"The jacobian of the user-provided function is independent of input {i}. "
                                       "This is not allowed in strict mode when create_graph=True.")
        else:
            found = _pull((element,), inputs, (element.detach() * 0 + 1,), create_graph, False)
        rows.append(found)
    shape = tuple(out.shape)
    if not rows:
        return tuple(zeros(*shape, *x.shape, dtype=x.dtype) for x in inputs)
    return tuple(stack(column).reshape(*shape, *x.shape) for column, x in zip(zip(*rows), inputs))


def _rows_at_once(out: Any, number: int, inputs: tuple[Any, ...], create_graph: bool, strict: bool) -> tuple[Any, ...]:
    """All backward passes of an output as one under vmap."""
    from rushlight.tensor.creation import zeros
    from rushlight.tensor.sequences import eye
    n, shape = out.numel(), tuple(out.shape)
    if not out.requires_grad or n == 0:
        return tuple(zeros(*shape, *x.shape, dtype=x.dtype) for x in inputs)
    weights = eye(n, dtype=out.dtype).reshape(n, *shape)
    found = grad(out, inputs, weights, retain_graph=True, create_graph=create_graph, allow_unused=True,
                 is_grads_batched=True)
    return tuple(zeros(*shape, *x.shape, dtype=x.dtype) if g is None else g.reshape(*shape, *x.shape)
                 for g, x in zip(found, inputs))


def _by_columns(func: Callable[..., Any], inputs: tuple[Any, ...], many: bool) -> Any:
    from rushlight.func import jacfwd
    outs_many, _ = _call(func, inputs, "jacobian")
    found = jacfwd(func, tuple(range(len(inputs))))(*(x.detach() for x in inputs))
    parts = found if outs_many else (found,)
    return _one(tuple(_one(p, many) for p in parts), outs_many)


def hessian(func: Callable[..., Any], inputs: Tensors, create_graph: bool = False, strict: bool = False,
            vectorize: bool = False, outer_jacobian_strategy: str = "reverse-mode") -> Any:
    """The second derivatives of a function that returns one element:
    shape (input, input), nested over tuples of inputs twice.

    >>> import rushlight as rl
    >>> hessian(lambda x: (x ** 3).sum(), rl.tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')
    many, given = _as_tuple(inputs, "inputs", "hessian")
    forward = outer_jacobian_strategy == "forward-mode"

    def slope(*xs: Any) -> Any:
        if forward:
            from rushlight.func import grad as gradient_of
            return gradient_of(lambda *some: _scalar(func, some, "hessian"), tuple(range(len(xs))))(*xs)
        mine = tuple(x if x.requires_grad else x.detach().requires_grad_() for x in xs)
        out = _scalar(func, mine, "hessian")
        found = _pull((out,), mine, None, True, strict)
        if strict and not all(g.requires_grad for g in found):
            i = next(i for i, g in enumerate(found) if not g.requires_grad)
            raise RuntimeError(f"The jacobian of the user-provided function with respect to input {i} is "
                               "independent of the input. This is not allowed in strict mode.")
        return found
    found = jacobian(slope, given, create_graph=create_graph, strict=strict, vectorize=vectorize,
                     strategy=outer_jacobian_strategy)
    return found if many else found[0][0]


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
