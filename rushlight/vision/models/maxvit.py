"""MaxViT (arXiv 2204.01697): convolutions, attention within windows and attention across a grid."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models._api import WeightsEnum, weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.models._utils import _ovewrite_named_param
from rushlight.vision.models._window_attention import relative_positions
from rushlight.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation
from rushlight.vision.ops.stochastic_depth import StochasticDepth

Layer = Callable[..., nn.Module]


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    """The size after a 3 × 3 kernel of stride 2 and padding 1."""
    return (size[0] - 1) // 2 + 1, (size[1] - 1) // 2 + 1


class MBConv(nn.Module):
    """Expand, depthwise convolution, squeeze and excite, project; beside a shortcut, pooled where the size halves."""

    def __init__(self, in_channels: int, out_channels: int, expansion_ratio: float, squeeze_ratio: float, stride: int,
                 activation_layer: Layer, norm_layer: Layer, p_stochastic_dropout: float = 0.0) -> None:
        super().__init__()
        self.proj: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            pooled = [nn.AvgPool2d(kernel_size=3, stride=stride, padding=1)] if stride == 2 else []
            self.proj = nn.Sequential(*pooled, nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=1, bias=True))
        wide, squeezed = int(out_channels * expansion_ratio), int(out_channels * squeeze_ratio)
        drops = p_stochastic_dropout
        self.stochastic_depth = StochasticDepth(drops, mode="row") if drops else nn.Identity()
        conv = partial(Conv2dNormActivation, activation_layer=activation_layer, norm_layer=norm_layer, inplace=None)
        self.layers = nn.Sequential(OrderedDict(
            pre_norm=norm_layer(in_channels),
            conv_a=conv(in_channels, wide, kernel_size=1, stride=1, padding=0),
            conv_b=conv(wide, wide, kernel_size=3, stride=stride, padding=1, groups=wide),
            squeeze_excitation=SqueezeExcitation(wide, squeezed, activation=nn.SiLU),
            conv_c=nn.Conv2d(wide, out_channels, kernel_size=1, bias=True)))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x) + self.stochastic_depth(self.layers(x))


class RelativePositionalMultiHeadAttention(nn.Module):
    """Attention among the ``L`` members of each of ``G`` groups, ``[N, G, L, C]``, with biases by relative position."""

    def __init__(self, feat_dim: int, head_dim: int, max_seq_len: int) -> None:
        super().__init__()
        if feat_dim % head_dim != 0:
            raise ValueError(f"feat_dim: {feat_dim} must be divisible by head_dim: {head_dim}")
        self.n_heads, self.head_dim = feat_dim // head_dim, head_dim
        self.size, self.max_seq_len = math.isqrt(max_seq_len), max_seq_len
        self.to_qkv = nn.Linear(feat_dim, self.n_heads * head_dim * 3)
        self.scale_factor = feat_dim ** -0.5
        self.merge = nn.Linear(head_dim * self.n_heads, feat_dim)
        self.relative_position_bias_table = nn.Parameter(rl.empty((2 * self.size - 1) ** 2, self.n_heads))
        self.register_buffer("relative_position_index", rl.from_numpy(relative_positions(self.size, self.size)))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def get_relative_positional_bias(self) -> Tensor:
        """``[1, heads, L, L]``."""
        rows = self.relative_position_bias_table[self.relative_position_index.view(-1)]
        return rows.view(self.max_seq_len, self.max_seq_len, -1).permute(2, 0, 1).unsqueeze(0)

    def forward(self, x: Tensor) -> Tensor:
        batch, groups, length, channels = x.shape
        qkv = self.to_qkv(x).reshape(batch, groups, length, 3, self.n_heads, self.head_dim)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).unbind(0)
        scores = q @ (k * self.scale_factor).transpose(-2, -1) + self.get_relative_positional_bias()
        out = (F.softmax(scores, dim=-1) @ v).permute(0, 1, 3, 2, 4).reshape(batch, groups, length, channels)
        return self.merge(out)


class SwapAxes(nn.Module):
    """Exchanges two dimensions."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.a, self.b = a, b

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(self.a, self.b)


class WindowPartition(nn.Module):
    """``[N, C, H, W]`` as ``[N, windows, p * p, C]``."""

    def forward(self, x: Tensor, p: int) -> Tensor:
        batch, channels, height, width = x.shape
        x = x.reshape(batch, channels, height // p, p, width // p, p).permute(0, 2, 4, 3, 5, 1)
        return x.reshape(batch, (height // p) * (width // p), p * p, channels)


class WindowDepartition(nn.Module):
    """``[N, windows, p * p, C]`` as ``[N, C, H, W]``."""

    def forward(self, x: Tensor, p: int, h_partitions: int, w_partitions: int) -> Tensor:
        batch, _, _, channels = x.shape
        x = x.reshape(batch, h_partitions, w_partitions, p, p, channels).permute(0, 5, 1, 3, 2, 4)
        return x.reshape(batch, channels, h_partitions * p, w_partitions * p)


class PartitionAttentionLayer(nn.Module):
    """Attention within windows, or across the pixels at the same place of every
    window ("grid"); then a two-layer network."""

    def __init__(self, in_channels: int, head_dim: int, partition_size: int, partition_type: str,
                 grid_size: tuple[int, int], mlp_ratio: int, activation_layer: Layer, norm_layer: Layer,
                 attention_dropout: float, mlp_dropout: float, p_stochastic_dropout: float) -> None:
        super().__init__()
        if partition_type not in ("grid", "window"):
            raise ValueError("partition_type must be either 'grid' or 'window'")
        self.n_heads, self.head_dim = in_channels // head_dim, head_dim
        self.n_partitions = grid_size[0] // partition_size
        self.partition_type, self.grid_size = partition_type, grid_size
        across = partition_type == "grid"
        self.p, self.g = (self.n_partitions, partition_size) if across else (partition_size, self.n_partitions)
        self.partition_op, self.departition_op = WindowPartition(), WindowDepartition()
        self.partition_swap = SwapAxes(-2, -3) if across else nn.Identity()
        self.departition_swap = SwapAxes(-2, -3) if across else nn.Identity()
        self.attn_layer = nn.Sequential(
            norm_layer(in_channels),
            RelativePositionalMultiHeadAttention(in_channels, head_dim, partition_size ** 2),
            nn.Dropout(attention_dropout))
        self.mlp_layer = nn.Sequential(nn.LayerNorm(in_channels), nn.Linear(in_channels, in_channels * mlp_ratio),
                                       activation_layer(), nn.Linear(in_channels * mlp_ratio, in_channels),
                                       nn.Dropout(mlp_dropout))
        self.stochastic_dropout = StochasticDepth(p_stochastic_dropout, mode="row")

    def forward(self, x: Tensor) -> Tensor:
        if self.grid_size[0] % self.p or self.grid_size[1] % self.p:
            raise AssertionError("Grid size must be divisible by partition size. "
                                 f"Got grid size of {self.grid_size} and partition size of {self.p}")
        x = self.partition_swap(self.partition_op(x, self.p))
        x = x + self.stochastic_dropout(self.attn_layer(x))
        x = x + self.stochastic_dropout(self.mlp_layer(x))
        return self.departition_op(self.departition_swap(x), self.p, self.grid_size[0] // self.p,
                                   self.grid_size[1] // self.p)


class MaxVitLayer(nn.Module):
    """MBConv, window attention, grid attention."""

    def __init__(self, in_channels: int, out_channels: int, squeeze_ratio: float, expansion_ratio: float, stride: int,
                 norm_layer: Layer, activation_layer: Layer, head_dim: int, mlp_ratio: int, mlp_dropout: float,
                 attention_dropout: float, p_stochastic_dropout: float, partition_size: int,
                 grid_size: tuple[int, int]) -> None:
        super().__init__()
        attention = partial(PartitionAttentionLayer, in_channels=out_channels, head_dim=head_dim,
                            partition_size=partition_size, grid_size=grid_size, mlp_ratio=mlp_ratio,
                            activation_layer=activation_layer, norm_layer=nn.LayerNorm,
                            attention_dropout=attention_dropout, mlp_dropout=mlp_dropout,
                            p_stochastic_dropout=p_stochastic_dropout)
        self.layers = nn.Sequential(OrderedDict(
            MBconv=MBConv(in_channels, out_channels, expansion_ratio, squeeze_ratio, stride, activation_layer,
                          norm_layer, p_stochastic_dropout),
            window_attention=attention(partition_type="window"), grid_attention=attention(partition_type="grid")))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class MaxVitBlock(nn.Module):
    """Layers of one size; the first halves it. ``layer`` are the other arguments of MaxVitLayer."""

    def __init__(self, in_channels: int, out_channels: int, input_grid_size: tuple[int, int], n_layers: int,
                 p_stochastic: list[float], **layer: Any) -> None:
        super().__init__()
        if len(p_stochastic) != n_layers:
            raise ValueError(f"p_stochastic must have length n_layers={n_layers}, got p_stochastic={p_stochastic}.")
        self.grid_size = _halved(input_grid_size)
        self.layers = nn.ModuleList(
            MaxVitLayer(in_channels if i == 0 else out_channels, out_channels, stride=2 if i == 0 else 1,
                        grid_size=self.grid_size, p_stochastic_dropout=p, **layer) for i, p in enumerate(p_stochastic))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class MaxVit(nn.Module):
    """Four blocks of layers, for images ``[N, 3, *input_size]``.

    Args:
        input_size: (height, width); every block's must be a multiple of ``partition_size``.
        block_channels, block_layers: of each block.
        stochastic_depth_prob: of the last layer; earlier ones have proportionally less.
    """

    def __init__(self, input_size: tuple[int, int], stem_channels: int, partition_size: int, block_channels: list[int],
                 block_layers: list[int], head_dim: int, stochastic_depth_prob: float, norm_layer: Layer | None = None,
                 activation_layer: Layer = nn.GELU, squeeze_ratio: float = 0.25, expansion_ratio: float = 4,
                 mlp_ratio: int = 4, mlp_dropout: float = 0.0, attention_dropout: float = 0.0,
                 num_classes: int = 1000) -> None:
        super().__init__()
        norm_layer = norm_layer or partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
        size = stem_size = _halved(tuple(input_size))  # type: ignore[arg-type]
        sizes = [size := _halved(size) for _ in block_channels]
        for i, (height, width) in enumerate(sizes):
            if height % partition_size or width % partition_size:
                raise ValueError(f"Input size {(height, width)} of block {i} is not divisible by partition "
                                 f"size {partition_size}. Consider changing the partition size or the input "
                                 f"size.\nCurrent configuration yields the following block input sizes: {sizes}.")
        self.stem = nn.Sequential(Conv2dNormActivation(3, stem_channels, 3, stride=2, norm_layer=norm_layer,
                                                       activation_layer=activation_layer, bias=False, inplace=None),
                                  Conv2dNormActivation(stem_channels, stem_channels, 3, stride=1, norm_layer=None,
                                                       activation_layer=None, bias=True))
        self.partition_size = partition_size
        self.blocks = nn.ModuleList()
        depth = np.linspace(0, stochastic_depth_prob, sum(block_layers)).tolist()
        same = {"squeeze_ratio": squeeze_ratio, "expansion_ratio": expansion_ratio, "norm_layer": norm_layer,
                "activation_layer": activation_layer, "head_dim": head_dim, "mlp_ratio": mlp_ratio,
                "mlp_dropout": mlp_dropout,
                "attention_dropout": attention_dropout, "partition_size": partition_size}
        for before, after, count, size in zip([stem_channels, *block_channels], block_channels, block_layers,
                                              [stem_size, *sizes]):
            self.blocks.append(MaxVitBlock(before, after, size, count, depth[:count], **same))
            depth = depth[count:]
        last = block_channels[-1]
        self.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(last),
                                        nn.Linear(last, last), nn.Tanh(), nn.Linear(last, num_classes, bias=False))
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.classifier(x)


def _maxvit(input_size: tuple[int, int] = (224, 224), **kwargs: Any) -> MaxVit:
    return MaxVit(input_size=input_size, **kwargs)


def _size_of_weights(weights: WeightsEnum | None, kwargs: dict[str, Any]) -> None:
    if weights is not None:
        _ovewrite_named_param(kwargs, "input_size", weights.meta["min_size"])


MaxVit_T_Weights = weights_enum("MaxVit_T_Weights", __name__)
maxvit_t = classifier("maxvit_t", _maxvit, MaxVit_T_Weights, adjust=_size_of_weights, stem_channels=64,
                      block_channels=[64, 128, 256, 512], block_layers=[2, 2, 5, 2], head_dim=32,
                      stochastic_depth_prob=0.2, partition_size=7)
