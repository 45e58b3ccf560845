"""torch.distributed._tensor.api."""

from rushlight.distributed.tensor.distribute import distribute_module, distribute_tensor
from rushlight.distributed.tensor.dtensor import DTensor

__all__ = ["DTensor", "distribute_module", "distribute_tensor"]
