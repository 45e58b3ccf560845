"""The Mersenne Twister (mt19937) with the seeding and the saved state of PyTorch's CPU generator."""

from __future__ import annotations

import secrets
import threading
from typing import Any

import numpy as np

from rushlight.rng import compiled

DEFAULT_SEED = 67280421310721

# The 5,056 bytes of torch.get_rng_state(): x and rho are never used, y is the second half of a pair of normal numbers.
STATE = np.dtype([("seed", "<u8"), ("left", "<i4"), ("seeded", "<i4"), ("next", "<u8"), ("words", "<u8", 624),
                  ("x", "<f8"), ("y", "<f8"), ("rho", "<f8"), ("y_valid", "<i4"), ("pad", "<i4"),
                  ("float_sample", "<f4"), ("float_valid", "?"), ("tail", "V3")])
SEED_RANGE = range(-(1 << 63), 1 << 64)


class Engine:
    """A stream of 32-bit numbers, the same as PyTorch's for the same seed.

    ``cached`` is the second normal number of the last pair drawn, or None. Hold ``lock`` while several draws belong
    together. The twister is made at the first use, which keeps ``numpy.random`` out of start-up.

    >>> Engine(0).random()
    2357136044
    """

    def __init__(self, seed: int = DEFAULT_SEED):
        self.lock = threading.RLock()
        self._bits: Any = None
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> None:
        """Start the stream of that seed, from -2**63 to 2**64 - 1; only its low 32 bits choose the stream."""
        seed = int(seed)
        if seed not in SEED_RANGE:
            raise ValueError(f"Overflow when unpacking long long: the seed {seed} is not in [-2**63, 2**64 - 1]")
        with self.lock:
            self._seed = seed % (1 << 64)
            self._pending: int | None = self._seed & 0xFFFFFFFF
            self._untouched = True
            self.cached: float | None = None

    def seed(self) -> int:
        """Start from a seed of the system's entropy and return it."""
        self.manual_seed(secrets.randbits(53))
        return self._seed

    def initial_seed(self) -> int:
        """The seed that the stream was started with."""
        return self._seed

    def _source(self) -> None:
        """See that there is a twister at the current place, seeded now if that is still to be done."""
        if self._bits is None:
            self._bits = np.random.MT19937(0)
        if self._pending is not None:
            np.random.RandomState(self._bits).seed(self._pending)
            self._pending = None

    def raw(self, n: int) -> list[int]:
        """The next n numbers of 32 bits, as Python's."""
        with self.lock:
            self._source()
            self._untouched = self._untouched and n == 0
            return self._bits.random_raw(n).tolist()  # type: ignore[no-any-return]

    def words(self, n: int) -> np.ndarray:
        """The next n numbers of 32 bits, uint32."""
        with self.lock:
            self._source()
            self._untouched = self._untouched and n == 0
            if compiled.wanted(n):
                out = np.empty(n, np.uint32)
                self.fill(out)
                return out
            return self._bits.random_raw(n).astype(np.uint32)

    def fill(self, out: np.ndarray) -> None:
        """Put the next words into a flat contiguous array of 4-byte elements,
        by machine code (see `compiled.wanted`)."""
        with self.lock:
            self._source()
            self._untouched = self._untouched and out.size == 0
            compiled.words(self._bits.ctypes.state_address, out)

    def words64(self, n: int) -> np.ndarray:
        """The next n numbers of 64 bits, uint64: of two 32-bit numbers the first is the high half."""
        pairs = self.words(2 * n).astype(np.uint64)
        return (pairs[0::2] << np.uint64(32)) | pairs[1::2]

    def random(self) -> int:
        """The next 32-bit number."""
        with self.lock:
            self._source()
            self._untouched = False
            return self._bits.random_raw()

    def random64(self) -> int:
        """The next 64-bit number: its high half is drawn first."""
        with self.lock:
            return self.random() << 32 | self.random()

    def get_state(self) -> np.ndarray:
        """The state as the 5,056 bytes of ``torch.get_rng_state()``, uint8."""
        with self.lock:
            self._source()
            inner: Any = self._bits.state["state"]
            row = np.zeros((), STATE)
            row["seed"], row["seeded"] = self._seed, 1
            row["left"] = 625 - inner["pos"]
            # A twister that has drawn nothing yet says next = 0; its first draw makes 624 new words.
            row["next"] = 0 if self._untouched else inner["pos"]
            row["words"] = inner["key"]
            if self.cached is not None:
                row["y"], row["y_valid"] = self.cached, 1
            return np.frombuffer(row.tobytes(), np.uint8).copy()

    def set_state(self, state: np.ndarray) -> None:
        """Go on from a state, ours or ``torch.get_rng_state().numpy()``.

        Raises TypeError for another type than uint8, RuntimeError for a wrong size or an impossible state.
        """
        state = np.asarray(state)
        if state.dtype != np.uint8:
            raise TypeError(f"RNG state must be a torch.ByteTensor, got elements of type {state.dtype}")
        if state.size != STATE.itemsize:
            raise RuntimeError(f"Expected a CPUGeneratorImplState of size {STATE.itemsize} but found the input RNG "
                               f"state size to be {state.size}")
        row = np.frombuffer(state.tobytes(), STATE)[0]
        left, after = int(row["left"]), int(row["next"])
        if not row["seeded"] or not 1 <= left <= 624 or after > 624:
            raise RuntimeError("Invalid mt19937 state")
        with self.lock:
            self._source()
            self._seed, self._untouched = int(row["seed"]), after == 0
            position = 624 if left == 1 else after
            inner = {"key": row["words"].astype(np.uint32), "pos": position}
            self._bits.state = {"bit_generator": "MT19937", "state": inner}
            self.cached = float(row["y"]) if row["y_valid"] else None

    def clone(self) -> Engine:
        """Another engine at the same place."""
        other = Engine()
        other.set_state(self.get_state())
        return other
