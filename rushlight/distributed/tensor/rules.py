"""The table of sharding rules: which functions of torch run on the pieces of DTensors, and how. What is not here runs
on whole tensors."""

from __future__ import annotations

from rushlight.distributed.tensor import rules_layers as _layers  # noqa: F401
from rushlight.distributed.tensor import rules_losses as _losses  # noqa: F401
from rushlight.distributed.tensor import rules_movement as _movement  # noqa: F401
from rushlight.distributed.tensor import rules_pointwise as _pointwise  # noqa: F401
from rushlight.distributed.tensor import rules_products as _products  # noqa: F401
from rushlight.distributed.tensor import rules_reductions as _reductions  # noqa: F401
from rushlight.distributed.tensor.dispatch import RULES

__all__ = ["RULES"]
