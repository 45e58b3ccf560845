"""Learning rates and batch sizes found by trial (pytorch_lightning.tuner)."""

from __future__ import annotations

from rushlight.lightning.tuner.tuning import Tuner

__all__ = ["Tuner"]
