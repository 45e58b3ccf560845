"""Parts of the Trainer that can be replaced (pytorch_lightning.plugins): the precision."""

from __future__ import annotations

from rushlight.lightning.trainer.precision import DoublePrecision, HalfPrecision, MixedPrecision, Precision

__all__ = ["DoublePrecision", "HalfPrecision", "MixedPrecision", "Precision", "PrecisionPlugin"]

PrecisionPlugin = Precision
