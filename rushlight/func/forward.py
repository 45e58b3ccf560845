"""Derivatives along a direction: jvp, jacfwd, linearize.

The product of the Jacobian with a tangent comes from two backward passes: v -> J^T v is linear in v, so its own
gradient by v with the tangent as weight is J t. This is exact, and needs no second set of rules; it costs about as much
as a second derivative and needs rules whose gradients have gradients.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rushlight.func.levels import Scope, chosen, flatten, gradients, replaced, tensors_only, unflatten, zeros_for
from rushlight.func.reverse import basis, split_aux
from rushlight.tensor.core import Tensor
from rushlight.tensor.state import state


class Linear:
    """The linear map t -> J t of outputs by inputs, as a recorded graph."""

    def __init__(self, outs: list[Any], inputs: list[Any]):
        from rushlight.autograd.api import grad
        self.outs = outs
        live = [o for o in outs if o.requires_grad]
        self.weights = {id(o): zeros_for(o).requires_grad_() for o in live}
        if live:
            pulled = grad(live, inputs, [self.weights[id(o)] for o in live], retain_graph=True,
                          create_graph=True, allow_unused=True)
        else:
            pulled = (None,) * len(inputs)
        self.pulled = [(i, g) for i, g in enumerate(pulled) if g is not None and g.requires_grad]

    def __call__(self, tangents: list[Any], create_graph: bool) -> list[Any]:
        """J t for each output, None where it depends on no input."""
        from rushlight.autograd.api import grad
        weights = list(self.weights.values())
        if not self.pulled or not weights:
            return [None] * len(self.outs)
        found = dict(zip(self.weights, grad([g for _, g in self.pulled], weights, [tangents[i] for i, _ in self.pulled],
                                            retain_graph=True, create_graph=create_graph, allow_unused=True)))
        return [found.get(id(o)) for o in self.outs]


def check_tangents(primals: Any, tangents: Any) -> None:
    """RuntimeError where tangents do not fit the primals."""
    (xs, a), (ts, b) = flatten(primals), flatten(tangents)
    if a != b:
        raise RuntimeError("jvp(f, primals, tangents): Expected primals and tangents to have the same python "
                           "structure. For example, if primals is a tuple of 3 tensors, tangents also must be. "
                           f"Got primals with structure {a} and tangents with structure {b}")
    for i, (x, t) in enumerate(zip(xs, ts)):
        if isinstance(x, Tensor) and isinstance(t, Tensor) and x._spec.shape != t._spec.shape:
            raise RuntimeError(f"jvp(f, primals, tangents): tangent {i} has the shape {list(t._spec.shape)}, "
                               f"its primal {list(x._spec.shape)}")


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """(output, J t), or (output, J t, aux): the derivative of func at the primals along the tangents.

    ``strict`` raises RuntimeError where an output does not depend on the primals (otherwise its derivative is zeros).

    >>> import rushlight as rl
    >>> jvp(lambda x: x * x, (rl.tensor(3.),), (rl.tensor(1.),))
    (tensor(9.), tensor(6.))
    """
    if not isinstance(primals, tuple):
        raise RuntimeError("jvp(f, primals, tangents): Expected primals to be a tuple. E.g. "
                           f"it should be valid to call f(*primals). Got {type(primals)}")
    if not primals:
        raise RuntimeError("jvp(f, primals, tangents): Expected primals to be non-empty")
    check_tangents(primals, tangents)
    with Scope() as scope:
        mine = scope.own_inputs(primals)
        output, aux = split_aux(func(*mine), has_aux, "jvp(f, primals, tangents)")
        outs, structure = tensors_only(output, "jvp(f, primals, tangents)", "f(*primals)")
        leaves, _ = tensors_only(mine, "jvp(f, primals, tangents)", "the primals")
        weights = flatten(tangents)[0]
        create = scope.needed_outside(*outs, *weights)
        found = Linear(outs, leaves)(weights, create)
        if strict and any(t is None for t in found):
            raise RuntimeError("jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. "
                               "This is not allowed with strict=True.")
        pushed = [_zeros(o) if t is None else t for o, t in zip(outs, found)]
        pushed = [t if create else t.detach() for t in pushed]
        result = scope.finished(output)
        aux = scope.finished(aux) if has_aux else None
    tangent = unflatten(pushed, structure)
    return (result, tangent, aux) if has_aux else (result, tangent)


def _zeros(o: Tensor) -> Tensor:
    return zeros_for(o)


def jacfwd(func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False, *,
           randomness: str = "error") -> Callable[..., Any]:
    """A function that returns the Jacobian of func by the arguments ``argnums``:
    one derivative per input element, under vmap.

    >>> import rushlight as rl
    >>> jacfwd(lambda x: x.sum() * x)(rl.tensor([1., 2.]))
    tensor([[4., 1.],
            [2., 5.]])
    """
    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from rushlight.func.vectorize import vmap
        which = chosen(args, argnums)
        xs, in_structure = tensors_only(which, "jacfwd(f, *args)", "the arguments to differentiate")

        def of(x: Any) -> Any:
            return func(*replaced(args, argnums, x), **kwargs)

        def push(*rows: Any) -> Any:
            found = jvp(of, (which,), (unflatten(list(rows), in_structure),), has_aux=has_aux)
            return (found[1], found[2]) if has_aux else found[1]
        aux_dims: Any = (0, None) if has_aux else 0
        result = vmap(push, randomness=randomness, out_dims=aux_dims)(*basis(xs))
        result, aux = result if has_aux else (result, None)
        columns, out_structure = flatten(result)
        parts = [unflatten(_split(c, xs), in_structure) for c in columns]
        jacobian = unflatten(parts, out_structure)
        return (jacobian, aux) if has_aux else jacobian
    return wrapper


def _split(columns: Tensor, xs: list[Tensor]) -> list[Tensor]:
    """(elements of all inputs, output…) as one (output…, input…) per input."""
    parts, start = [], 0
    moved = columns.movedim(0, -1)
    for x in xs:
        n = x._spec.numel
        parts.append(moved[..., start:start + n].reshape(*columns._spec.shape[1:], *x._spec.shape))
        start += n
    return parts


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """(output, t -> J t): the function is run once, its derivative may be applied to many tangents.

    >>> import rushlight as rl
    >>> output, push = linearize(rl.sin, rl.zeros(2))
    >>> push(rl.tensor([1., 2.]))
    tensor([1., 2.])
    """
    with Scope() as scope:
        mine = scope.own_inputs(primals)
        output = func(*mine)
        outs, structure = tensors_only(output, "linearize(f, *primals)", "f(*primals)")
        leaves, in_structure = tensors_only(mine, "linearize(f, *primals)", "the primals")
        linked = scope.needed_outside(*outs)
        linear = Linear(outs, leaves)
        result = scope.finished(output)

    def jvp_fn(*tangents: Any) -> Any:
        weights, given = flatten(tangents)
        if given != in_structure:
            raise RuntimeError("linearize(f, *primals): "
                               f"Expected the tangents {given} to be structured as the primals {in_structure}")
        create = state.grad and (linked or any(w.requires_grad for w in weights))
        found = [_zeros(o) if t is None else t for o, t in zip(outs, linear(weights, create))]
        return unflatten([t if create else t.detach() for t in found], structure)
    return result, jvp_fn


__all__ = ["Linear", "gradients", "jacfwd", "jvp", "linearize"]
