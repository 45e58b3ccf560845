"""What masked operations share: the mask in the input's shape, and the value that leaves a result as it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ir.dtype import DType, bool_
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions.common import cast, need_tensor, scalar_name
from rushlight.tensor.functions.pointwise import where

INF = float("inf")


def prepared(name: str, input: Any, mask: Tensor | None) -> Tensor | None:
    """The mask as bool in the shape of the input, or None. IndexError where it has more dimensions."""
    need_tensor(name, 1, "input", input)
    if mask is None:
        return None
    need_tensor(name, 2, "mask", mask)
    if mask.ndim > input.ndim:
        raise IndexError("_input_mask expected broadcastable mask (got mask dimensionality higher than of the input): "
                         f"the mask has shape {list(mask.shape)}, the input {list(input.shape)}")
    return cast(mask, bool_).expand(input.shape)


def lowest(name: str, dtype: DType) -> Any:
    """The value below all others, the identity of a maximum."""
    if dtype.kind == "f" or dtype.kind == "c" and name == "logsumexp":
        return -INF
    if dtype.kind in "iu":
        return int(np.iinfo(dtype.numpy).min)
    raise NotImplementedError(f"identity of {name} on torch.{dtype.name} input")


def highest(name: str, dtype: DType) -> Any:
    """The value above all others, the identity of a minimum."""
    if dtype.kind == "f":
        return INF
    if dtype.kind in "iu":
        return int(np.iinfo(dtype.numpy).max)
    raise NotImplementedError(f"identity of {name} on torch.{dtype.name} input")


def filled(input: Tensor, mask: Tensor | None, identity: Any) -> Tensor:
    """The input with the identity where the mask is False."""
    return input if mask is None else where(mask, input, identity)


def not_floating(name: str, dtype: DType) -> ValueError:
    return ValueError(f"{name}(): Could not infer output dtype. Input dtype must be either a floating "
                      f"point or complex dtype. Got: {dtype} ({scalar_name(dtype)})")
