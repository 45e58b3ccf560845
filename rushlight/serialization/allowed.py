"""The classes and functions that the user allows in files, beyond the fixed table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.serialization.names import place

SafeGlobal = Callable[..., Any] | tuple[Callable[..., Any], str]

BLOCKED_MODULES = frozenset(("sys", "os", "posix", "nt"))  # never, whatever the user allows; the list is PyTorch's

_allowed: list[SafeGlobal] = []


def add_safe_globals(safe_globals: list[SafeGlobal]) -> None:
    """Allow classes or functions in files loaded with ``weights_only=True``.

    Each item is the object, or (object, "module.name") where the file knows it by another name. Allowing one means
    trusting its constructor and ``__setstate__`` with whatever a file passes to them.
    """
    for item in safe_globals:
        if item not in _allowed:
            _allowed.append(item)


def get_safe_globals() -> list[SafeGlobal]:
    """What `add_safe_globals` has allowed."""
    return list(_allowed)


def clear_safe_globals() -> None:
    """Forget everything that `add_safe_globals` has allowed."""
    _allowed.clear()


class safe_globals:
    """Context manager: `add_safe_globals` for the duration of a block."""

    def __init__(self, safe_globals: list[SafeGlobal]):
        self.safe_globals = list(safe_globals)

    def __enter__(self) -> None:
        self._added = [item for item in self.safe_globals if item not in _allowed]
        add_safe_globals(self._added)

    def __exit__(self, type: object, value: object, tb: object) -> None:
        for item in self._added:
            if item in _allowed:
                _allowed.remove(item)


def allowed_by_name() -> dict[str, Any]:
    """Full name -> object, for every allowed object under its own name and under PyTorch's."""
    found: dict[str, Any] = {}
    for item in _allowed:
        if isinstance(item, tuple):
            if len(item) != 2:
                raise ValueError("Expected tuple of length 2 (global, str of callable full path), but got tuple of "
                                 f"length: {len(item)}")
            if type(item[1]) is not str:
                raise TypeError("Expected second item in tuple to be str of callable "
                                f"full path, but got: {type(item[1])}")
            found[item[1]] = item[0]
        else:
            module, name = item.__module__, item.__qualname__
            found[f"{module}.{name}"] = item
            found[".".join(place(item))] = item
    return found
