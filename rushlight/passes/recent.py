"""A bounded dictionary that keeps what was used last."""

from __future__ import annotations

import weakref
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")
_all: weakref.WeakSet[Recent[Any]] = weakref.WeakSet()


def forget() -> None:
    """Empty every such dictionary."""
    for kept in list(_all):
        kept.clear()


class Recent(Generic[Value]):
    """Values by key, those used last, of at most as much size together as ``most`` (and one more).

    There are two generations: what is asked for moves to the young one, and when that has half of the size
    the old one is forgotten. No lock is needed, so that none is held in a process that is forked: threads
    that meet here may lose a value, which is made again.

    >>> kept = Recent[str](4)
    >>> for key in (1, 2, 1, 3, 1, 4):
    ...     _ = kept.get(key) or kept.put(key, "it")
    >>> [key for key in (1, 2, 3, 4) if kept.get(key)]
    [1, 3, 4]
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0
        self.young: dict[object, tuple[Value, int]] = {}
        self.old: dict[object, tuple[Value, int]] = {}
        _all.add(self)

    def get(self, key: object) -> Value | None:
        """The value of a key, if it is there still."""
        entry = self.young.get(key)
        if entry is None:
            entry = self.old.get(key)
            if entry is None:
                return None
            self._add(key, entry)
        return entry[0]

    def put(self, key: object, value: Value, size: int = 1) -> Value:
        """Keep a value, or the one that another thread has put there before; gives the one that is kept."""
        return self._add(key, (value, size))[0]

    def replace(self, key: object, value: Value, size: int = 1) -> None:
        """Keep this value instead of the one that is there."""
        self.young.pop(key, None)
        self.old.pop(key, None)
        self._add(key, (value, size))

    def clear(self) -> None:
        """Forget everything."""
        self.young, self.old, self.size = {}, {}, 0

    def _add(self, key: object, entry: tuple[Value, int]) -> tuple[Value, int]:
        if self.young and self.size + entry[1] > self.most // 2:
            self.old, self.young, self.size = self.young, {}, 0
        self.size += entry[1]
        return self.young.setdefault(key, entry)
