"""The table of sharding rules: which functions of torch run on the pieces of DTensors, and how. What is not here runs on whole tensors."""

from __future__ import annotations

from rushlight.distributed.tensor.dispatch import RULES
from rushlight.distributed.tensor import rules_layers, rules_losses, rules_movement, rules_pointwise, rules_products, rules_reductions  # noqa: F401

__all__ = ["RULES"]
