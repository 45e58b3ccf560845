"""Modules as functions of their parameters: functional_call, stack_module_state; functionalize."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from rushlight.tensor.core import Tensor


def functional_call(module: Any, parameter_and_buffer_dicts: dict[str, Tensor] | Sequence[dict[str, Tensor]],
                    args: Any = None, kwargs: dict[str, Any] | None = None, *, tie_weights: bool = True,
                    strict: bool = False) -> Any:
    """``module(*args, **kwargs)`` with the given tensors in place of its parameters and buffers, by their dotted names.

    ``tie_weights`` replaces a shared tensor under all its names; ``strict`` wants every name, and no others.
    ValueError where two dictionaries hold one name.

    >>> import rushlight as rl
    >>> functional_call(rl.nn.Linear(1, 1), {"weight": rl.ones(1, 1), "bias": rl.zeros(1)}, rl.tensor([5.]))
    tensor([5.])
    """
    from rushlight.nn.utils.stateless import _functional_call
    given = parameter_and_buffer_dicts
    if not isinstance(given, dict):
        if not isinstance(given, Sequence) or not all(isinstance(d, dict) for d in given):
            raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries"
                             if isinstance(given, Sequence) else "Expected parameter_and_buffer_dicts to be a dict, "
                             f"or a list/tuple of dicts, but got {type(given)}")
        names = [k for d in given for k in d]
        twice = {k for k in names if names.count(k) > 1}
        if twice:
            raise ValueError(f"{sorted(twice)} appeared in multiple dictionaries; "
                             "behavior of functional call is ambiguous")
        given = {k: v for d in given for k, v in d.items()}
    return _functional_call(module, dict(given), args, kwargs, tie_weights=tie_weights, strict=strict)


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(parameters, buffers) of several models of one class,
    stacked along a new first dimension, for vmap over an ensemble.

    RuntimeError where there is no model, where the classes differ, or where some train and some evaluate.
    """
    from rushlight.tensor.functions.joining import stack
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or all(not m.training for m in models)):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if not all(type(m) is type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")

    def joined(members: list[dict[str, Tensor]], parameters: bool) -> dict[str, Any]:
        out = {}
        for name in members[0]:
            rows = [m[name] for m in members]
            stacked = stack([r.detach() if parameters else r for r in rows])
            out[name] = stacked.requires_grad_(rows[0].requires_grad) if parameters else stacked
        return out
    return (joined([dict(m.named_parameters()) for m in models], True),
            joined([dict(m.named_buffers()) for m in models], False))


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """func with its writes in place (and, with remove="mutations_and_views",
    its views) turned into operations without side effects.

    rushlight records every write as an operation that returns a new value, so the function itself is that function.
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError("functionalize(f, remove=...): "
                           f"Expected one of remove=mutations or remove=mutations_and_views, got {remove}")

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)
    return wrapper
