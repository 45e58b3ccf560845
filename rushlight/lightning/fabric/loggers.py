"""Loggers for Fabric (lightning.fabric.loggers)."""

from __future__ import annotations

from rushlight.lightning.loggers import CSVLogger, Logger, TensorBoardLogger

__all__ = ["CSVLogger", "Logger", "TensorBoardLogger"]
