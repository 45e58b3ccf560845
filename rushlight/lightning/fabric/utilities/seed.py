"""The same as rushlight.lightning.utilities.seed."""

from __future__ import annotations

from rushlight.lightning.utilities.seed import seed_everything, isolate_rng, reset_seed, pl_worker_init_function

__all__ = ["seed_everything", "isolate_rng", "reset_seed", "pl_worker_init_function"]
