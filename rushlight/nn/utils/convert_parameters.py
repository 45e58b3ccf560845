"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

import rushlight as rl
from rushlight.tensor.core import Tensor

from ..modules._typename import typename

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def _same_device(tensors: list[Tensor]) -> list[Tensor]:
    if len({str(tensor.device) for tensor in tensors}) > 1:
        raise TypeError("Found two parameters on different devices, this is currently not supported.")
    return tensors


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The values of all parameters in one 1-d tensor, in order."""
    return rl.cat([param.reshape(-1) for param in _same_device(list(parameters))])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Cuts a vector into the parameters' shapes and makes the pieces their data."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {typename(vec)}")
    start = 0
    for param in _same_device(list(parameters)):
        count = param.numel()
        param.data = vec[start : start + count].view_as(param).data
        start += count
