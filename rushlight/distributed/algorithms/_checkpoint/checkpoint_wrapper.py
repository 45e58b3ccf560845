"""Modules whose forward is checkpointed: `torch.utils.checkpoint` as a wrapper that keeps parameter names."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from rushlight.autograd.graph_tools import save_on_cpu
from rushlight.nn.modules.module import Module
from rushlight.utils.checkpoint import checkpoint

INNER = "_checkpoint_wrapped_module"


class CheckpointImpl(enum.Enum):
    """Which of checkpoint's two ways."""

    REENTRANT = 1
    NO_REENTRANT = 2


class ActivationWrapper(Module):
    """A module within a module: names of parameters and keys of state_dicts are those without the wrapper."""

    def __init__(self, mod: Module):
        super().__init__()
        self._checkpoint_wrapped_module = mod
        self._register_state_dict_hook(self._without_prefix)
        self.register_load_state_dict_pre_hook(self._with_prefix)

    @staticmethod
    def _without_prefix(module: Any, state_dict: dict[str, Any], prefix: str, *_: Any) -> dict[str, Any]:
        start = f"{prefix}{INNER}."
        for key in [k for k in state_dict if k.startswith(start)]:
            state_dict[prefix + key[len(start):]] = state_dict.pop(key)
        return state_dict

    @staticmethod
    def _with_prefix(module: Any, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
        for key in [k for k in state_dict if k.startswith(prefix) and not k.startswith(f"{prefix}{INNER}.")]:
            state_dict[f"{prefix}{INNER}.{key[len(prefix):]}"] = state_dict.pop(key)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._checkpoint_wrapped_module, name)

    def __getitem__(self, key: int) -> Any:
        container: Any = self._checkpoint_wrapped_module
        return container[key]

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """As `Module.named_parameters`, without the wrapper in the names."""
        for name, p in super().named_parameters(*args, **kwargs):
            yield name.replace(f"{INNER}.", ""), p


class CheckpointWrapper(ActivationWrapper):
    """A module whose intermediate results are computed again in the backward pass."""

    def __init__(self, mod: Module, checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT,
                 checkpoint_fn: Callable[..., Any] | None = None, **checkpoint_fn_kwargs: Any):
        super().__init__(mod)
        self.checkpoint_impl = checkpoint_impl
        self.checkpoint_fn = partial(checkpoint_fn, **checkpoint_fn_kwargs) if checkpoint_fn is not None else partial(
            checkpoint, use_reentrant=checkpoint_impl is CheckpointImpl.REENTRANT, **checkpoint_fn_kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's forward, checkpointed."""
        inner = self._checkpoint_wrapped_module
        if self.checkpoint_impl is CheckpointImpl.REENTRANT and kwargs:
            values = list(kwargs.values())
            names = list(kwargs)
            return self.checkpoint_fn(lambda *xs: inner(*xs[:len(args)],
                                                        **dict(zip(names, xs[len(args):]))), *args, *values)
        return self.checkpoint_fn(inner, *args, **kwargs)


class OffloadWrapper(ActivationWrapper):
    """A module whose saved tensors are kept as copies in host memory."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's forward within `save_on_cpu`."""
        with save_on_cpu(pin_memory=True):
            return self._checkpoint_wrapped_module(*args, **kwargs)


def offload_wrapper(module: Module) -> Module:
    """The module in an OffloadWrapper."""
    return OffloadWrapper(module)


def checkpoint_wrapper(module: Module, checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT,
                       checkpoint_fn: Callable[..., Any] | None = None, **checkpoint_fn_kwargs: Any) -> Module:
    """The module in a CheckpointWrapper; further arguments go to `torch.utils.checkpoint.checkpoint`."""
    return CheckpointWrapper(module, checkpoint_impl, checkpoint_fn, **checkpoint_fn_kwargs)


def apply_activation_checkpointing(model: Module,
                                   checkpoint_wrapper_fn: Callable[[Module], Module] = checkpoint_wrapper,
                                   check_fn: Callable[[Module], bool] = lambda _: True,
                                   auto_wrap_policy: Callable[[Module, bool, int], bool] | None = None) -> None:
    """Wrap, in place, the submodules for which check_fn says yes
    (or auto_wrap_policy(module, recurse=False, parameters))."""
    def wanted(m: Module) -> bool:
        if auto_wrap_policy is not None:
            return auto_wrap_policy(m, False, sum(p.numel() for p in m.parameters()))
        return check_fn(m)

    def walk(m: Module) -> None:
        for name, child in list(m.named_children()):
            if isinstance(child, ActivationWrapper):
                continue
            walk(child)
            if wanted(child):
                setattr(m, name, checkpoint_wrapper_fn(child))
    walk(model)
