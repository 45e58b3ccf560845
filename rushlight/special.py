"""torch.special."""

from rushlight.tensor.special import *  # noqa: F403
