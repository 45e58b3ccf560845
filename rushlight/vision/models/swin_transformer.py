"""Swin (arXiv 2103.14030) and Swin v2 (arXiv 2111.09883) transformers: attention within windows that shift by half."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.leaf_functions import leaf_functions
from rushlight.nn import functional as F
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.models._window_attention import (ShiftedWindowAttention, ShiftedWindowAttentionV2,  # noqa: F401
                                                        shifted_window_attention)
from rushlight.vision.ops.misc import MLP, Permute
from rushlight.vision.ops.stochastic_depth import StochasticDepth

Layer = Callable[..., nn.Module]


def _patch_merging_pad(x: Tensor) -> Tensor:
    """Squares of four neighbours as channels, ``[…, H, W, C]`` to ``[…, ⌈H/2⌉, ⌈W/2⌉, 4C]``."""
    height, width, _ = x.shape[-3:]
    x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
    return rl.cat([x[..., 0::2, 0::2, :], x[..., 1::2, 0::2, :], x[..., 0::2, 1::2, :], x[..., 1::2, 1::2, :]], -1)


leaf_functions("_patch_merging_pad")


class PatchMerging(nn.Module):
    """Half the size, twice the channels."""

    def __init__(self, dim: int, norm_layer: Layer = nn.LayerNorm):
        super().__init__()
        self.dim = dim
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduction(self.norm(_patch_merging_pad(x)))


class PatchMergingV2(nn.Module):
    """Half the size, twice the channels, normalised last."""

    def __init__(self, dim: int, norm_layer: Layer = nn.LayerNorm):
        super().__init__()
        self.dim = dim
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.reduction(_patch_merging_pad(x)))


class SwinTransformerBlock(nn.Module):
    """Window attention and a two-layer network, each normalised before and added to what came in; ``[N, H, W, C]``."""

    def __init__(self, dim: int, num_heads: int, window_size: list[int], shift_size: list[int], mlp_ratio: float = 4.0,
                 dropout: float = 0.0, attention_dropout: float = 0.0, stochastic_depth_prob: float = 0.0,
                 norm_layer: Layer = nn.LayerNorm, attn_layer: Layer = ShiftedWindowAttention):
        super().__init__()
        self.norm1 = norm_layer(dim)
        self.attn = attn_layer(dim, window_size, shift_size, num_heads,
                               attention_dropout=attention_dropout, dropout=dropout)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.norm2 = norm_layer(dim)
        self.mlp = MLP(dim, [int(dim * mlp_ratio), dim], activation_layer=nn.GELU, inplace=None, dropout=dropout)
        for module in self.mlp.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.normal_(module.bias, std=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.stochastic_depth(self.attn(self.norm1(x)))
        return x + self.stochastic_depth(self.mlp(self.norm2(x)))


class SwinTransformerBlockV2(SwinTransformerBlock):
    """Window attention and a two-layer network, each normalised after."""

    def __init__(self, dim: int, num_heads: int, window_size: list[int], shift_size: list[int], mlp_ratio: float = 4.0,
                 dropout: float = 0.0, attention_dropout: float = 0.0, stochastic_depth_prob: float = 0.0,
                 norm_layer: Layer = nn.LayerNorm, attn_layer: Layer = ShiftedWindowAttentionV2):
        super().__init__(dim, num_heads, window_size, shift_size, mlp_ratio, dropout, attention_dropout,
                         stochastic_depth_prob, norm_layer, attn_layer)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.stochastic_depth(self.norm1(self.attn(x)))
        return x + self.stochastic_depth(self.norm2(self.mlp(x)))


def stages(embed_dim: int, depths: list[int], num_heads: list[int], window_size: list[int],
           stochastic_depth_prob: float, block: Layer, norm: Layer, downsample_layer: Layer,
           **options: Any) -> list[nn.Module]:
    """Blocks, every second of them shifted by half a window, with patches merged between the stages."""
    made: list[nn.Module] = []
    done, total = 0, sum(depths)
    for stage, (depth, heads) in enumerate(zip(depths, num_heads)):
        dim = embed_dim << stage
        blocks = []
        for i in range(depth):
            shift = [0 if i % 2 == 0 else side // 2 for side in window_size]
            blocks.append(block(dim, heads, window_size=window_size, shift_size=shift, norm_layer=norm,
                                stochastic_depth_prob=stochastic_depth_prob * done / (total - 1), **options))
            done += 1
        made.append(nn.Sequential(*blocks))
        if stage < len(depths) - 1:
            made.append(downsample_layer(dim, norm))
    return made


class SwinTransformer(nn.Module):
    """Stages of window attention with patches merged between, for images ``[N, 3, H, W]``.

    Args:
        patch_size, window_size: (height, width).
        embed_dim: channels of the first stage; they double from stage to stage.
        depths, num_heads: of each stage.
        stochastic_depth_prob: of the last block; earlier ones have proportionally less.
        block, norm_layer, downsample_layer: other building blocks.
    """

    def __init__(self, patch_size: list[int], embed_dim: int, depths: list[int], num_heads: list[int],
                 window_size: list[int], mlp_ratio: float = 4.0, dropout: float = 0.0, attention_dropout: float = 0.0,
                 stochastic_depth_prob: float = 0.1, num_classes: int = 1000, norm_layer: Layer | None = None,
                 block: Layer | None = None, downsample_layer: Layer = PatchMerging):
        super().__init__()
        self.num_classes = num_classes
        block, norm = block or SwinTransformerBlock, norm_layer or partial(nn.LayerNorm, eps=1e-5)
        patch = (patch_size[0], patch_size[1])
        embed = nn.Sequential(nn.Conv2d(3, embed_dim, kernel_size=patch, stride=patch),
                              Permute([0, 2, 3, 1]), norm(embed_dim))
        self.features = nn.Sequential(embed, *stages(
            embed_dim, depths, num_heads, window_size, stochastic_depth_prob, block, norm, downsample_layer,
            mlp_ratio=mlp_ratio, dropout=dropout, attention_dropout=attention_dropout))
        last = embed_dim << (len(depths) - 1)
        self.norm = norm(last)
        self.permute = Permute([0, 3, 1, 2])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten(1)
        self.head = nn.Linear(last, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.flatten(self.avgpool(self.permute(self.norm(self.features(x))))))


Swin_T_Weights = weights_enum("Swin_T_Weights", __name__)
Swin_S_Weights = weights_enum("Swin_S_Weights", __name__)
Swin_B_Weights = weights_enum("Swin_B_Weights", __name__)
Swin_V2_T_Weights = weights_enum("Swin_V2_T_Weights", __name__)
Swin_V2_S_Weights = weights_enum("Swin_V2_S_Weights", __name__)
Swin_V2_B_Weights = weights_enum("Swin_V2_B_Weights", __name__)


def _variant(name: str, enum: Any, embed_dim: int, third: int, stochastic_depth_prob: float) -> Any:
    """The third stage is the deep one; a head has 32 channels; version 2 has larger windows."""
    second = "_v2_" in name
    newer = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2} if second else {}
    return classifier(name, SwinTransformer, enum, patch_size=[4, 4], embed_dim=embed_dim, depths=[2, 2, third, 2],
                      num_heads=[(embed_dim << i) // 32 for i in range(4)], window_size=[8, 8] if second else [7, 7],
                      stochastic_depth_prob=stochastic_depth_prob, **newer)


swin_t = _variant("swin_t", Swin_T_Weights, 96, 6, 0.2)
swin_s = _variant("swin_s", Swin_S_Weights, 96, 18, 0.3)
swin_b = _variant("swin_b", Swin_B_Weights, 128, 18, 0.5)
swin_v2_t = _variant("swin_v2_t", Swin_V2_T_Weights, 96, 6, 0.2)
swin_v2_s = _variant("swin_v2_s", Swin_V2_S_Weights, 96, 18, 0.3)
swin_v2_b = _variant("swin_v2_b", Swin_V2_B_Weights, 128, 18, 0.5)
