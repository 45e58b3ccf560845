"""Fabric and helpers (lightning.fabric)."""

from __future__ import annotations

from rushlight.lightning.fabric.fabric import Fabric
from rushlight.lightning.utilities.seed import seed_everything

__all__ = ["Fabric", "seed_everything"]
