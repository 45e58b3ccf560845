"""The same as rushlight.lightning.utilities.rank_zero."""

from __future__ import annotations

from rushlight.lightning.utilities.rank_zero import rank_zero_only, rank_zero_info, rank_zero_warn, rank_zero_debug

__all__ = ["rank_zero_only", "rank_zero_info", "rank_zero_warn", "rank_zero_debug"]
