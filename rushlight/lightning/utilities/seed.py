"""Seeds of all generators at once, and their states."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rushlight.lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn
from rushlight.random import get_rng_state, manual_seed, set_rng_state

LARGEST, SMALLEST = np.iinfo(np.uint32).max, 0


def seed_everything(seed: int | None = None, workers: bool = False, verbose: bool = True) -> int:
    """Seed rushlight, NumPy and Python's `random`; the seed,
    which the variable PL_GLOBAL_SEED keeps for child processes.

    Without a seed it is PL_GLOBAL_SEED's, else 0. `workers` is remembered in PL_SEED_WORKERS; workers of data loaders
    draw from streams that follow from the seed in any case. ValueError for a seed outside 0 … 2**32 - 1.

    >>> seed_everything(7, verbose=False)
    7
    """
    if seed is None:
        given = os.environ.get("PL_GLOBAL_SEED")
        try:
            seed = int(given) if given is not None else 0
        except ValueError:
            raise ValueError(f"Invalid seed specified via PL_GLOBAL_SEED: {given!r}") from None
        if given is None:
            rank_zero_warn(f"No seed found, seed set to {seed}")
    seed = int(seed)
    if not SMALLEST <= seed <= LARGEST:
        raise ValueError(f"{seed} is not in bounds, numpy accepts from {SMALLEST} to {LARGEST}")
    if verbose:
        rank_zero_info(f"Seed set to {seed}")
    os.environ["PL_GLOBAL_SEED"] = str(seed)
    os.environ["PL_SEED_WORKERS"] = f"{int(workers)}"
    _seed(seed)
    return seed


def reset_seed() -> None:
    """Go back to the seed of the last `seed_everything`, if there was one."""
    seed = os.environ.get("PL_GLOBAL_SEED")
    if seed is not None:
        seed_everything(int(seed), workers=bool(int(os.environ.get("PL_SEED_WORKERS", "0"))), verbose=False)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    manual_seed(seed)


def pl_worker_init_function(worker_id: int, rank: int | None = None) -> None:
    """A worker_init_fn for worker processes that seeds all generators from the worker's own seed."""
    from rushlight.data import get_worker_info
    info = get_worker_info()
    base = info.seed if info is not None else worker_id
    _seed((base + (rank or 0) * 7919) % (LARGEST + 1))


def raw_rng_states() -> tuple[Any, Any, Any]:
    """The states of the three generators, quickly."""
    return get_rng_state(), np.random.get_state(), random.getstate()


def rng_states(raw: tuple[Any, Any, Any] | None = None) -> dict[str, Any]:
    """The states of the three generators (or those of `raw_rng_states`) in a form that checkpoints can hold."""
    torchs, numpys, pythons = raw or raw_rng_states()
    kind, keys, place, has_gauss, gauss = numpys
    version, numbers, extra = pythons
    return {"torch": torchs, "numpy": [kind, np.asarray(keys).tolist(), int(place), int(has_gauss), float(gauss)],
            "python": [version, list(numbers), extra]}


def set_rng_states(states: dict[str, Any]) -> None:
    """Go on from states of `rng_states`."""
    set_rng_state(states["torch"])
    kind, keys, place, has_gauss, gauss = states["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), place, has_gauss, gauss))
    version, numbers, extra = states["python"]
    random.setstate((version, tuple(numbers), extra))


@contextmanager
def isolate_rng(include_cuda: bool = True) -> Iterator[None]:
    """What the block draws leaves the generators as they were.

    >>> import rushlight as rl
    >>> state = rl.get_rng_state()
    >>> with isolate_rng():
    ...     _ = rl.rand(3)
    >>> bool((rl.get_rng_state() == state).all())
    True
    """
    states = rng_states()
    try:
        yield
    finally:
        set_rng_states(states)
