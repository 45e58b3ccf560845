"""The Mersenne Twister (mt19937) with PyTorch's state layout."""

from __future__ import annotations

import secrets
import threading
from typing import Any

import numpy as np

STATE = np.dtype([("seed", "<u8"), ("left", "<i4"), ("seeded", "<i4"), ("next", "<u8"), ("words", "<u8", 624), ("x", "<f8"), ("y", "<f8"), ("rho", "<f8"),
                  ("valid", "<i4"), ("pad", "<i4"), ("float_sample", "<f4"), ("float_valid", "<i4")])


class Engine:
    """A stream of 32-bit numbers. ``cached`` is the second half of a pair of normal numbers."""

    def __init__(self, seed: int = 67280421310721):
        self.bits = np.random.MT19937()
        self.cached: float | None = None
        self.lock = threading.RLock()
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> None:
        """Start the stream of that seed."""
        self._seed = int(seed) & 0xFFFFFFFFFFFFFFFF
        self.bits._legacy_seeding(self._seed & 0xFFFFFFFF)
        self.cached = None

    def seed(self) -> int:
        """Start from a seed of the system's entropy; the seed."""
        self.manual_seed(secrets.randbits(53))
        return self._seed

    def initial_seed(self) -> int:
        """The seed that the stream was started with."""
        return self._seed

    def words(self, n: int) -> np.ndarray:
        """The next n numbers of 32 bits, as uint64."""
        with self.lock:
            return self.bits.random_raw(n)

    def words64(self, n: int) -> np.ndarray:
        """The next n numbers of 64 bits."""
        pairs = self.words(2 * n)
        return (pairs[0::2] << np.uint64(32)) | pairs[1::2]

    def random(self) -> int:
        """The next 32-bit number."""
        return int(self.words(1)[0])

    def random64(self) -> int:
        """The next 64-bit number."""
        return int(self.words64(1)[0])

    def get_state(self) -> np.ndarray:
        """The state as PyTorch's 5,056 bytes."""
        inner: Any = self.bits.state["state"]
        out = np.zeros((), STATE)
        out["seed"], out["seeded"] = self._seed, 1
        out["left"], out["next"] = 625 - inner["pos"], inner["pos"]
        out["words"] = inner["key"]
        if self.cached is not None:
            out["x"], out["valid"] = self.cached, 1
        return np.frombuffer(out.tobytes(), np.uint8).copy()

    def set_state(self, state: np.ndarray) -> None:
        """Go on from a state of get_state, PyTorch's or ours."""
        if state.dtype != np.uint8 or state.size != STATE.itemsize:
            raise RuntimeError(f"RNG state is wrong size: expected {STATE.itemsize} bytes of uint8, got {state.size} of {state.dtype}")
        row = np.frombuffer(np.ascontiguousarray(state).tobytes(), STATE)[0]
        if not 1 <= int(row["left"]) <= 625 or int(row["next"]) > 624:
            raise RuntimeError("Invalid mt19937 state")
        self._seed = int(row["seed"])
        position = 624 if int(row["left"]) == 1 else int(row["next"])
        self.bits.state = {"bit_generator": "MT19937", "state": {"key": row["words"].astype(np.uint32), "pos": position}}
        self.cached = float(row["x"]) if row["valid"] else None

    def clone(self) -> Engine:
        """Another engine at the same place."""
        other = Engine()
        other.set_state(self.get_state())
        return other
