"""torch.nn.intrinsic: the older name of torch.ao.nn.intrinsic."""

from rushlight.ao.nn.intrinsic import *  # noqa: F403
from rushlight.nn.intrinsic import qat, quantized  # noqa: F401
