"""torch.cuda.random on a machine without CUDA."""

from __future__ import annotations

from rushlight.cuda import (  # noqa: F401
    get_rng_state, get_rng_state_all, initial_seed, manual_seed, manual_seed_all, seed, seed_all, set_rng_state,
    set_rng_state_all)
