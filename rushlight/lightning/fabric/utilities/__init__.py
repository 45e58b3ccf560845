"""Helpers of Fabric (lightning.fabric.utilities)."""

from __future__ import annotations

from rushlight.lightning.utilities import (
    apply_to_collection,
    move_data_to_device,
    rank_zero_info,
    rank_zero_only,
    rank_zero_warn,
)

__all__ = ["apply_to_collection", "move_data_to_device", "rank_zero_info", "rank_zero_only", "rank_zero_warn"]
