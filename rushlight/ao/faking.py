"""torch.fake_quantize_*: rounding to what integers could say, in float, with a gradient."""

from __future__ import annotations

from typing import Any

from rushlight.ops.quantized import FAKE_QUANTIZE
from rushlight.tensor.core import Tensor, apply


def _check(low: int, high: int) -> None:
    if low > high:
        raise RuntimeError(f"`quant_min` should be less than or equal to `quant_max`, got {low} and {high}.")


def fake_quantize_per_tensor_affine(input: Tensor, scale: Any, zero_point: Any, quant_min: int,
                                    quant_max: int) -> Tensor:
    """(clamp(round(x / scale + zero_point), quant_min, quant_max) - zero_point) · scale;
    the gradient is 1 within the range.

    Scale and zero point are numbers or tensors of one element.

    >>> import rushlight as rl
    >>> fake_quantize_per_tensor_affine(rl.tensor([0.26, 9.0]), 0.1, 0, 0, 15)
    tensor([0.3000, 1.5000])
    """
    _check(quant_min, quant_max)
    if isinstance(scale, Tensor):
        scale = scale.detach().to(input._spec.dtype).reshape(())
        zero_point = zero_point.detach().to(input._spec.dtype).reshape(())
    else:
        scale, zero_point = float(scale), float(zero_point)
    return apply(FAKE_QUANTIZE, (input, scale, zero_point),  # type: ignore[no-any-return]
                 (int(quant_min), int(quant_max)))


def fake_quantize_per_channel_affine(input: Tensor, scale: Tensor, zero_point: Tensor, axis: int, quant_min: int,
                                     quant_max: int) -> Tensor:
    """`fake_quantize_per_tensor_affine` with a scale and zero point for each index of a dimension."""
    _check(quant_min, quant_max)
    rank = len(input._spec.shape)
    if not -rank <= axis < rank:
        raise RuntimeError("`axis` must be between 0 and number of dimensions of input, "
                           f"got {axis} for {list(input._spec.shape)}")
    if scale.numel() != input._spec.shape[axis]:
        raise RuntimeError("dimensions of scale and zero-point are not consistent with input tensor: "
                           f"{scale.numel()} scales for {list(input._spec.shape)}, axis {axis}")
    shape = [-1 if d == axis % rank else 1 for d in range(rank)]
    parts = [t.detach().to(input._spec.dtype).reshape(shape) for t in (scale, zero_point)]
    return apply(FAKE_QUANTIZE, (input, *parts), (int(quant_min), int(quant_max)))  # type: ignore[no-any-return]
