"""torch.distributed._tensor.placement_types."""

from rushlight.distributed.tensor.placement_types import *  # noqa: F403
