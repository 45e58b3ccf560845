"""Memory that a thread uses again and again, and windows of pictures in it."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np


class Window(NamedTuple):
    """Where the pixels lie, four bytes each, rows ``stride`` bytes apart, and what keeps them there."""

    address: int
    stride: int
    owner: Any


class Memory(threading.local):
    """Arrays of one thread by what they are for; they only grow."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[np.ndarray, int]] = {}

    def get(self, name: str, size: int) -> int:
        """The address of at least so many bytes."""
        found = self.held.get(name)
        if found is None or found[0].nbytes < size:
            array = np.empty(size + (size >> 2), np.uint8)
            found = self.held[name] = array, array.ctypes.data
        return found[1]


memory = Memory()
