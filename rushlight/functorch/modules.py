"""Modules as functions of their parameters, in functorch's form: tuples of tensors beside a function."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from rushlight.tensor.core import Tensor


class FunctionalModule:
    """A module without parameters of its own: ``f(params, *args)``. ``f.stateless_model`` is the module behind it."""

    def __init__(self, stateless_model: Any, param_names: tuple[str, ...],
                 names_map: dict[str, list[str]] | None = None) -> None:
        self.stateless_model, self.param_names = stateless_model, param_names

    def forward(self, params: Sequence[Tensor], *args: Any, **kwargs: Any) -> Any:
        """The module's output with these parameters."""
        return _run(self.stateless_model, dict(zip(self.param_names, params)), args, kwargs)

    __call__ = forward


class FunctionalModuleWithBuffers:
    """A module without parameters and buffers of its own: ``f(params, buffers, *args)``."""

    def __init__(self, stateless_model: Any, param_names: tuple[str, ...], buffer_names: tuple[str, ...]) -> None:
        self.stateless_model, self.param_names, self.buffer_names = stateless_model, param_names, buffer_names

    def forward(self, params: Sequence[Tensor], buffers: Sequence[Tensor], *args: Any, **kwargs: Any) -> Any:
        """The module's output with these parameters and buffers."""
        given = {**dict(zip(self.param_names, params)), **dict(zip(self.buffer_names, buffers))}
        return _run(self.stateless_model, given, args, kwargs)

    __call__ = forward


def _run(module: Any, given: dict[str, Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from rushlight.func.modules import functional_call
    return functional_call(module, given, args, kwargs)


def _own(t: Tensor, constant: bool) -> Tensor:
    return t.detach().clone().requires_grad_(t.requires_grad and not constant)  # type: ignore[no-any-return]


def make_functional(model: Any, disable_autograd_tracking: bool = False) -> tuple[FunctionalModule, tuple[Tensor, ...]]:
    """(function, parameters) of a module without buffers, whose parameters
    are copied. RuntimeError where it has buffers.

    >>> import rushlight as rl
    >>> f, params = make_functional(rl.nn.Linear(2, 1))
    >>> f(tuple(rl.zeros_like(p) for p in params), rl.ones(2))
    tensor([0.])
    """
    if any(True for _ in model.buffers()):
        raise RuntimeError("make_functional(model): `model` has buffers. "
                           "Please use make_functional_with_buffers(model) instead.")
    names = tuple(n for n, _ in model.named_parameters())
    params = tuple(_own(p, disable_autograd_tracking) for p in model.parameters())
    return FunctionalModule(_stateless(model), names), params


def make_functional_with_buffers(model: Any, disable_autograd_tracking: bool = False) -> tuple[
        FunctionalModuleWithBuffers, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """(function, parameters, buffers) of a module, all of them copies."""
    params, buffers = tuple(n for n, _ in model.named_parameters()), tuple(n for n, _ in model.named_buffers())
    f = FunctionalModuleWithBuffers(_stateless(model), params, buffers)
    return f, tuple(_own(p, disable_autograd_tracking)
                    for p in model.parameters()), tuple(b.detach().clone() for b in model.buffers())


def _stateless(model: Any) -> Any:
    return copy.deepcopy(model)


def combine_state_for_ensemble(models: Sequence[Any]) -> tuple[FunctionalModuleWithBuffers, tuple[Tensor, ...],
                                                               tuple[Tensor, ...]]:
    """One function for several modules of a class, and their parameters and buffers stacked, for vmap.

    RuntimeError where there is no model, where classes differ, or where some train and some evaluate.
    """
    if not models:
        raise RuntimeError("combine_state_for_ensemble: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or not any(m.training for m in models)):
        raise RuntimeError("combine_state_for_ensemble: Expected all models to have the same training/eval mode.")
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("combine_state_for_ensemble: Expected all models to be of the same class.")
    from rushlight.tensor.functions.joining import stack
    made = [make_functional_with_buffers(m) for m in models]
    return made[0][0], tuple(map(stack,
                                 zip(*[p for _, p, _ in made]))), tuple(map(stack, zip(*[b for _, _, b in made])))
