"""How much memory a file may make the loader take."""

from __future__ import annotations

from rushlight.serialization.errors import Fault

BASE = 56 << 20  # what any file may take beyond twice its own size; 64 MB less what reading itself needs

_override: list[int | None] = [None]


def set_load_memory_limit(limit: int | None) -> None:
    """Bytes that one `load` may take for what it builds; None (the default) is twice the file plus 56 MB.

    Tensors take as much memory as the file has for them. What this bounds is everything else: a few bytes of a
    malicious pickle can ask for gigabytes of Python objects. Raise it for trusted files that hold millions of
    plain Python numbers or strings.
    """
    if limit is not None and limit <= 0:
        raise ValueError(f"the limit must be positive, got {limit}")
    _override[0] = limit


def get_load_memory_limit() -> int | None:
    """What `set_load_memory_limit` set."""
    return _override[0]


class Budget:
    """Counts down; nothing is given back, so it bounds the work as well as the memory."""

    __slots__ = ("left", "total")

    def __init__(self, file_size: int):
        self.total = self.left = _override[0] or 2 * file_size + BASE

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise self.over()

    def over(self) -> Fault:
        return Fault(f"loading it would take more than {self.total >> 20} MB of memory (twice the file plus "
                     f"{BASE >> 20} MB); if you trust the file, raise the limit with "
                     "rushlight.serialization.set_load_memory_limit")
