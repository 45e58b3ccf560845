"""Integer convolution, matrix products, pooling and addition: what quantized layers run on.

A quantized array holds integers q that stand for the real numbers (q - zero) * scale. Images lie with channels last:
(N, *spatial, C). Products add up in 32 bits and leave as integers or as float32:

    y = Σ (x - zero_x) · w · scale[o] + bias[o]     then max(y, 0) with ``relu``
    q = saturate(round(y / out_scale + zero_out))   unless ``dtype`` is float32, which is y itself

``scale`` (O) is the scale of x times that of the weights, ``bias`` (O), ``out_scale`` (1) are float32, ``zero_x`` (1)
int32, ignored without ``offset``. ``packed`` holds the weights once more in the layout of a kernel library that
``packing`` names (empty, with None, where there is none); the definition reads ``w``. Rounding is to even at halves.
"""

from __future__ import annotations

from typing import Any

from rushlight.ops.table import Types, row
from rushlight.ops.windows import window_count

Ints = tuple[int, ...]
OPERANDS = "x w packed scale bias out_scale zero_x"
REQUANTIZE = "offset zero_out relu dtype packing"


def qlinear_shape(x: Any, w: Any, *rest: Any) -> Types:
    """(n, k), (o, k) -> (n, o)."""
    return ((rest[-2], (x.shape[0], w.shape[0])),)


def qconv_shape(x: Any, w: Any, *rest: Any) -> Types:
    """(N, *spatial, C), (O, C / groups, *kernel) -> (N, *out, O)."""
    stride, padding, dilation = rest[-9:-6]
    spatial = [window_count(n, k, s, p, d)
               for n, k, s, p, d in zip(x.shape[1:-1], w.shape[2:], stride, padding, dilation)]
    return ((rest[-2], (x.shape[0], *spatial, w.shape[0])),)


def qpool_shape(x: Any, kind: str, kernel: Ints, stride: Ints, padding: Ints, ceil_mode: bool, count_pad: bool,
                zero: int) -> Types:
    """(N, *spatial, C) -> (N, *out, C)."""
    spatial = [window_count(n, k, s, p, 1, ceil_mode) for n, k, s, p in zip(x.shape[1:-1], kernel, stride, padding)]
    return ((x.dtype, (x.shape[0], *spatial, x.shape[-1])),)


QLINEAR = row("qlinear", "contract", OPERANDS, qlinear_shape, attrs=REQUANTIZE, sample="none", differentiable=False)
QCONV = row("qconv", "contract", OPERANDS, qconv_shape, attrs=f"stride padding dilation groups {REQUANTIZE}",
            sample="none", differentiable=False)
# the greatest element of windows ("max"), or their mean ("avg") rounded; padding stands for `zero`, and counts with
# `count_pad`
QPOOL = row("qpool", "coarse", "x", qpool_shape, attrs="kind kernel stride padding ceil_mode count_pad zero",
            sample="none", differentiable=False)
# two arrays of one shape: saturate(round(((x - zero_x) x_scale + (y - zero_y) y_scale) / out_scale + zero_out))
QADD = row("qadd", "coarse", "x y x_scale y_scale out_scale", lambda x, y, *rest: ((rest[-1], x.shape),),
           attrs="zero_x zero_y zero_out relu dtype", sample="none", differentiable=False,
           decompose=lambda F, x, y, x_scale, y_scale, out_scale, zero_x, zero_y, zero_out, relu, dtype: F.qadd_parts(
               x, y, x_scale, y_scale, out_scale, zero_x, zero_y, zero_out, relu, dtype))
# round(x / scale + zero) within [low, high], and back: what an integer would stand for. Rounding counts as the identity
# for gradients, which stop outside the range.
FAKE_QUANTIZE = row(
    "fake_quantize", "coarse", "x scale zero", lambda x, *_: ((x.dtype, x.shape),), attrs="low high", sample="none",
    elementwise=True, decompose=lambda F, x, scale, zero, low, high: F.fake_quantize_parts(x, scale, zero, low, high),
    vjp={"x": lambda F, g, x, scale, zero, low, high: F.fake_quantize_grad(g, x, scale, zero, low, high)})
