"""Normalize: channels brought to mean 0 and standard deviation 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rushlight.nn.modules.module import Module
from rushlight.tensor.core import Tensor
from rushlight.vision.transforms import functional, whole_batch
from rushlight.vision.transforms.arithmetic import normalized


class Normalize(Module):
    """(tensor - mean) / std per channel of float tensors (..., C, H, W)."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False):
        super().__init__()
        self.mean, self.std, self.inplace = mean, std, inplace

    def forward(self, tensor: Tensor) -> Tensor:
        return functional.normalize(tensor, self.mean, self.std, self.inplace)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mean={self.mean}, std={self.std})"


@whole_batch.rule(Normalize)
def _normalize_batch(transform: Normalize, batch: whole_batch.Batch) -> whole_batch.Batch | None:
    """Cases that raise for one sample, and mean or std that are not plain numbers, are left to the path for one
    sample."""
    values, numbers = batch.values, (transform.mean, transform.std)
    if batch.pictures or values.dtype.kind != "f" or values.dtype.itemsize < 4 or values.ndim < 4:
        return None
    if any(isinstance(n, Tensor) or np.ndim(n) > 1 or np.size(n) not in (1, values.shape[-3]) for n in numbers):
        return None
    if (np.asarray(transform.std, values.dtype) == 0).any():
        return None
    return whole_batch.Batch(normalized(values, transform.mean, transform.std), pictures=False)
