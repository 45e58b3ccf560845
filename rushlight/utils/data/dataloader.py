"""torch.utils.data.dataloader."""

from rushlight.data.loader import *  # noqa: F403
from rushlight.data.collate import collate, default_collate, default_convert  # noqa: F401
from rushlight.data.worker import get_worker_info  # noqa: F401
