"""torch.utils.data.dataset."""

from rushlight.data.dataset import *  # noqa: F403
