"""torch.nested: batches of tensors of different sizes."""

from __future__ import annotations

from rushlight.nested.creation import as_nested_tensor, masked_select, narrow, nested_tensor, nested_tensor_from_jagged
from rushlight.nested import products as _products  # noqa: F401 - enters its functions in the table
from rushlight.nested.shapes import to_padded_tensor as _padded
from rushlight.nested.tensor import NestedTensor
from rushlight.tensor.core import Tensor


def to_padded_tensor(input: Tensor, padding: float, output_size: tuple[int, ...] | None = None) -> Tensor:
    """A dense tensor of all parts, filled up with ``padding`` to the largest sizes
    (or to ``output_size``, the batch included).

    NotImplementedError for a tensor that is not nested.

    >>> import rushlight as rl
    >>> to_padded_tensor(nested_tensor([rl.ones(1), rl.ones(2)]), 0.0)
    tensor([[1., 0.],
            [1., 1.]])
    """
    if not isinstance(input, NestedTensor):
        raise NotImplementedError(
            "Could not run 'aten::to_padded_tensor' with arguments from the 'CPU' backend: the tensor is not nested"
        )
    from rushlight.tensor import protocol

    with protocol.without_subclasses():
        return _padded(input, padding, output_size)


__all__ = [
    "as_nested_tensor",
    "masked_select",
    "narrow",
    "nested_tensor",
    "nested_tensor_from_jagged",
    "to_padded_tensor",
]
