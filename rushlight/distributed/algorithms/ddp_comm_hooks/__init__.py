"""Ways of averaging gradients in DistributedDataParallel (torch.distributed.algorithms.ddp_comm_hooks)."""

from __future__ import annotations

from rushlight.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook

__all__ = ["default_hooks", "powerSGD_hook"]
