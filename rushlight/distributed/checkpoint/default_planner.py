"""The module in which PyTorch keeps the default planners (torch.distributed.checkpoint.default_planner)."""

from __future__ import annotations

from rushlight.distributed.checkpoint.planner import DefaultLoadPlanner, DefaultSavePlanner, _EmptyStateDictLoadPlanner

__all__ = ["DefaultLoadPlanner", "DefaultSavePlanner", "_EmptyStateDictLoadPlanner"]
