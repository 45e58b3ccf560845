"""Optimizers over several processes (torch.distributed.optim)."""

from __future__ import annotations

from rushlight.distributed.optim.optimizer import DistributedOptimizer
from rushlight.distributed.optim.zero_redundancy_optimizer import ZeroRedundancyOptimizer

__all__ = ["DistributedOptimizer", "ZeroRedundancyOptimizer"]
