"""Quantization in small operations: real numbers to integers and back, and the sum of quantized arrays."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import DType, float32
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions.common import cast

LIMITS = {"uint8": (0, 255), "int8": (-128, 127), "int32": (-(1 << 31), (1 << 31) - 1)}


def to_integers(x: Any, inverse: Any, zero: Any, dtype: DType, limits: tuple[int, int] | None = None) -> Tensor:
    """saturate(round(x · inverse + zero)); ``inverse`` is 1 / scale, both broadcast."""
    low, high = limits or LIMITS[dtype.name]
    scaled = x * inverse
    q = scaled.round() if isinstance(zero, int) and not zero else (scaled + zero).round()
    return cast(q.clamp(low, high), dtype)


def to_reals(q: Any, scale: Any, zero: Any) -> Tensor:
    """(q - zero) · scale in float32."""
    wide = cast(q, float32)
    return (wide if isinstance(zero, int) and not zero else wide - zero) * scale  # type: ignore[no-any-return]


def qadd_parts(x: Any, y: Any, x_scale: Any, y_scale: Any, out_scale: Any, zero_x: int, zero_y: int, zero_out: int,
               relu: bool, dtype: DType) -> Tensor:
    """The row `qadd` written out: one fused loop."""
    first: Any = to_reals(x, x_scale, zero_x)
    total = first + to_reals(y, y_scale, zero_y)
    return to_integers(total.relu() if relu else total, 1.0 / out_scale, zero_out, dtype)


def _rounded(x: Tensor, scale: Any, zero: Any) -> Any:
    return (x * (1.0 / scale) + zero).round()


def fake_quantize_parts(x: Tensor, scale: Any, zero: Any, low: int, high: int) -> Tensor:
    """The row `fake_quantize` written out."""
    return (_rounded(x, scale, zero).clamp(low, high) - zero) * scale  # type: ignore[no-any-return]


def fake_quantize_grad(g: Tensor, x: Tensor, scale: Any, zero: Any, low: int, high: int) -> Tensor:
    """g where x lies within the range, else 0."""
    q = _rounded(x, scale, zero)
    inside = (q >= low) & (q <= high)
    return g * cast(inside, g._spec.dtype)  # type: ignore[no-any-return]
