"""torch.distributed.tensor.experimental: the parts that are here."""

from __future__ import annotations

from rushlight.distributed.tensor.dispatch import implicit_replication

__all__ = ["implicit_replication"]
