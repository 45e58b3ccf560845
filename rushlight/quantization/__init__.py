"""torch.quantization: the older name of torch.ao.quantization."""

from rushlight.ao.quantization import *  # noqa: F403
