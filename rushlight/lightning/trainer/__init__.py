"""The Trainer (pytorch_lightning.trainer)."""

from __future__ import annotations

from typing import Any

__all__ = ["Trainer", "seed_everything"]


def __getattr__(name: str) -> Any:
    if name == "Trainer":
        from rushlight.lightning.trainer.trainer import Trainer
        return Trainer
    if name == "seed_everything":
        from rushlight.lightning.utilities.seed import seed_everything
        return seed_everything
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
