"""Gradients of convolutions with respect to their input or weight, as functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rushlight as rl
from rushlight.tensor.core import Tensor

from . import functional as F

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]


def _of_input(conv: Callable[..., Any], input_size: Any, weight: Any, grad_output: Any,
              stride: Any, padding: Any, dilation: Any, groups: Any) -> Tensor:
    with rl.enable_grad():
        x = rl.zeros(*input_size, dtype=weight.dtype, device=weight.device, requires_grad=True)
        out = conv(x, weight.detach(), None, stride, padding, dilation, groups)
    return rl.autograd.grad(out, x, grad_output)[0]


def _of_weight(conv: Callable[..., Any], input: Any, weight_size: Any, grad_output: Any,
               stride: Any, padding: Any, dilation: Any, groups: Any) -> Tensor:
    with rl.enable_grad():
        weight = rl.zeros(*weight_size, dtype=input.dtype, device=input.device, requires_grad=True)
        out = conv(input.detach(), weight, None, stride, padding, dilation, groups)
    return rl.autograd.grad(out, weight, grad_output)[0]


def conv1d_input(input_size: Any, weight: Any, grad_output: Any, stride: Any = 1, padding: Any = 0,
                 dilation: Any = 1, groups: Any = 1) -> Tensor:
    """The gradient of ``conv1d`` with respect to an input of this size."""
    return _of_input(F.conv1d, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv1d_weight(input: Any, weight_size: Any, grad_output: Any, stride: Any = 1, padding: Any = 0,
                  dilation: Any = 1, groups: Any = 1) -> Tensor:
    """The gradient of ``conv1d`` with respect to a weight of this size."""
    return _of_weight(F.conv1d, input, weight_size, grad_output, stride, padding, dilation, groups)


def conv2d_input(input_size: Any, weight: Any, grad_output: Any, stride: Any = 1, padding: Any = 0,
                 dilation: Any = 1, groups: Any = 1) -> Tensor:
    """The gradient of ``conv2d`` with respect to an input of this size."""
    return _of_input(F.conv2d, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv2d_weight(input: Any, weight_size: Any, grad_output: Any, stride: Any = 1, padding: Any = 0,
                  dilation: Any = 1, groups: Any = 1) -> Tensor:
    """The gradient of ``conv2d`` with respect to a weight of this size."""
    return _of_weight(F.conv2d, input, weight_size, grad_output, stride, padding, dilation, groups)


def conv3d_input(input_size: Any, weight: Any, grad_output: Any, stride: Any = 1, padding: Any = 0,
                 dilation: Any = 1, groups: Any = 1) -> Tensor:
    """The gradient of ``conv3d`` with respect to an input of this size."""
    return _of_input(F.conv3d, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv3d_weight(input: Any, weight_size: Any, grad_output: Any, stride: Any = 1, padding: Any = 0,
                  dilation: Any = 1, groups: Any = 1) -> Tensor:
    """The gradient of ``conv3d`` with respect to a weight of this size."""
    return _of_weight(F.conv3d, input, weight_size, grad_output, stride, padding, dilation, groups)
