"""Networks that find how pixels move from one picture to another."""

from __future__ import annotations

from rushlight.vision.models.optical_flow.raft import (RAFT, Raft_Large_Weights,
                                                       Raft_Small_Weights, raft_large, raft_small)

__all__ = ["RAFT", "Raft_Large_Weights", "Raft_Small_Weights", "raft_large", "raft_small"]
