"""torch.utils.data.distributed."""

from rushlight.data.sampler import *  # noqa: F403
