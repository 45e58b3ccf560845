"""Video Swin transformers (arXiv 2106.13230): attention within windows of space and time that shift by half."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.leaf_functions import leaf_functions
from rushlight.nn import functional as F
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.models._window_attention import FAR
from rushlight.vision.models.swin_transformer import PatchMerging, SwinTransformerBlock, stages

Layer = Callable[..., nn.Module]
Sizes = tuple[int, int, int]


def _get_window_and_shift_size(shift_size: list[int], size_dhw: list[int],
                               window_size: list[int]) -> tuple[list[int], list[int]]:
    """Windows no larger than the clip; along an axis with one window nothing is shifted."""
    whole = [size <= window for size, window in zip(size_dhw, window_size)]
    return ([size if one else window for one, size, window in zip(whole, size_dhw, window_size)],
            [0 if one else shift for one, shift in zip(whole, shift_size)])


def _get_relative_position_bias(relative_position_bias_table: Tensor, relative_position_index: Tensor,
                                window_size: list[int]) -> Tensor:
    """``[1, heads, members, members]``."""
    members = window_size[0] * window_size[1] * window_size[2]
    rows = relative_position_bias_table[relative_position_index[:members, :members].flatten()]
    return rows.view(members, members, -1).permute(2, 0, 1).contiguous().unsqueeze(0)


def _compute_pad_size_3d(size_dhw: Sizes, patch_size: Sizes) -> Sizes:
    """What each axis lacks to whole patches."""
    depth, height, width = (-size % patch for size, patch in zip(size_dhw, patch_size))
    return depth, height, width


def _windows(x: Tensor, window: list[int]) -> Tensor:
    """``[N, T, H, W, …]`` as ``[N, windows, members, …]``."""
    batch, *sizes = x.shape[:4]
    rest = x.shape[4:]
    split = x.reshape(batch, *(part for size, side in zip(sizes, window) for part in (size // side, side)), *rest)
    order = (0, 1, 3, 5, 2, 4, 6, *range(7, split.ndim))
    return split.permute(order).reshape(batch, -1, window[0] * window[1] * window[2], *rest)


def _whole(x: Tensor, window: list[int], padded: list[int]) -> Tensor:
    """The inverse of `_windows`."""
    counts = [size // side for size, side in zip(padded, window)]
    split = x.reshape(-1, *counts, *window, x.shape[-1])
    return split.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(-1, *padded, x.shape[-1])


def _strangers(padded: list[int], window: list[int], shift: list[int]) -> Tensor:
    """What to add to the scores ``[windows, 1, members, members]`` so that parts
    of different places do not see each other."""
    def parts(size: int, side: int, step: int) -> np.ndarray:
        place = np.arange(size)
        return ((place >= size - side).astype(int) + (place >= size - step) if step else
                (place >= size - side).astype(int))

    depth, height, width = (parts(*axis) for axis in zip(padded, window, shift))
    places = (depth[:, None, None] * 3 + height[:, None]) * 3 + width
    rows = _windows(rl.from_numpy(places.astype(np.float32))[None], window)[0]
    return (rows[:, None, :] != rows[:, :, None])[:, None].float() * FAR


def shifted_window_attention_3d(input: Tensor, qkv_weight: Tensor, proj_weight: Tensor, relative_position_bias: Tensor,
                                window_size: list[int], num_heads: int, shift_size: list[int],
                                attention_dropout: float = 0.0, dropout: float = 0.0, qkv_bias: Tensor | None = None,
                                proj_bias: Tensor | None = None, training: bool = True) -> Tensor:
    """Multi-head attention of ``[N, T, H, W, C]`` among the members of each window,
    the windows shifted by ``shift_size``.

    ``relative_position_bias`` ``[1, heads, members, members]`` is added to the scores;
    the clip is padded to whole windows.
    """
    sizes, channels = tuple(input.shape[1:4]), input.shape[4]
    pads = _compute_pad_size_3d(sizes, tuple(window_size))  # type: ignore[arg-type]
    x = F.pad(input, (0, 0, 0, pads[2], 0, pads[1], 0, pads[0]))
    padded = list(x.shape[1:4])
    if any(shift_size):
        x = rl.roll(x, shifts=tuple(-s for s in shift_size), dims=(1, 2, 3))
    x = _windows(x, window_size)
    batch, count, members, _ = x.shape
    x = x.reshape(batch * count, members, channels)
    qkv = F.linear(x, qkv_weight, qkv_bias).reshape(batch * count, members, 3, num_heads, channels // num_heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    scores = (q * (channels // num_heads) ** -0.5) @ k.transpose(-2, -1) + relative_position_bias
    if any(shift_size):
        scores = scores.reshape(batch, count, num_heads, members, members) + _strangers(padded, window_size, shift_size)
        scores = scores.reshape(batch * count, num_heads, members, members)
    weights = F.dropout(F.softmax(scores, dim=-1), p=attention_dropout, training=training)
    x = (weights @ v).transpose(1, 2).reshape(batch * count, members, channels)
    x = _whole(F.dropout(F.linear(x, proj_weight, proj_bias), p=dropout, training=training), window_size, padded)
    if any(shift_size):
        x = rl.roll(x, shifts=tuple(shift_size), dims=(1, 2, 3))
    return x[:, :sizes[0], :sizes[1], :sizes[2], :].contiguous()


leaf_functions("_get_window_and_shift_size", "_get_relative_position_bias", "_compute_pad_size_3d",
               "shifted_window_attention_3d")


class ShiftedWindowAttention3d(nn.Module):
    """:func:`shifted_window_attention_3d` with its weights and a table of relative positions."""

    def __init__(self, dim: int, window_size: list[int], shift_size: list[int], num_heads: int, qkv_bias: bool = True,
                 proj_bias: bool = True, attention_dropout: float = 0.0, dropout: float = 0.0) -> None:
        super().__init__()
        if len(window_size) != 3 or len(shift_size) != 3:
            raise ValueError(f"window_size and shift_size must be of length 3, got {window_size} and {shift_size}")
        self.window_size, self.shift_size, self.num_heads = window_size, shift_size, num_heads
        self.attention_dropout, self.dropout = attention_dropout, dropout
        self.qkv = nn.Linear(dim, dim * 3, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim, bias=proj_bias)
        self.define_relative_position_bias_table()
        self.define_relative_position_index()

    def define_relative_position_bias_table(self) -> None:
        """A value per head for every relative position."""
        depth, height, width = (2 * side - 1 for side in self.window_size)
        self.relative_position_bias_table = nn.Parameter(rl.zeros(depth * height * width, self.num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def define_relative_position_index(self) -> None:
        """The row of the table for every pair of members, ``[members, members]``."""
        places = np.stack([axis.reshape(-1) for axis in np.mgrid[tuple(slice(side) for side in self.window_size)]])
        _, height, width = (2 * side - 1 for side in self.window_size)
        apart = places[:, :, None] - places[:, None, :] + np.array(self.window_size)[:, None, None] - 1
        self.register_buffer("relative_position_index",
                             rl.from_numpy((apart[0] * height + apart[1]) * width + apart[2]))

    def get_relative_position_bias(self, window_size: list[int]) -> Tensor:
        """``[1, heads, members, members]``."""
        return _get_relative_position_bias(self.relative_position_bias_table, self.relative_position_index, window_size)

    def forward(self, x: Tensor) -> Tensor:
        _, t, h, w, _ = x.shape
        window_size, shift_size = _get_window_and_shift_size(self.shift_size.copy(), [t, h, w], self.window_size.copy())
        bias = self.get_relative_position_bias(window_size)
        return shifted_window_attention_3d(
            x, self.qkv.weight, self.proj.weight, bias, window_size, self.num_heads,
            shift_size=shift_size, attention_dropout=self.attention_dropout, dropout=self.dropout,
            qkv_bias=self.qkv.bias, proj_bias=self.proj.bias, training=self.training)


class PatchEmbed3d(nn.Module):
    """Clips ``[N, C, T, H, W]`` as vectors of their patches ``[N, T', H', W', embed_dim]``."""

    def __init__(self, patch_size: list[int], in_channels: int = 3, embed_dim: int = 96,
                 norm_layer: Layer | None = None) -> None:
        super().__init__()
        self.tuple_patch_size = (patch_size[0], patch_size[1], patch_size[2])
        self.proj = nn.Conv3d(in_channels, embed_dim, kernel_size=self.tuple_patch_size, stride=self.tuple_patch_size)
        self.norm = nn.Identity() if norm_layer is None else norm_layer(embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        _, _, t, h, w = x.size()
        pads = _compute_pad_size_3d((t, h, w), self.tuple_patch_size)
        x = F.pad(x, (0, pads[2], 0, pads[1], 0, pads[0]))
        return self.norm(self.proj(x).permute(0, 2, 3, 4, 1))


class SwinTransformer3d(nn.Module):
    """Stages of window attention with patches merged between, for clips ``[N, 3, T, H, W]``.

    Args:
        patch_size, window_size: (time, height, width).
        embed_dim: channels of the first stage; they double from stage to stage.
        depths, num_heads: of each stage.
        stochastic_depth_prob: of the last block; earlier ones have proportionally less.
        block, norm_layer, downsample_layer, patch_embed: other building blocks.
    """

    def __init__(self, patch_size: list[int], embed_dim: int, depths: list[int], num_heads: list[int],
                 window_size: list[int], mlp_ratio: float = 4.0, dropout: float = 0.0, attention_dropout: float = 0.0,
                 stochastic_depth_prob: float = 0.1, num_classes: int = 400, norm_layer: Layer | None = None,
                 block: Layer | None = None, downsample_layer: Layer = PatchMerging,
                 patch_embed: Layer | None = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        block, norm = block or SwinTransformerBlock, norm_layer or partial(nn.LayerNorm, eps=1e-5)
        self.patch_embed = (patch_embed or PatchEmbed3d)(patch_size=patch_size, embed_dim=embed_dim, norm_layer=norm)
        self.pos_drop = nn.Dropout(p=dropout)
        self.features = nn.Sequential(*stages(
            embed_dim, depths, num_heads, window_size, stochastic_depth_prob, block, norm, downsample_layer,
            mlp_ratio=mlp_ratio, dropout=dropout, attention_dropout=attention_dropout,
            attn_layer=ShiftedWindowAttention3d))
        self.num_features = embed_dim << (len(depths) - 1)
        self.norm = norm(self.num_features)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.head = nn.Linear(self.num_features, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.features(self.pos_drop(self.patch_embed(x))))
        return self.head(self.avgpool(x.permute(0, 4, 1, 2, 3)).flatten(1))


Swin3D_T_Weights = weights_enum("Swin3D_T_Weights", __name__)
Swin3D_S_Weights = weights_enum("Swin3D_S_Weights", __name__)
Swin3D_B_Weights = weights_enum("Swin3D_B_Weights", __name__)


def _variant(name: str, enum: Any, embed_dim: int, third: int) -> Any:
    """The third stage is the deep one; a head has 32 channels."""
    return classifier(name, SwinTransformer3d, enum, legacy="KINETICS400_V1", takes="clips ``[N, 3, T, H, W]``",
                      patch_size=[2, 4, 4], embed_dim=embed_dim, depths=[2, 2, third, 2],
                      num_heads=[(embed_dim << i) // 32 for i in range(4)], window_size=[8, 7, 7],
                      stochastic_depth_prob=0.1)


swin3d_t = _variant("swin3d_t", Swin3D_T_Weights, 96, 6)
swin3d_s = _variant("swin3d_s", Swin3D_S_Weights, 96, 18)
swin3d_b = _variant("swin3d_b", Swin3D_B_Weights, 128, 18)
