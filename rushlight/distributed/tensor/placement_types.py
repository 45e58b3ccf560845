"""The module in which PyTorch keeps placements (torch.distributed.tensor.placement_types)."""

from __future__ import annotations

from rushlight.distributed.tensor.placement import Partial, Placement, Replicate, Shard, _Partial, _StridedShard

__all__ = ["Partial", "Placement", "Replicate", "Shard", "_Partial", "_StridedShard"]
