"""torch.nn.quantized: the older name of torch.ao.nn.quantized."""

from rushlight.ao.nn.quantized import *  # noqa: F403
from rushlight.nn.quantized import dynamic  # noqa: F401
