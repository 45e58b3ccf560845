"""Attention within windows of an image, with positions relative to each other; of Swin and Swin v2."""

from __future__ import annotations

import math

import numpy as np

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.leaf_functions import leaf_functions
from rushlight.nn import functional as F

FAR = -100.0  # added to the scores of pixels that are neighbours only because the picture was rolled


def relative_positions(height: int, width: int) -> np.ndarray:
    """For each pair of pixels of a window the row of the table of relative positions,
    ``[height * width, height * width]``.

    >>> relative_positions(1, 2)
    array([[1, 0],
           [2, 1]])
    """
    y, x = (part.reshape(-1) for part in np.mgrid[:height, :width])
    return (y[:, None] - y[None] + height - 1) * (2 * width - 1) + x[:, None] - x[None] + width - 1


def _windows(x: Tensor, window: list[int]) -> Tensor:
    """``[N, H, W, …]`` as ``[N, windows, pixels, …]``."""
    batch, height, width, *rest = x.shape
    split = x.reshape(batch, height // window[0], window[0], width // window[1], window[1], *rest)
    return split.transpose(2, 3).reshape(batch, -1, window[0] * window[1], *rest)


def _strangers(height: int, width: int, window: list[int], shift: list[int]) -> Tensor:
    """What to add to the scores ``[windows, 1, pixels, pixels]`` so that parts
    of different places do not see each other."""
    def parts(size: int, side: int, step: int) -> np.ndarray:
        if not step:
            return np.zeros(size)
        at = np.arange(size)
        return np.where(at < size - side, 0, np.where(at < size - step, 1, 2))

    places = parts(height, window[0], shift[0])[:, None] * 3 + parts(width, window[1], shift[1])[None]
    rows = _windows(rl.from_numpy(places.astype(np.float32))[None], window)[0]
    apart = rows[:, None, :] != rows[:, :, None]
    return apart[:, None].float() * FAR


def shifted_window_attention(input: Tensor, qkv_weight: Tensor, proj_weight: Tensor, relative_position_bias: Tensor,
                             window_size: list[int], num_heads: int, shift_size: list[int],
                             attention_dropout: float = 0.0, dropout: float = 0.0, qkv_bias: Tensor | None = None,
                             proj_bias: Tensor | None = None, logit_scale: Tensor | None = None,
                             training: bool = True) -> Tensor:
    """Multi-head attention of ``[N, H, W, C]`` among the pixels of each window, the windows shifted by ``shift_size``.

    ``relative_position_bias`` ``[1, heads, pixels, pixels]`` is added to the scores; with
    ``logit_scale`` they are cosines, scaled (version 2). The picture is padded to whole windows;
    along an axis with one window nothing is shifted.
    """
    batch, height, width, channels = input.shape
    x = F.pad(input, (0, 0, 0, -width % window_size[1], 0, -height % window_size[0]))
    _, full_h, full_w, _ = x.shape
    shift = [0 if side >= full else step for side, full, step in zip(window_size, (full_h, full_w), shift_size)]
    if any(shift):
        x = rl.roll(x, shifts=(-shift[0], -shift[1]), dims=(1, 2))
    x = _windows(x, window_size)
    count, pixels = x.shape[1], x.shape[2]
    x = x.reshape(batch * count, pixels, channels)

    if logit_scale is not None and qkv_bias is not None:  # keys have no bias in version 2
        third = qkv_bias.numel() // 3
        qkv_bias = rl.cat([qkv_bias[:third], rl.zeros_like(qkv_bias[:third]), qkv_bias[2 * third:]])
    qkv = F.linear(x, qkv_weight, qkv_bias).reshape(batch * count, pixels, 3, num_heads, channels // num_heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    if logit_scale is not None:
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        scores = scores * logit_scale.clamp(max=math.log(100.0)).exp()
    else:
        scores = (q * (channels // num_heads) ** -0.5) @ k.transpose(-2, -1)
    scores = scores + relative_position_bias
    if any(shift):
        apart = _strangers(full_h, full_w, window_size, shift)
        scores = scores.reshape(batch, count, num_heads, pixels, pixels) + apart
        scores = scores.reshape(batch * count, num_heads, pixels, pixels)
    weights = F.dropout(F.softmax(scores, dim=-1), p=attention_dropout, training=training)

    x = (weights @ v).transpose(1, 2).reshape(batch * count, pixels, channels)
    x = F.dropout(F.linear(x, proj_weight, proj_bias), p=dropout, training=training)
    x = x.reshape(batch, full_h // window_size[0], full_w // window_size[1], *window_size, channels)
    x = x.transpose(2, 3).reshape(batch, full_h, full_w, channels)
    if any(shift):
        x = rl.roll(x, shifts=tuple(shift), dims=(1, 2))
    return x[:, :height, :width, :].contiguous()


def _get_relative_position_bias(table: Tensor, index: Tensor, window_size: list[int]) -> Tensor:
    """The rows of a table for all pairs of pixels, ``[1, heads, pixels, pixels]``."""
    pixels = window_size[0] * window_size[1]
    return table[index].view(pixels, pixels, -1).permute(2, 0, 1).unsqueeze(0)


leaf_functions("shifted_window_attention", "_get_relative_position_bias")


class ShiftedWindowAttention(nn.Module):
    """:func:`shifted_window_attention` with its weights and a table of relative positions."""

    def __init__(self, dim: int, window_size: list[int], shift_size: list[int], num_heads: int, qkv_bias: bool = True,
                 proj_bias: bool = True, attention_dropout: float = 0.0, dropout: float = 0.0):
        super().__init__()
        if len(window_size) != 2 or len(shift_size) != 2:
            raise ValueError("window_size and shift_size must be of length 2")
        self.window_size, self.shift_size, self.num_heads = window_size, shift_size, num_heads
        self.attention_dropout, self.dropout = attention_dropout, dropout
        self.qkv = nn.Linear(dim, dim * 3, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim, bias=proj_bias)
        self.define_relative_position_bias_table()
        self.define_relative_position_index()

    def define_relative_position_bias_table(self) -> None:
        """A value per head for every relative position."""
        rows = (2 * self.window_size[0] - 1) * (2 * self.window_size[1] - 1)
        self.relative_position_bias_table = nn.Parameter(rl.zeros(rows, self.num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def define_relative_position_index(self) -> None:
        """The row of the table for every pair of pixels."""
        self.register_buffer("relative_position_index",
                             rl.from_numpy(relative_positions(*self.window_size).reshape(-1)))

    def get_relative_position_bias(self) -> Tensor:
        """``[1, heads, pixels, pixels]``."""
        return _get_relative_position_bias(self.relative_position_bias_table,
                                           self.relative_position_index, self.window_size)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.get_relative_position_bias()
        return shifted_window_attention(
            x, self.qkv.weight, self.proj.weight, bias, self.window_size, self.num_heads,
            shift_size=self.shift_size, attention_dropout=self.attention_dropout, dropout=self.dropout,
            qkv_bias=self.qkv.bias, proj_bias=self.proj.bias, logit_scale=getattr(self, "logit_scale", None),
            training=self.training)


class ShiftedWindowAttentionV2(ShiftedWindowAttention):
    """Cosine attention, with biases that a small network computes from the logarithms of relative positions."""

    def __init__(self, dim: int, window_size: list[int], shift_size: list[int], num_heads: int, qkv_bias: bool = True,
                 proj_bias: bool = True, attention_dropout: float = 0.0, dropout: float = 0.0):
        super().__init__(dim, window_size, shift_size, num_heads, qkv_bias, proj_bias, attention_dropout, dropout)
        self.logit_scale = nn.Parameter(rl.log(10 * rl.ones((num_heads, 1, 1))))
        self.cpb_mlp = nn.Sequential(nn.Linear(2, 512, bias=True), nn.ReLU(inplace=True),
                                     nn.Linear(512, num_heads, bias=False))
        if qkv_bias:
            third = self.qkv.bias.numel() // 3
            with rl.no_grad():
                self.qkv.bias[third:2 * third].zero_()

    def define_relative_position_bias_table(self) -> None:
        """Relative positions from -1 to 1 on a logarithmic scale, ``[1, rows, columns, 2]``."""
        sides = [rl.arange(-(side - 1), side, dtype=rl.float32) / (side - 1) for side in self.window_size]
        table = rl.stack(rl.meshgrid(*sides, indexing="ij"), dim=-1).unsqueeze(0) * 8
        self.register_buffer("relative_coords_table", rl.sign(table) * rl.log2(rl.abs(table) + 1.0) / 3.0)

    def get_relative_position_bias(self) -> Tensor:
        """``[1, heads, pixels, pixels]``, from 0 to 16."""
        table = self.cpb_mlp(self.relative_coords_table).view(-1, self.num_heads)
        return 16 * rl.sigmoid(_get_relative_position_bias(table, self.relative_position_index, self.window_size))
