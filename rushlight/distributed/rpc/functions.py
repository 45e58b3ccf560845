"""Decorators of functions that others call (torch.distributed.rpc.functions)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def async_execution(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function that returns a Future: the caller gets the future's value, and no thread waits for it."""

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    wrapper._wants_future = True  # type: ignore[attr-defined]
    return wrapper
