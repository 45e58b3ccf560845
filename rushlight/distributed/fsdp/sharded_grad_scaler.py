"""A GradScaler whose ranks agree on whether gradients overflowed (torch.distributed.fsdp.sharded_grad_scaler)."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.amp import GradScaler
from rushlight.distributed import exchange
from rushlight.distributed.groups import member


class ShardedGradScaler(GradScaler):
    """As `torch.amp.GradScaler`; a step is skipped on all ranks where the
    gradients of any rank's pieces are not finite."""

    def __init__(
        self,
        device: str = "cpu",
        init_scale: float = 2.0**16,
        backoff_factor: float = 0.5,
        growth_factor: float = 2.0,
        growth_interval: int = 2000,
        enabled: bool = True,
        process_group: Any = None,
    ):
        super().__init__(
            device,
            init_scale=init_scale,
            backoff_factor=backoff_factor,
            growth_factor=growth_factor,
            growth_interval=growth_interval,
            enabled=enabled,
        )
        self.process_group = member(process_group) if enabled else None

    def unscale_(self, optimizer: Any) -> None:
        """Divide this rank's gradients by the scale; if any rank finds infinities or NaN, so do all."""
        super().unscale_(optimizer)
        if self.process_group is not None:
            said = exchange.gather_arrays(np.array([self._found_inf[id(optimizer)]]), self.process_group)
            self._found_inf[id(optimizer)] = any(bool(s[0]) for s in said)
