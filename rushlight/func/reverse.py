"""Gradients as functions of functions: grad, grad_and_value, vjp, jacrev, hessian (torch.func)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rushlight.func.levels import Scope, chosen, flatten, gradients, replaced, tensors_only, unflatten
from rushlight.tensor.core import Tensor
from rushlight.tensor.state import state


def split_aux(result: Any, has_aux: bool, api: str) -> tuple[Any, Any]:
    """The output of a function and what it returns beside it."""
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(f"{api}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return result


def grad_and_value(func: Callable[..., Any], argnums: int | tuple[int, ...] = 0,
                   has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns (gradient, value) of a scalar function; with has_aux, (gradient, (value, aux)).

    The gradient is that of the arguments ``argnums``, in their nested structure.
    RuntimeError where func does not return a scalar tensor.

    >>> import rushlight as rl
    >>> grad_and_value(lambda x: x ** 2)(rl.tensor(3.))
    (tensor(6.), tensor(9.))
    """
    api = "grad_and_value(f)(*args)"

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with Scope() as scope:
            mine = scope.own_inputs(chosen(args, argnums))
            output, aux = split_aux(func(*replaced(args, argnums, mine), **kwargs), has_aux, api)
            if not isinstance(output, Tensor):
                raise RuntimeError(f"{api}: Expected f(*args) to return a tensor, got {type(output)}")
            if output._spec.shape:
                raise RuntimeError(f"{api}: Expected f(*args) to return a scalar tensor, "
                                   f"got tensor with {len(output._spec.shape)} dims. "
                                   "Maybe you wanted to use the vjp or jacrev APIs instead?")
            leaves, structure = tensors_only(mine, api, "the arguments to differentiate")
            from rushlight.tensor.creation import ones_like
            found = gradients([output], leaves, [ones_like(output.detach())], scope.needed_outside(output))
            result = scope.finished(unflatten(found, structure))
            value = scope.finished(output)
        return (result, (value, scope.finished(aux))) if has_aux else (result, value)
    return wrapper


def grad(func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of a scalar function; with has_aux, (gradient, aux).

    >>> import rushlight as rl
    >>> grad(grad(lambda x: x ** 3))(rl.tensor(2.))
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result, value = both(*args, **kwargs)
        return (result, value[1]) if has_aux else result
    return wrapper


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(output, vjp_fn), or (output, vjp_fn, aux): vjp_fn(cotangents) is
    the product of the cotangents with the Jacobian.

    vjp_fn returns one result for one primal, else a tuple; it may be called again and under vmap.

    >>> import rushlight as rl
    >>> output, pull = vjp(rl.sin, rl.zeros(2))
    >>> pull(rl.tensor([1., 2.]))
    (tensor([1., 2.]),)
    """
    with Scope() as scope:
        mine = scope.own_inputs(primals)
        output, aux = split_aux(func(*mine), has_aux, "vjp(f, *primals)")
        outs, out_structure = tensors_only(output, "vjp(f, *primals)", "f(*primals)")
        leaves, structure = tensors_only(mine, "vjp(f, *primals)", "the primals")
        linked = scope.needed_outside(*outs)
        result = scope.finished(output)

    def vjp_fn(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        weights, given = flatten(cotangents)
        if given != out_structure:
            raise RuntimeError("Expected pytree structure of cotangents to be the same as pytree structure of "
                               f"outputs to the function. cotangents: {given}, primal output: {out_structure}")
        create = (state.grad and (linked
                                  or any(w.requires_grad for w in weights))) if create_graph is None else create_graph
        found = unflatten(gradients(outs, leaves, weights, create, retain_graph), structure)
        return found if create else scope.finished(found)
    return (result, vjp_fn, scope.finished(aux)) if has_aux else (result, vjp_fn)


def basis(outs: list[Tensor]) -> list[Tensor]:
    """For each tensor, the rows of an identity over all elements of all of them: (elements, *shape)."""
    from rushlight.tensor.creation import zeros
    total = sum(o._spec.numel for o in outs)
    rows, start = [], 0
    for o in outs:
        n = o._spec.numel
        flat = zeros(total, n, dtype=o._spec.dtype)
        if n:
            flat[start:start + n].fill_diagonal_(1)
        rows.append(flat.reshape(total, *o._spec.shape))
        start += n
    return rows


def jacrev(func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False,
           chunk_size: int | None = None, _preallocate_and_copy: bool = False) -> Callable[..., Any]:
    """A function that returns the Jacobian of func by the arguments ``argnums``:
    one backward pass per output element, under vmap.

    The result has the structure of the output with the structure of the
    arguments within: tensors of shape (output, input).
    ``chunk_size`` limits how many rows are computed at once.

    >>> import rushlight as rl
    >>> jacrev(lambda x: x * x)(rl.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from rushlight.func.vectorize import vmap
        which = chosen(args, argnums)

        def of(x: Any) -> Any:
            return func(*replaced(args, argnums, x), **kwargs)
        output, pull, *aux = vjp(of, which, has_aux=has_aux)
        outs, out_structure = tensors_only(output, "jacrev(f, *args)", "f(*args)")
        rows = basis(outs)

        def one(*cotangents: Any) -> Any:
            return pull(unflatten(list(cotangents), out_structure))[0]
        found, structure = flatten(vmap(one, chunk_size=chunk_size)(*rows))
        parts: list[Any] = []
        start = 0
        for o in outs:
            n = o._spec.numel
            parts.append(unflatten(
                [j[start:start + n].reshape(*o._spec.shape, *j._spec.shape[1:]) for j in found], structure))
            start += n
        result = unflatten(parts, out_structure)
        return (result, aux[0]) if has_aux else result
    return wrapper


def hessian(func: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """A function that returns the second derivatives of func: the Jacobian of its Jacobian.

    >>> import rushlight as rl
    >>> hessian(lambda x: x.prod())(rl.tensor([2., 3.]))
    tensor([[0., 1.],
            [1., 0.]])
    """
    return jacrev(jacrev(func, argnums), argnums)
