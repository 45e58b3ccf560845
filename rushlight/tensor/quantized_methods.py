"""Methods of quantized tensors on plain ones: an error that says what is missing."""

from __future__ import annotations

from typing import Any

from rushlight.tensor.core import Tensor


def dequantize(self: Tensor) -> Tensor:
    """The tensor in float32: a plain tensor's numbers are real already."""
    from rushlight.ir.dtype import float32
    return self.to(float32)  # type: ignore[no-any-return]


def _only_quantized(name: str) -> Any:
    def method(self: Tensor) -> Any:
        raise NotImplementedError(f"Could not run 'aten::{name}' with arguments from the 'CPU' backend: "
                                  "the tensor is not quantized. torch.quantize_per_tensor makes one that is.")
    method.__name__ = method.__qualname__ = name
    method.__doc__ = "Of quantized tensors only: NotImplementedError."
    return method


METHODS: dict[str, Any] = {"dequantize": dequantize, **{
    name: _only_quantized(name) for name in ("int_repr", "q_scale", "q_zero_point", "q_per_channel_scales",
                                             "q_per_channel_zero_points", "q_per_channel_axis", "qscheme")}}
