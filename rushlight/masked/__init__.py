"""torch.masked: reductions and normalisations of the elements where a mask is True."""

import sys

from rushlight.masked.normalizations import log_softmax, logaddexp, normalize, softmax, softmin
from rushlight.masked.reductions import (
    amax, amin, argmax, argmin, cumprod, cumsum, logsumexp, mean, median, norm, prod, std, sum, var)

__all__ = ["amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp", "logsumexp", "mean",
           "median", "norm", "normalize", "prod",
           "softmax", "softmin", "std", "sum", "var"]
_ops = sys.modules[__name__]  # under this name PyTorch's documentation calls them
