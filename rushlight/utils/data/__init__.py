"""torch.utils.data."""

from rushlight.data import *  # noqa: F403
from rushlight.utils.data import dataloader, dataset, distributed, sampler  # noqa: F401
