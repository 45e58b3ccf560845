"""Calls and results as bytes: pickles, in which tensors are rushlight's own and
public functions of torch go by their names."""

from __future__ import annotations

import functools
import importlib
import io
import pickle
from collections.abc import Callable
from typing import Any

from rushlight.futures import Future


class Answer:
    """A result that will be there later: the reply waits for the future."""

    def __init__(self, future: Future):
        self.future = future


class Call:
    """A function with its arguments."""

    def __init__(self, func: Callable[..., Any], args: Any, kwargs: Any):
        self.func, self.args, self.kwargs = func, tuple(args or ()), dict(kwargs or {})

    def __call__(self) -> Any:
        from rushlight.tensor.core import realize_pending

        out = self.func(*self.args, **self.kwargs)
        realize_pending()  # another thread will read it
        return Answer(out) if getattr(self.func, "_wants_future", False) else out


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if getattr(obj, "_overridable", False):
            found = _public(obj)
            if found is not None:
                return _named, found
        return NotImplemented


def _public(f: Any) -> tuple[str, str] | None:
    """Where a dispatching function of torch is found."""
    from rushlight.tensor.protocol import NAMESPACES

    for space in NAMESPACES:
        name = f.__name__
        if getattr(importlib.import_module(space), name, None) is f:
            return space, name
    from rushlight.tensor.core import Tensor

    method: str = f.__name__
    return ("rushlight.Tensor", method) if getattr(Tensor, method, None) is f else None


def _named(space: str, name: str) -> Any:
    if space == "rushlight.Tensor":
        from rushlight.tensor.core import Tensor

        return getattr(Tensor, name)
    return getattr(importlib.import_module(space), name)


def dump(value: Any) -> bytes:
    """A pickle."""
    out = io.BytesIO()
    _Pickler(out, pickle.HIGHEST_PROTOCOL).dump(value)
    return out.getvalue()


def load(body: bytes) -> Any:
    """What was pickled."""
    return pickle.loads(body)  # of our own group only: see rushlight.distributed.rpc.agent


@functools.cache
def _importable(kind: type) -> bool:
    return getattr(importlib.import_module(kind.__module__), kind.__qualname__, None) is kind


def described(e: Exception, text: str) -> tuple[Any, str]:
    """An exception's class, where it can be found by name, and its text."""
    kind: Any = type(e)
    return (kind if _importable(kind) else None), text


def rebuilt(kind: Any, text: str) -> Exception:
    """The exception as the caller sees it: of the same class where that takes a text alone."""
    try:
        made = kind(text) if kind is not None else RuntimeError(text)
        return made if isinstance(made, Exception) else RuntimeError(text)
    except Exception:
        return RuntimeError(text)
