"""Arithmetic that the old (hook) and new (parametrization) weight and spectral norm share."""

from __future__ import annotations

from typing import Any

import rushlight as rl
from rushlight.tensor.core import Tensor

from .. import functional as F
from ..modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d


def norm_except_dim(v: Tensor, dim: int) -> Tensor:
    """The Euclidean norm over all dimensions but ``dim``, kept at size 1; dim -1 means over all of them."""
    if dim == -1:
        return rl.linalg.vector_norm(v)
    others = [d for d in range(v.dim()) if d != dim % v.dim()]
    return rl.linalg.vector_norm(v, dim=others, keepdim=True) if others else v.abs()


def weight_from(g: Tensor, v: Tensor, dim: int) -> Tensor:
    """``g · v / ‖v‖``."""
    return v * (g / norm_except_dim(v, dim))


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight as (size of ``dim``, everything else)."""
    if dim != 0:
        weight = weight.permute(dim, *[d for d in range(weight.dim()) if d != dim])
    return weight.reshape(weight.size(0), -1)


def output_dim(module: Any) -> int:
    """The dimension of a weight that counts outputs: 1 in transposed convolutions, else 0."""
    return 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0


def unit(vector: Tensor, eps: float) -> Tensor:
    """The vector divided by its norm, which is taken as at least ``eps``."""
    return F.normalize(vector, dim=0, eps=eps)
