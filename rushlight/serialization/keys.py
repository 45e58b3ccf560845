"""Which objects of a file may be dictionary keys: hashing is code too, and a hostile file can make it slow."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import DType
from rushlight.serialization.errors import Fault

MAX_BITS = 512  # of an integer key
MAX_PARTS = 64  # of a tuple key, nested ones counted
MAX_COLLISIONS = 64  # different keys of one hash; honest data has one or two

PLAIN: set[type] = {str, bytes, bool, float, complex, type(None), DType}


class KeyGuard:
    """Refuses keys whose hash or comparison could take long, and floods of keys with one hash."""

    def __init__(self) -> None:
        self.seen: dict[int, list[Any]] = {}
        self.allowed_types: set[type] = set()  # classes that the user trusts

    def check(self, key: Any) -> None:
        kind = type(key)
        if kind is str or kind is bool or key is None:
            return
        self._parts(key, [MAX_PARTS])
        value = hash(key)
        if kind is bytes or (kind is int and value == key and value != -2):
            return  # hashes that a file cannot choose, or that differ because the keys do
        same = self.seen.setdefault(value, [])
        if key in same:
            return
        same.append(key)
        if len(same) > MAX_COLLISIONS:
            raise Fault(f"{len(same)} different keys of dictionaries or sets share one hash")

    def _parts(self, key: Any, left: list[int]) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Fault(f"a key has more than {MAX_PARTS} parts")
        kind = type(key)
        if kind is tuple:
            for part in key:
                self._parts(part, left)
        elif kind is int:
            if key.bit_length() > MAX_BITS:
                raise Fault(f"an integer key has more than {MAX_BITS} bits")
        elif kind not in PLAIN and kind not in self.allowed_types:
            raise Fault(f"unhashable type: an object of {kind} cannot be a key here")
