"""Hooks of modules: registering them, for one module or for all, and calling a module that has some."""

from __future__ import annotations

import functools
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from rushlight.tensor.core import Tensor
from rushlight.utils.hooks import RemovableHandle

from ._backward_hooks import BackwardHook, attach_grad_fn_hooks
from ._fields import Fields

__all__ = [
    "register_module_forward_pre_hook",
    "register_module_forward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_backward_hook",
    "register_module_full_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

MIXED = "Cannot use both regular backward hooks and full backward hooks {}. Please use only one of them."
MIXED_GLOBAL = MIXED.format("as a global Module hook")
MIXED_ON_MODULE = MIXED.format("on a single Module")

# Hooks that apply to every module, by the event they wait for.
global_forward_pre_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
global_forward_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
global_forward_hooks_with_kwargs: OrderedDict[int, bool] = OrderedDict()
global_forward_hooks_always_called: OrderedDict[int, bool] = OrderedDict()
global_backward_pre_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
global_backward_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
global_buffer_registration_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
global_module_registration_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
global_parameter_registration_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
# Whether the global backward hooks are full ones; None until the first is registered.
_global_backward_is_full: bool | None = None


def _add(
        hooks: OrderedDict[int, Any], hook: Callable[..., Any], *, prepend: bool = False,
        flags: tuple[tuple[OrderedDict[int, bool], bool], ...] = ()
) -> Any:
    """Puts a hook into its dictionary and its flags into theirs; returns the handle that removes all of them."""
    handle = RemovableHandle(hooks, extra_dict=[where for where, _ in flags])
    hooks[handle.id] = hook
    for where, wanted in flags:
        if wanted:
            where[handle.id] = True
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls ``hook(module, name, buffer)`` before any module registers a buffer; a result replaces the buffer."""
    return _add(global_buffer_registration_hooks, hook)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls ``hook(module, name, submodule)`` before any module registers a child; a result replaces the child."""
    return _add(global_module_registration_hooks, hook)


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls ``hook(module, name, param)`` before any module registers a parameter; a result replaces it."""
    return _add(global_parameter_registration_hooks, hook)


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls ``hook(module, args)`` before every module's forward; a result replaces the arguments."""
    return _add(global_forward_pre_hooks, hook)


def register_module_forward_hook(hook: Callable[..., Any], *, with_kwargs: bool = False,
                                 always_call: bool = False) -> Any:
    """Calls ``hook(module, args, output)`` after every module's forward; a result replaces the output."""
    flags = ((global_forward_hooks_with_kwargs, with_kwargs), (global_forward_hooks_always_called, always_call))
    return _add(global_forward_hooks, hook, flags=flags)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls ``hook(module, grad_output)`` before the gradient of every module is taken."""
    return _add(global_backward_pre_hooks, hook)


def _add_global_backward(hook: Callable[..., Any], full: bool) -> RemovableHandle:
    global _global_backward_is_full
    if _global_backward_is_full is (not full):
        raise RuntimeError(MIXED_GLOBAL)
    _global_backward_is_full = full
    return _add(global_backward_hooks, hook)


def register_module_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Deprecated form of :func:`register_module_full_backward_hook` that sees the last node of a module only."""
    return _add_global_backward(hook, full=False)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls ``hook(module, grad_input, grad_output)`` when the gradient of any module's inputs is known."""
    return _add_global_backward(hook, full=True)


class WrappedHook:
    """A hook that receives its module first, without keeping the module alive."""

    def __init__(self, hook: Callable[..., Any], module: Any = None) -> None:
        self.hook = hook
        functools.update_wrapper(self, hook)
        self.with_module = module is not None
        if self.with_module:
            self.module = weakref.ref(module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.with_module:
            return self.hook(*args, **kwargs)
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        state = {"hook": self.hook, "with_module": self.with_module}
        if self.with_module:
            state["module"] = self.module()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.hook = state["hook"]
        self.with_module = state["with_module"]
        if self.with_module:
            if state["module"] is None:
                raise RuntimeError("You are trying to revive the hook of a dead Module!")
            self.module = weakref.ref(state["module"])


class HookMethods(Fields):
    """The ``register_…_hook`` methods of Module."""

    def register_forward_pre_hook(self, hook: Callable[..., Any], *, prepend: bool = False,
                                  with_kwargs: bool = False) -> Any:
        """Calls ``hook(module, args)`` before forward; a result replaces the arguments.

        With ``with_kwargs`` the hook also receives ``kwargs`` and returns None or ``(args, kwargs)``.
        """
        flags = ((self._forward_pre_hooks_with_kwargs, with_kwargs),)
        return _add(self._forward_pre_hooks, hook, prepend=prepend, flags=flags)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> Any:
        """Calls ``hook(module, args, output)`` after forward; a result other than None replaces the output.

        With ``with_kwargs`` it is ``hook(module, args, kwargs, output)``;
        with ``always_call`` it also runs when forward raised.
        """
        flags = (
            (self._forward_hooks_with_kwargs, with_kwargs),
            (self._forward_hooks_always_called, always_call),
        )
        return _add(self._forward_hooks, hook, prepend=prepend, flags=flags)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Any:
        """Calls ``hook(module, grad_output)`` before the module's gradient; a result replaces ``grad_output``."""
        return _add(self._backward_pre_hooks, hook, prepend=prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Any:
        """Calls ``hook(module, grad_input, grad_output)``; a result replaces ``grad_input``."""
        if self._is_full_backward_hook is False:
            raise RuntimeError(MIXED_ON_MODULE)
        self._is_full_backward_hook = True
        return _add(self._backward_hooks, hook, prepend=prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> Any:
        """Deprecated: like the full hook, but it sees only the node that made the output."""
        if self._is_full_backward_hook is True:
            raise RuntimeError(MIXED_ON_MODULE)
        self._is_full_backward_hook = False
        return _add(self._backward_hooks, hook)

    def _get_backward_hooks(self) -> tuple[list[Callable[..., Any]], list[Callable[..., Any]]]:
        """The full hooks and the others, global ones first."""
        full: list[Callable[..., Any]] = []
        partial: list[Callable[..., Any]] = []
        (full if _global_backward_is_full else partial).extend(global_backward_hooks.values())
        (full if self._is_full_backward_hook else partial).extend(self._backward_hooks.values())
        return full, partial

    def _get_backward_pre_hooks(self) -> list[Callable[..., Any]]:
        return [*global_backward_pre_hooks.values(), *self._backward_pre_hooks.values()]


def _run_pre_hooks(module: Any, args: tuple[Any, ...],
                   kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    for key, hook in (*global_forward_pre_hooks.items(), *module._forward_pre_hooks.items()):
        if key in module._forward_pre_hooks_with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is None:
                continue
            if not (isinstance(changed, tuple) and len(changed) == 2):
                raise RuntimeError(
                    f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                )
            args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    return args, kwargs


class HookedCall:
    """One call of a module that has hooks; keeps what the ``always_call`` hooks need if it fails."""

    def __init__(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.module, self.args, self.kwargs = module, args, kwargs
        self.result: Any = None
        self.called: set[int] = set()

    def _run_forward_hook(self, key: int, hook: Callable[..., Any]) -> None:
        if key in self.module._forward_hooks_with_kwargs or key in global_forward_hooks_with_kwargs:
            changed = hook(self.module, self.args, self.kwargs, self.result)
        else:
            changed = hook(self.module, self.args, self.result)
        if changed is not None:
            self.result = changed

    def run(self) -> Any:
        """Pre-hooks, forward, forward hooks, and the wiring of the backward hooks around them."""
        module = self.module
        full, partial = module._get_backward_hooks()
        before = module._get_backward_pre_hooks()
        self.args, self.kwargs = _run_pre_hooks(module, self.args, self.kwargs)
        wiring = BackwardHook(module, full, before) if full or before else None
        if wiring is not None:
            self.args = wiring.setup_input_hook(self.args)
        self.result = module.forward(*self.args, **self.kwargs)
        for key, hook in (*global_forward_hooks.items(), *module._forward_hooks.items()):
            self.called.add(key)
            self._run_forward_hook(key, hook)
        if wiring is not None:
            if not isinstance(self.result, (Tensor, tuple)):
                warnings.warn(
                    "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors "
                    f"but received {type(self.result)}",
                    stacklevel=4,
                )
            self.result = wiring.setup_output_hook(self.result)
        if partial:
            attach_grad_fn_hooks([WrappedHook(hook, module) for hook in partial], self.args, self.result)
        return self.result

    def run_remaining(self) -> None:
        """After an error: the ``always_call`` hooks that have not run yet; their own errors become warnings."""
        kinds = (
            ("global module", global_forward_hooks, global_forward_hooks_always_called),
            ("module", self.module._forward_hooks, self.module._forward_hooks_always_called),
        )
        for kind, hooks, always in kinds:
            for key, hook in list(hooks.items()):
                if key not in always or key in self.called:
                    continue
                try:
                    self._run_forward_hook(key, hook)
                except Exception as error:
                    warnings.warn(
                        f"{kind} forward hook with ``always_call=True`` raised an exception "
                        f"that was silenced as another error was raised in forward: {error}",
                        stacklevel=4,
                    )


def call_with_hooks(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Calls a module's forward with every hook that concerns it."""
    call = HookedCall(module, args, kwargs)
    try:
        return call.run()
    except Exception:
        call.run_remaining()
        raise
