"""Backward hooks of modules: identity nodes around a module that see the gradients pass."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import rushlight as rl
from rushlight.tensor.core import Tensor


@functools.cache
def _relay_function() -> Any:
    """The identity whose backward hands the gradients to a callback and passes on what it returns."""
    from rushlight.autograd import Function

    class BackwardHookFunction(Function):
        @staticmethod
        def forward(ctx: Any, callback: Any, *tensors: Any) -> Any:
            ctx.callback = callback
            ctx.set_materialize_grads(False)
            return tuple(tensor.view_as(tensor) for tensor in tensors)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return (None, *ctx.callback(grads))

    return BackwardHookFunction


def _relay(values: tuple[Any, ...], callback: Callable[..., Any]) -> tuple[tuple[Any, ...], list[int]]:
    """Sends the tensors among ``values`` that need a gradient through an identity; also tells where they are."""
    where = [i for i, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad]
    if not where or not rl.is_grad_enabled():
        return values, []
    passed = _relay_function().apply(callback, *[values[i] for i in where])
    result = list(values)
    for i, tensor in zip(where, passed if isinstance(passed, tuple) else (passed,)):
        result[i] = tensor
    return type(values)(*result) if hasattr(values, "_fields") else type(values)(result), where


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


class BackwardHook:
    """Wires one call of a module: the output node stores ``grad_output``, the input node runs the hooks."""

    def __init__(self, module: Any, user_hooks: list[Callable[..., Any]],
                 user_pre_hooks: list[Callable[..., Any]]) -> None:
        self.module, self.user_hooks, self.user_pre_hooks = module, user_hooks, user_pre_hooks
        self.grad_outputs: tuple[Any, ...] | None = None
        self.input_places: list[int] = []
        self.output_places: list[int] = []
        self.n_inputs = self.n_outputs = 0

    def setup_input_hook(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.n_inputs = len(args)
        args, self.input_places = _relay(args, self._on_grad_inputs)
        return args

    def setup_output_hook(self, result: Any) -> Any:
        single = isinstance(result, Tensor)
        values = (result,) if single else result
        if not isinstance(values, tuple):
            return result
        self.n_outputs = len(values)
        values, self.output_places = _relay(values, self._on_grad_outputs)
        return values[0] if single else values

    @staticmethod
    def _spread(places: list[int], count: int, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        full = [None] * count
        for place, grad in zip(places, grads):
            full[place] = grad
        return tuple(full)

    @staticmethod
    def _replaced(kind: str, new: Any, old: tuple[Any, ...]) -> tuple[Any, ...]:
        new = _as_tuple(new)
        if len(new) != len(old):
            raise RuntimeError(
                f"Backward {kind} returned an invalid number of grad_{'output' if 'pre' in kind else 'input'}, "
                f"got {len(new)}, but expected {len(old)}"
            )
        return new

    def _on_grad_outputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        outputs = self._spread(self.output_places, self.n_outputs, grads)
        for hook in self.user_pre_hooks:
            changed = hook(self.module, outputs)
            if changed is not None:
                outputs = self._replaced("pre hook", changed, outputs)
        self.grad_outputs = outputs
        if not self.input_places:
            # No input needs a gradient, so no input node will fire: the hooks run here.
            none = (None,) * self.n_inputs
            for hook in self.user_hooks:
                changed = hook(self.module, none, outputs)
                if changed is not None and any(grad is not None for grad in _as_tuple(changed)):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return None "
                        "or None for all gradients."
                    )
            self.grad_outputs = None
        return tuple(outputs[i] for i in self.output_places)

    def _on_grad_inputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.grad_outputs is None:
            raise RuntimeError(
                "Module backward hook for grad_input is called before the grad_output one. This happens because the "
                "gradient in your nn.Module flows to the Module's input without passing through the Module's output. "
                "Make sure that the output depends on the input and that the loss is computed based on the output."
            )
        inputs = self._spread(self.input_places, self.n_inputs, grads)
        for hook in self.user_hooks:
            changed = hook(self.module, inputs, self.grad_outputs)
            if changed is not None:
                inputs = self._replaced("hook", changed, inputs)
        self.grad_outputs = None
        return tuple(inputs[i] for i in self.input_places)


def _first_tensor(value: Any) -> Tensor:
    while not isinstance(value, Tensor):
        value = next(v for v in value.values() if isinstance(v, Tensor)) if isinstance(value, dict) else value[0]
    return value


_MISSING = "and will be removed in future versions. This hook will be missing some"
_USE_FULL = "Please use register_full_backward_hook to get the documented behavior."


def _partial_warning(args: Any, result: Any, grad_fn: Any) -> str | None:
    """What a deprecated backward hook will not see, in PyTorch's words; None if it sees everything."""
    outputs, inputs = _as_tuple(result), _as_tuple(args)
    if not all(isinstance(value, Tensor) for value in outputs):
        return (
            "Using non-full backward hooks on a Module that does not return a single Tensor or a tuple of Tensors "
            f"is deprecated {_MISSING} of the grad_output. {_USE_FULL}"
        )
    if not all(isinstance(value, Tensor) for value in inputs):
        return (
            "Using non-full backward hooks on a Module that does not take as input a single Tensor or a tuple of "
            f"Tensors is deprecated {_MISSING} of the grad_input. {_USE_FULL}"
        )
    makers = {value.grad_fn for value in outputs if value.grad_fn is not None}
    if not makers or (len(makers) == 1 and grad_fn not in makers):
        return (
            "Using a non-full backward hook when outputs are nested in python data structure "
            f"is deprecated {_MISSING} grad_output."
        )
    if len(makers) > 1:
        return (
            "Using a non-full backward hook when outputs are generated by different autograd Nodes "
            f"is deprecated {_MISSING} grad_output. {_USE_FULL}"
        )
    if {value.grad_fn for value in inputs if value.grad_fn is not None} != {n[0] for n in grad_fn.next_functions}:
        return (
            "Using a non-full backward hook when the forward contains multiple autograd Nodes "
            f"is deprecated {_MISSING} grad_input. {_USE_FULL}"
        )
    return None


def attach_grad_fn_hooks(hooks: list[Callable[..., Any]], args: Any, result: Any) -> None:
    """Registers deprecated backward hooks on the node that made ``result``."""
    grad_fn = _first_tensor(result).grad_fn
    if grad_fn is None:
        return
    for hook in hooks:
        grad_fn.register_hook(hook)
    message = _partial_warning(args, result, grad_fn)
    if message:
        warnings.warn(message, FutureWarning, stacklevel=5)
