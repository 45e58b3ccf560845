"""torch.distributed._tensor.api."""

from rushlight.distributed.tensor.dtensor import DTensor, distribute_module, distribute_tensor

__all__ = ["DTensor", "distribute_module", "distribute_tensor"]
