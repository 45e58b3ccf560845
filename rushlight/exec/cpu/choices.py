"""Which of several implementations is the fastest: timed once for each shape, then remembered on disk.

What is remembered does not change later, so a program computes the same bits in every process of a machine. Without a
cache folder nothing is timed and the first implementation is taken.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence

from rushlight.exec.cpu import disk, jit

ROUNDS = 5
MARGIN = 0.93  # another implementation must beat the first by more than noise

_known: dict[str, int] = {}
_lock = threading.Lock()


def fastest(key: str, candidates: Sequence[Callable[[], None]]) -> int:
    """The number of the candidate that runs fastest; candidates are functions that run one implementation once."""
    with _lock:
        found = _known.get(key)
        if found is None:
            found = _known[key] = _remembered(key, candidates)
    return found if found < len(candidates) else 0


def known(key: str) -> int | None:
    """The remembered number for a key, so that the others need not be made."""
    with _lock:
        if key not in _known:
            kept = disk.read(jit.cache_folder(), _name(key))
            if kept is None:
                return None
            _known[key] = int(kept)
        return _known[key]


def _remembered(key: str, candidates: Sequence[Callable[[], None]]) -> int:
    folder = jit.cache_folder()
    if folder is None:
        return 0
    kept = disk.read(folder, _name(key))
    if kept is not None:
        return int(kept)
    times = _time(candidates) if len(candidates) > 1 else [0.0]
    best = min(range(len(times)), key=times.__getitem__)
    if times[best] > MARGIN * times[0]:
        best = 0
    disk.keep(folder, _name(key), str(best).encode())
    return best


def _time(candidates: Sequence[Callable[[], None]]) -> list[float]:
    """The least time of each over rounds in turn."""
    best = [float("inf")] * len(candidates)
    for round_ in range(ROUNDS):
        for i, run in enumerate(candidates):
            start = time.perf_counter()
            run()
            if round_:  # the first warms up
                best[i] = min(best[i], time.perf_counter() - start)
    return best


def _name(key: str) -> str:
    return "choice_" + hashlib.sha256(key.encode()).hexdigest()[:24]
