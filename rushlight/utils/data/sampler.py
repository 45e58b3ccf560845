"""torch.utils.data.sampler."""

from rushlight.data.sampler import *  # noqa: F403
