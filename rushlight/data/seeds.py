"""Random numbers in a loader's workers: each sample starts a stream that depends on its place in the epoch alone.

An epoch draws one number, its base; the sample at place n of the epoch's order starts from ``sample_seed(base, n)``.
So a random transform gives a sample the same numbers whichever worker fetches it, and however many workers there are.
"""

from __future__ import annotations

import random
import sys
from typing import Any

from rushlight import rng

LOW = 0xFFFFFFFF


def sample_seed(base: int, place: int) -> int:
    """32 bits of seed, different for all places of an epoch.

    >>> sample_seed(7, 0), sample_seed(7, 1), sample_seed(8, 0)
    (1733237950, 2520902017, 89281271)
    """
    return _mixed(_mixed(base ^ base >> 32) + place)


def _mixed(number: int) -> int:
    """Murmur3's finalizer: a permutation of 32-bit numbers."""
    h = number & LOW
    h = (h ^ h >> 16) * 0x85EBCA6B & LOW
    h = (h ^ h >> 13) * 0xC2B2AE35 & LOW
    return h ^ h >> 16


class Streams:
    """The random numbers of one worker. Python's and NumPy's global ones are set too where a process owns them."""

    def __init__(self, owns_process: bool):
        self.owns_process = owns_process
        self.engine = rng.Engine()
        rng.own_stream(self.engine)

    def start(self, seed: int) -> None:
        """Start every stream from this seed."""
        self.engine.manual_seed(seed)
        if self.owns_process:
            random.seed(seed)
            if "numpy.random" in sys.modules:
                sys.modules["numpy.random"].seed(seed & LOW)


class WorkerGenerators:
    """Generators which code in a worker may use where the global ones are
    shared with other threads (``WorkerInfo.rng``).

    Each is made at the first use after a sample began, from that sample's seed.
    """

    def __init__(self, streams: Streams):
        self._streams = streams
        self._made: dict[str, tuple[int, Any]] = {}

    def _get(self, name: str, make: Any) -> Any:
        seed = self._streams.engine.initial_seed()
        if name not in self._made or self._made[name][0] != seed:
            self._made[name] = seed, make(seed)
        return self._made[name][1]

    @property
    def random_generator(self) -> random.Random:
        """Of Python's module random."""
        made: random.Random = self._get("random", random.Random)
        return made

    @property
    def numpy_generator(self) -> Any:
        """A numpy.random.Generator."""
        import numpy as np
        return self._get("numpy", np.random.default_rng)

    @property
    def torch_generator(self) -> Any:
        """A Generator."""
        from rushlight.random import Generator
        return self._get("torch", lambda seed: Generator().manual_seed(seed))
