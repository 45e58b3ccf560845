"""The module in which PyTorch keeps DistributedDataParallel (torch.nn.parallel.distributed)."""

from __future__ import annotations

from rushlight.distributed.data_parallel import DistributedDataParallel

__all__ = ["DistributedDataParallel"]
