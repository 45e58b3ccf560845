"""Deformable convolution: every kernel position of every output pixel reads where an offset says."""

from __future__ import annotations

import math

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.ops._regions import pair


def deform_conv2d(input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None = None,
                  stride: int | tuple[int, int] = (1, 1), padding: int | tuple[int, int] = (0, 0),
                  dilation: int | tuple[int, int] = (1, 1), mask: Tensor | None = None) -> Tensor:
    """Deformable convolution (arXiv 1703.06211), with ``mask`` of version 2 (arXiv 1811.11168).

    Args:
        input: ``[N, C, H, W]``.
        offset: ``[N, 2 * groups * kh * kw, H', W']``: for each group of channels and kernel position, by how many
            pixels down and right the place to read is moved. Values between pixels are interpolated, outside is 0.
        weight: ``[C', C / weight_groups, kh, kw]``.
        mask: ``[N, groups * kh * kw, H', W']``, factors of the values read.

    Gives ``[N, C', H', W']``; gradients flow to all of them. RuntimeError where the offsets do not fit the kernel.

    >>> x, w = rl.rand(1, 2, 4, 4), rl.rand(3, 2, 3, 3)
    >>> bool(rl.allclose(deform_conv2d(x, rl.zeros(1, 18, 2, 2), w), F.conv2d(x, w), atol=1e-5))
    True
    """
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    out_channels, group_channels, kh, kw = weight.shape
    batch, channels, height, width = input.shape
    places = kh * kw
    groups = offset.shape[1] // (2 * places)
    if groups == 0 or offset.shape[1] % (2 * places):
        raise RuntimeError("the shape of the offset tensor at dimension 1 is not valid. It should be a multiple of "
                           f"2 * weight.size[2] * weight.size[3].\nGot offset.shape[1]={offset.shape[1]}, while "
                           f"2 * weight.size[2] * weight.size[3]={2 * places}")
    out_h, out_w = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1, (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    if offset.shape[2:] != (out_h, out_w):
        raise RuntimeError(f"offset output dims: ({offset.shape[2]}, "
                           f"{offset.shape[3]}) - computed output dims: ({out_h}, {out_w})")

    moved = offset.reshape(batch * groups, places, 2, out_h, out_w)
    dtype = input.dtype
    down = (rl.arange(kh, dtype=dtype).mul(dh).repeat_interleave(kw)[:, None, None]
            + (rl.arange(out_h, dtype=dtype) * sh - ph)[None, :, None])
    right = (rl.arange(kw, dtype=dtype).mul(dw).repeat(kh)[:, None, None]
             + (rl.arange(out_w, dtype=dtype) * sw - pw)[None, None, :])
    # grid_sample counts from -1 at the outer edge of the first pixel to 1 at the outer edge of the last
    grid = rl.stack([(2 * (moved[:, :, 1] + right) + 1) / width - 1,
                     (2 * (moved[:, :, 0] + down) + 1) / height - 1], dim=-1)
    grid = grid.reshape(batch * groups, places * out_h, out_w, 2)
    parts = input.reshape(batch * groups, channels // groups, height, width)
    read = F.grid_sample(parts, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    read = read.reshape(batch, groups, channels // groups, places, out_h * out_w)
    if mask is not None:
        read = read * mask.reshape(batch, groups, 1, places, out_h * out_w)

    weight_groups = channels // group_channels
    columns = read.reshape(batch, weight_groups, group_channels * places, out_h * out_w)
    kernel = weight.reshape(weight_groups, out_channels // weight_groups, group_channels * places)
    result = (kernel @ columns).reshape(batch, out_channels, out_h, out_w)
    return result if bias is None else result + bias[:, None, None]


class DeformConv2d(nn.Module):
    """:func:`deform_conv2d` with its weights; offsets (and mask) come from elsewhere, a convolution usually.

    >>> DeformConv2d(3, 8, 3, padding=1)
    DeformConv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int],
                 stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] = 0,
                 dilation: int | tuple[int, int] = 1, groups: int = 1, bias: bool = True):
        super().__init__()
        if in_channels % groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = pair(kernel_size), pair(stride)
        self.padding, self.dilation = pair(padding), pair(dilation)
        self.weight = nn.Parameter(rl.empty(out_channels, in_channels // groups, *self.kernel_size))
        self.register_parameter("bias", nn.Parameter(rl.empty(out_channels)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and bias as a convolution does."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        return deform_conv2d(input, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask)

    def __repr__(self) -> str:
        extras = [f"{name}={getattr(self, name)}"
                  for name, usual in (("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1))
                  if getattr(self, name) != usual] + (["bias=False"] if self.bias is None else [])
        listed = "".join(f", {extra}" for extra in extras)
        return (f"{type(self).__name__}({self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
                f"stride={self.stride}{listed})")
