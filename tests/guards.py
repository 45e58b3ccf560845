"""Memory of plans between guards: what a kernel writes outside of its arena or its results is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from rushlight.exec.cpu import memory

GUARD, SIGN = 8192, 0xA5  # bytes on either side, and what they hold


def between_guards(size: int, places: list[tuple[np.ndarray, int]], alignment: int = 64) -> np.ndarray:
    """So many bytes; `places` gets the memory around them, and where they start in it."""
    raw = np.full(size + 2 * GUARD + alignment, SIGN, np.uint8)
    start = GUARD + -(raw.ctypes.data + GUARD) % alignment
    places.append((raw, start))
    return raw[start:start + size]


@contextmanager
def guarded() -> Iterator[Callable[[], int]]:
    """Arenas and new results of plans lie between guards. What this gives looks at them and tells how many there were."""
    places: list[tuple[np.ndarray, int]] = []
    sizes: list[int] = []

    def take(self: Any, size: int) -> np.ndarray:
        sizes.append(size)
        return between_guards(size, places, 4096)

    def make(count: int, dtype: Any) -> np.ndarray:
        size = count * np.dtype(dtype).itemsize
        sizes.append(size)
        return between_guards(size, places).view(dtype)

    def intact() -> int:
        for (raw, start), size in zip(places, sizes, strict=True):
            assert (raw[:start] == SIGN).all(), f"something wrote before {size} bytes"
            assert (raw[start + size:] == SIGN).all(), f"something wrote behind {size} bytes"
        places.clear()
        count, sizes[:] = len(sizes), []
        return count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "allocator", lambda size: make)
        patch.setattr(memory.Scratch, "take", take)
        patch.setattr(memory.Scratch, "give", lambda self, arena: None)
        yield intact
