"""Functions of quantized tensors (torch.ao.nn.quantized.functional)."""

from __future__ import annotations

from typing import Any

from rushlight.ao import kernels
from rushlight.nn import functional as F

adaptive_avg_pool2d, avg_pool2d, max_pool2d = F.adaptive_avg_pool2d, F.avg_pool2d, F.max_pool2d


def _pair(v: Any, n: int) -> tuple[int, ...]:
    return (int(v),) * n if isinstance(v, int) else tuple(v)


def linear(input: Any, weight: Any, bias: Any = None, scale: float | None = None, zero_point: int | None = None) -> Any:
    """x · weightᵀ + bias; scale and zero point of the result are those of the input by default."""
    return kernels.output(input, kernels.Weights(weight, bias), input.q_scale() if scale is None else scale,
                          input.q_zero_point() if zero_point is None else zero_point, False)


def _conv(n: int) -> Any:
    def conv(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
             groups: int = 1, padding_mode: str = "zeros", scale: float = 1.0,
             zero_point: int = 0, dtype: Any = None) -> Any:
        if padding_mode != "zeros":
            raise NotImplementedError("Only zero-padding is supported!")
        if input.dim() != n + 2:
            raise ValueError(f"Input shape must be of {n + 2} dimensions, got {list(input.shape)}")
        window = (_pair(stride, n), _pair(padding, n), _pair(dilation, n), groups)
        return kernels.output(input, kernels.Weights(weight, bias, window), scale, zero_point, False)
    conv.__name__ = conv.__qualname__ = f"conv{n}d"
    conv.__doc__ = (f"A convolution of quantized tensors over {n} dimensions; "
                    "`scale` and `zero_point` are those of the result.")
    return conv


conv1d, conv2d, conv3d = (_conv(n) for n in (1, 2, 3))


def clamp(input: Any, min_: float, max_: float) -> Any:
    """Limited to [min_, max_]."""
    return input.clamp(min_, max_)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """Limited to [min_val, max_val]."""
    return input.clamp(min_val, max_val)
