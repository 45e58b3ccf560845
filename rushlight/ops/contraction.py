"""Contractions: matrix products and convolutions."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import c_name
from rushlight.ir.spec import broadcast
from rushlight.ops.table import Types, row

Ints = tuple[int, ...]


def matmul_shape(x: Any, y: Any) -> Types:
    """(…, m, k) @ (…, k, n); the batch dimensions broadcast."""
    if x.dtype is not y.dtype:
        raise RuntimeError("expected m1 and m2 to have the same dtype, but got: "
                           f"{c_name(x.dtype)} != {c_name(y.dtype)}. The operands are {x} and {y}; "
                           "convert one of them, for example with .float().")
    if x.shape[-1] != y.shape[-2]:
        m, k, k2, n = x.shape[-2], x.shape[-1], y.shape[-2], y.shape[-1]
        if len(x.shape) == 2 and len(y.shape) == 2:
            raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({m}x{k} and {k2}x{n}). "
                               f"The inner sizes {k} and {k2} must be equal.")
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: [{x.shape[0]}, "
                           f"{k}] but got: [{y.shape[0]}, {k2}]. The shapes are {list(x.shape)} and {list(y.shape)}.")
    batch = broadcast(x.shape[:-2], y.shape[:-2])
    if batch is None:
        from rushlight.ops.pointwise import shape_error
        raise shape_error(x.shape[:-2], y.shape[:-2])
    return ((x.dtype, (*batch, x.shape[-2], y.shape[-1])),)


MATMUL = row("matmul", "contract", "x y", matmul_shape, grad_name="MmBackward0", sample="matrices",
             vjp={"x": lambda F, g, x_spec, y: F.sum_to(g @ F.adjoint(y), x_spec.shape),
                   "y": lambda F, g, x, y_spec: F.sum_to(F.adjoint(x) @ g, y_spec.shape)})


def conv_shape(x: Any, w: Any, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Types:
    spatial = [(n + 2 * p - d * (k - 1) - 1) // s + 1
               for n, k, s, p, d in zip(x.shape[2:], w.shape[2:], stride, padding, dilation)]
    return ((x.dtype, (x.shape[0], w.shape[0], *spatial)),)


CONVOLUTION = row(
    "convolution", "contract", "x w", conv_shape, attrs="stride padding dilation groups", sample="images", vjp={
        "x": lambda F, g, x_spec, w, stride, padding, dilation, groups: F.conv_input(
            g, w.conj(), x_spec.shape, stride, padding, dilation, groups),
        "w": lambda F, g, x, w_spec, stride, padding, dilation, groups: F.conv_weight(
            g, x.conj(), w_spec.shape, stride, padding, dilation, groups)})
CONVOLUTION_BIAS = row(
    "convolution_bias", "contract", "x w b", lambda x, w, b, *attrs: conv_shape(x, w, *attrs),
    attrs="stride padding dilation groups", sample="images", grad_name="ConvolutionBackward0",
    decompose=lambda F, x, w, b, stride, padding, dilation, groups: F.add_channels(
        F.conv(x, w, stride, padding, dilation, groups), b),
    vjp={**CONVOLUTION.vjp, "b": lambda F, g: F.channel_sums(g)})
# <g, conv(x, w)> is linear in each of the three, so each gradient is one of the other two operations
CONVOLUTION_INPUT = row(
    "convolution_input_grad", "contract", "y w", lambda y, w, shape, *_: ((y.dtype, shape),),
    attrs="shape stride padding dilation groups", grad_name="ConvolutionBackward0", sample="images", vjp={
        "y": lambda F, g, y_spec, w, stride, padding, dilation, groups: F.cropped(
            F.conv(g, w.conj(), stride, padding, dilation, groups), y_spec.shape),
        "w": lambda F, g, y, w_spec, stride, padding, dilation, groups: F.conv_weight(
            y.conj(), g, w_spec.shape, stride, padding, dilation, groups)})
CONVOLUTION_WEIGHT = row(
    "convolution_weight_grad", "contract", "y x", lambda y, x, shape, *_: ((y.dtype, shape),),
    attrs="shape stride padding dilation groups", grad_name="ConvolutionBackward0", sample="images", vjp={
        "y": lambda F, g, y_spec, x, stride, padding, dilation, groups: F.cropped(
            F.conv(x.conj(), g, stride, padding, dilation, groups), y_spec.shape),
        "x": lambda F, g, y, x_spec, stride, padding, dilation, groups: F.conv_input(
            y.conj(), g, x_spec.shape, stride, padding, dilation, groups)})
