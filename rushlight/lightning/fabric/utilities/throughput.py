"""The same as rushlight.lightning.utilities.throughput."""

from __future__ import annotations

from rushlight.lightning.utilities.throughput import measure_flops

__all__ = ["measure_flops"]
