"""torch.utils.data.dataloader."""

from rushlight.data.loader import *  # noqa: F403
from rushlight.data.collate import collate, default_collate, default_convert  # noqa: F401
