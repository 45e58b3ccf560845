"""A bounded dictionary that keeps what was used last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by key, those used last, of as much size together as ``most``. Threads may share it.

    >>> kept = Recent[str](2)
    >>> for key in (1, 2, 1, 3):
    ...     _ = kept.get(key) or kept.put(key, "it")
    >>> sorted(kept.found)
    [1, 3]
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0
        self.found: OrderedDict[object, tuple[Value, int]] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, key: object) -> Value | None:
        """The value of a key, if it is there still."""
        with self.lock:
            entry = self.found.get(key)
            if entry is None:
                return None
            self.found.move_to_end(key)
            return entry[0]

    def put(self, key: object, value: Value, size: int = 1) -> Value:
        """Keep a value, or the one that another thread has put there before; gives the one that is kept."""
        with self.lock:
            kept, _ = self.found.setdefault(key, (value, size))
            if kept is value:
                self.size += size
            while self.size > self.most:
                self.size -= self.found.popitem(last=False)[1][1]
        return kept
