"""Which hooks somebody has defined."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any


def is_overridden(method_name: str, instance: Any = None, parent: type | None = None) -> bool:
    """Whether the object's class, or the object itself, has a method of its own in the place of `parent`'s.

    >>> class A:
    ...     def f(self): ...
    >>> class B(A):
    ...     def f(self): ...
    >>> is_overridden("f", B(), A), is_overridden("f", A(), A)
    (True, False)
    """
    if instance is None:
        return False
    if parent is None:
        parent = _base(instance)
    if method_name in getattr(instance, "__dict__", ()):
        return True
    mine = getattr(type(instance), method_name, None)
    return mine is not None and mine is not getattr(parent, method_name, None)


def _base(instance: Any) -> type:
    from rushlight.lightning.callbacks.callback import Callback
    from rushlight.lightning.core.datamodule import LightningDataModule
    from rushlight.lightning.core.module import LightningModule
    for parent in (LightningModule, LightningDataModule, Callback):
        if isinstance(instance, parent):
            return parent
    raise ValueError("Expected a parent")


@lru_cache(maxsize=256)
def _parameters(function: Callable[..., Any]) -> tuple[tuple[str, ...], bool]:
    parameters = inspect.signature(function).parameters.values()
    named = tuple(p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    return named, any(p.kind is p.VAR_POSITIONAL for p in parameters)


def takes(method: Any, name: str, at_least: int | None = None) -> bool:
    """Whether a method has a parameter of this name, or this many parameters besides self, or ``*args``."""
    function = inspect.unwrap(getattr(method, "__func__", method))
    named, variadic = _parameters(function)
    bound = 1 if inspect.ismethod(method) else 0
    return name in named or variadic or (at_least is not None and len(named) - bound >= at_least)
