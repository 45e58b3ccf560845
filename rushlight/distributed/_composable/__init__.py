"""Functions that change modules in place (torch.distributed._composable)."""

from __future__ import annotations

from rushlight.distributed.fsdp._fully_shard import fully_shard

__all__ = ["fully_shard"]
