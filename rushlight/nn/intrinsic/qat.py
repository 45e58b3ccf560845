"""torch.nn.intrinsic.qat: the older name of torch.ao.nn.intrinsic.qat."""

from rushlight.ao.nn.intrinsic.qat import *  # noqa: F403
