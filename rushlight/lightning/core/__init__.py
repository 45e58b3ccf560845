"""LightningModule and LightningDataModule (pytorch_lightning.core)."""

from __future__ import annotations

from rushlight.lightning.core.datamodule import LightningDataModule
from rushlight.lightning.core.module import LightningModule

__all__ = ["LightningDataModule", "LightningModule"]
