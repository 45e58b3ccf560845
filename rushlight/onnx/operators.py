"""Sizes as tensors, as exported models compute them."""

from __future__ import annotations

from typing import Any

from rushlight.tensor.core import Tensor


def shape_as_tensor(x: Tensor) -> Any:
    """The sizes as an int64 tensor.

    >>> import rushlight as rl
    >>> shape_as_tensor(rl.ones(2, 3))
    tensor([2, 3])
    """
    import rushlight as rl

    return rl.tensor(list(x.shape))


def reshape_from_tensor_shape(x: Tensor, shape: Tensor) -> Any:
    """x in a shape that a tensor holds.

    >>> import rushlight as rl
    >>> reshape_from_tensor_shape(rl.ones(4), rl.tensor([2, 2])).shape
    torch.Size([2, 2])
    """
    return x.reshape([n.item() for n in shape.unbind(0)])


__all__ = ["reshape_from_tensor_shape", "shape_as_tensor"]
