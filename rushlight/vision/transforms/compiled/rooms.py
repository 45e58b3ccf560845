"""Memory that a thread uses again for picture after picture: fresh pages would cost a tenth of the time."""

from __future__ import annotations

import ctypes
import threading

import numpy as np

SPARE = 4  # bytes behind pixels of three bytes that may be read
_rooms = threading.local()


def room(name: str, size: int) -> np.ndarray:
    """So many bytes, which hold until the same thread asks for the same name again.

    >>> room("doctest", 4)[:] = 7
    >>> room("doctest", 3)
    array([7, 7, 7], dtype=uint8)
    """
    rooms = _rooms.__dict__
    found: np.ndarray | None = rooms.get(name)
    if found is None or found.size < size:
        found = rooms[name] = np.empty(size, np.uint8)
    return found[:size]


def address_of(memory: np.ndarray) -> int:
    """Where the elements of a contiguous array that may be written to begin, in a tenth of the time that
    ``memory.ctypes.data`` takes.

    >>> x = np.zeros(3)
    >>> address_of(x[1:]) - x.ctypes.data
    8
    """
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))  # type: ignore[arg-type]
