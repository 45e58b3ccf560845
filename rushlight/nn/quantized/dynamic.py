"""torch.nn.quantized.dynamic: the older name of torch.ao.nn.quantized.dynamic."""

from rushlight.ao.nn.quantized.dynamic import *  # noqa: F403
