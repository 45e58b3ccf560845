"""Multiscale vision transformers (arXiv 2104.11227) and their second version (arXiv 2112.01526), for clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.leaf_functions import leaf_functions
from rushlight.nn import functional as F
from rushlight.vision.models._api import WeightsEnum, weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.models._utils import _ovewrite_named_param
from rushlight.vision.ops.misc import MLP
from rushlight.vision.ops.stochastic_depth import StochasticDepth

Layer = Callable[..., nn.Module]
Sizes = tuple[int, int, int]  # of time, height and width


@dataclass
class MSBlockConfig:
    """One block: heads, channels, and the kernels and strides that pool queries,
    and keys and values ([] pools nothing)."""

    num_heads: int
    input_channels: int
    output_channels: int
    kernel_q: list[int]
    kernel_kv: list[int]
    stride_q: list[int]
    stride_kv: list[int]


def _unsqueeze(x: Tensor, target_dim: int, expand_dim: int) -> tuple[Tensor, int]:
    """x with ``target_dim`` dimensions, and how many it had; ValueError where more than one is missing."""
    dims = x.dim()
    if dims not in (target_dim, target_dim - 1):
        raise ValueError(f"Unsupported input dimension {x.shape}; expected {target_dim - 1} or {target_dim} dimensions")
    return (x if dims == target_dim else x.unsqueeze(expand_dim)), dims


def _squeeze(x: Tensor, target_dim: int, expand_dim: int, tensor_dim: int) -> Tensor:
    """The inverse of `_unsqueeze`."""
    return x.squeeze(expand_dim) if tensor_dim == target_dim - 1 else x


class Pool(nn.Module):
    """Vectors ``[N, heads, 1 + T·H·W, C]`` pooled over time and space,
    the first of them (the class's) left as it is."""

    def __init__(self, pool: nn.Module, norm: nn.Module | None, activation: nn.Module | None = None,
                 norm_before_pool: bool = False) -> None:
        super().__init__()
        self.pool = pool
        layers = [layer for layer in (norm, activation) if layer is not None]
        self.norm_act = nn.Sequential(*layers) if layers else None
        self.norm_before_pool = norm_before_pool

    def forward(self, x: Tensor, thw: Sizes) -> tuple[Tensor, Sizes]:
        x, dims = _unsqueeze(x, 4, 1)
        class_token, x = x[:, :, :1], x[:, :, 1:]
        x = x.transpose(2, 3)
        batch, heads, channels = x.shape[:3]
        x = x.reshape((batch * heads, channels, *thw)).contiguous()
        if self.norm_before_pool and self.norm_act is not None:
            x = self.norm_act(x)
        x = self.pool(x)
        t, h, w = x.shape[2:]
        x = rl.cat((class_token, x.reshape(batch, heads, channels, -1).transpose(2, 3)), dim=2)
        if not self.norm_before_pool and self.norm_act is not None:
            x = self.norm_act(x)
        return _squeeze(x, 4, 1, dims), (t, h, w)


def _apart(queries: int, keys: int) -> Tensor:
    """The row of the table of relative positions for every query and key, on the finer of their two grids."""
    q_step, k_step = max(keys / queries, 1.0), max(queries / keys, 1.0)
    return (rl.arange(queries)[:, None] * q_step - (rl.arange(keys)[None, :] + (1.0 - keys)) * k_step).long()


def _rows(table: Tensor, queries: int, keys: int) -> Tensor:
    """``[queries, keys, C]``; the table is stretched where it is of another size."""
    size = 2 * max(queries, keys) - 1
    if table.shape[0] != size:
        table = F.interpolate(table.permute(1, 0).unsqueeze(0), size=size, mode="linear").squeeze(0).permute(1, 0)
    return table[_apart(queries, keys)]


def _add_rel_pos(attn: Tensor, q: Tensor, q_thw: Sizes, k_thw: Sizes, rel_pos_h: Tensor, rel_pos_w: Tensor,
                 rel_pos_t: Tensor) -> Tensor:
    """The scores plus, for each axis, the product of the query and the vector of the
    relative position; the class token has none."""
    batch, heads, _, dim = q.shape
    tokens = q[:, :, 1:].reshape(batch, heads, *q_thw, dim)
    time, height, width = (_rows(table, *sizes)
                           for table, sizes in zip((rel_pos_t, rel_pos_h, rel_pos_w), zip(q_thw, k_thw)))
    by_h = rl.einsum("bythwc,hkc->bythwk", tokens, height)[..., None, :, None]
    by_w = rl.einsum("bythwc,wkc->bythwk", tokens, width)[..., None, None, :]
    by_t = rl.einsum("bythwc,tkc->bythwk", tokens, time)[..., :, None, None]
    bias = (by_h + by_w + by_t).reshape(batch, heads, math.prod(q_thw), math.prod(k_thw))
    return attn + F.pad(bias, (1, 0, 1, 0))


def _add_shortcut(x: Tensor, shortcut: Tensor, residual_with_cls_embed: bool) -> Tensor:
    """x plus the shortcut, the class token only where ``residual_with_cls_embed``."""
    return x + shortcut if residual_with_cls_embed else rl.cat((x[:, :, :1], x[:, :, 1:] + shortcut[:, :, 1:]), 2)


leaf_functions("_unsqueeze", "_squeeze", "_add_rel_pos", "_add_shortcut")


class MultiscaleAttention(nn.Module):
    """Attention ``[N, L, C]`` whose queries, keys and values are pooled; ``input_size`` is (T, H, W)."""

    def __init__(self, input_size: list[int], embed_dim: int, output_dim: int, num_heads: int, kernel_q: list[int],
                 kernel_kv: list[int], stride_q: list[int], stride_kv: list[int], residual_pool: bool,
                 residual_with_cls_embed: bool, rel_pos_embed: bool, dropout: float = 0.0,
                 norm_layer: Layer = nn.LayerNorm) -> None:
        super().__init__()
        self.embed_dim, self.output_dim, self.num_heads = embed_dim, output_dim, num_heads
        self.head_dim = output_dim // num_heads
        self.scaler = 1.0 / math.sqrt(self.head_dim)
        self.residual_pool, self.residual_with_cls_embed = residual_pool, residual_with_cls_embed
        self.qkv = nn.Linear(embed_dim, 3 * output_dim)
        self.project = nn.Sequential(nn.Linear(output_dim, output_dim),
                                     *([nn.Dropout(dropout, inplace=True)] if dropout > 0.0 else []))
        self.pool_q = self._pool(kernel_q, stride_q, norm_layer)
        self.pool_k = self._pool(kernel_kv, stride_kv, norm_layer)
        self.pool_v = self._pool(kernel_kv, stride_kv, norm_layer)
        side = max(input_size[1:])
        most = max(side // stride[1] if stride else side for stride in (stride_q, stride_kv))
        for name, rows in (("h", most), ("w", most), ("t", input_size[0])):
            table = nn.Parameter(rl.zeros(2 * rows - 1, self.head_dim)) if rel_pos_embed else None
            self.register_parameter(f"rel_pos_{name}", table)
        for table in (self.rel_pos_h, self.rel_pos_w, self.rel_pos_t):
            if table is not None:
                nn.init.trunc_normal_(table, std=0.02)

    def _pool(self, kernel: list[int], stride: list[int], norm_layer: Layer) -> Pool | None:
        if math.prod(kernel) <= 1 and math.prod(stride) <= 1:
            return None
        dim = self.head_dim
        conv = nn.Conv3d(dim, dim, kernel, stride=stride,
                         padding=[side // 2 for side in kernel], groups=dim, bias=False)
        return Pool(conv, norm_layer(dim))

    def forward(self, x: Tensor, thw: Sizes) -> tuple[Tensor, Sizes]:
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, self.num_heads, self.head_dim).transpose(1, 3).unbind(dim=2)
        k, k_thw = (k, thw) if self.pool_k is None else self.pool_k(k, thw)
        if self.pool_v is not None:
            v = self.pool_v(v, thw)[0]
        if self.pool_q is not None:
            q, thw = self.pool_q(q, thw)
        scores = rl.matmul(self.scaler * q, k.transpose(2, 3))
        if self.rel_pos_h is not None:
            scores = _add_rel_pos(scores, q, thw, k_thw, self.rel_pos_h, self.rel_pos_w, self.rel_pos_t)
        x = rl.matmul(scores.softmax(dim=-1), v)
        if self.residual_pool:
            x = _add_shortcut(x, q, self.residual_with_cls_embed)
        return self.project(x.transpose(1, 2).reshape(batch, -1, self.output_dim)), thw


class MultiscaleBlock(nn.Module):
    """Attention and a two-layer network, each beside a shortcut that is pooled and projected as they are."""

    def __init__(self, input_size: list[int], cnf: MSBlockConfig, residual_pool: bool, residual_with_cls_embed: bool,
                 rel_pos_embed: bool, proj_after_attn: bool, dropout: float = 0.0, stochastic_depth_prob: float = 0.0,
                 norm_layer: Layer = nn.LayerNorm) -> None:
        super().__init__()
        self.proj_after_attn = proj_after_attn
        self.pool_skip = None
        if math.prod(cnf.stride_q) > 1:
            kernel = [step + 1 if step > 1 else step for step in cnf.stride_q]
            self.pool_skip = Pool(nn.MaxPool3d(kernel, stride=cnf.stride_q,
                                               padding=[side // 2 for side in kernel]), None)
        width = cnf.output_channels if proj_after_attn else cnf.input_channels
        self.norm1, self.norm2 = norm_layer(cnf.input_channels), norm_layer(width)
        self.needs_transposal = isinstance(self.norm1, nn.BatchNorm1d)
        self.attn = MultiscaleAttention(
            input_size, cnf.input_channels, width, cnf.num_heads, cnf.kernel_q, cnf.kernel_kv, cnf.stride_q,
            cnf.stride_kv, residual_pool, residual_with_cls_embed, rel_pos_embed, dropout, norm_layer)
        self.mlp = MLP(width, [4 * width, cnf.output_channels], activation_layer=nn.GELU, dropout=dropout, inplace=None)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        widens = cnf.input_channels != cnf.output_channels
        self.project = nn.Linear(cnf.input_channels, cnf.output_channels) if widens else None

    def _normalised(self, norm: nn.Module, x: Tensor) -> Tensor:
        return norm(x.transpose(1, 2)).transpose(1, 2) if self.needs_transposal else norm(x)

    def forward(self, x: Tensor, thw: Sizes) -> tuple[Tensor, Sizes]:
        normal = self._normalised(self.norm1, x)
        attended, new_thw = self.attn(normal, thw)
        if self.project is not None and self.proj_after_attn:
            x = self.project(normal)
        x = (x if self.pool_skip is None else self.pool_skip(x, thw)[0]) + self.stochastic_depth(attended)
        normal = self._normalised(self.norm2, x)
        if self.project is not None and not self.proj_after_attn:
            x = self.project(normal)
        return x + self.stochastic_depth(self.mlp(normal)), new_thw


class PositionalEncoding(nn.Module):
    """Puts the class token in front and, without relative positions, adds vectors of place and time."""

    def __init__(self, embed_size: int, spatial_size: tuple[int, int], temporal_size: int, rel_pos_embed: bool) -> None:
        super().__init__()
        self.spatial_size, self.temporal_size = spatial_size, temporal_size
        self.class_token = nn.Parameter(rl.zeros(embed_size))
        absolute = {"spatial_pos": (math.prod(spatial_size), embed_size), "temporal_pos": (temporal_size, embed_size),
                    "class_pos": (embed_size,)}
        for name, shape in absolute.items():
            self.register_parameter(name, None if rel_pos_embed else nn.Parameter(rl.zeros(shape)))

    def forward(self, x: Tensor) -> Tensor:
        token = self.class_token.expand(x.size(0), -1).unsqueeze(1)
        x = rl.cat((token, x), dim=1)
        if self.spatial_pos is None:
            return x
        places = (self.temporal_pos.unsqueeze(1) + self.spatial_pos.unsqueeze(0)).flatten(0, 1)
        return x + rl.cat((self.class_pos.unsqueeze(0), places), dim=0).unsqueeze(0)


class MViT(nn.Module):
    """Blocks of pooled attention, for clips ``[N, 3, T, H, W]`` (or pictures, taken as clips of one frame).

    Args:
        spatial_size, temporal_size: (H, W) and T of what comes in.
        block_setting: the blocks.
        residual_pool, rel_pos_embed, proj_after_attn: what version 2 does.
        residual_with_cls_embed: the shortcut of pooled queries includes the class token.
        dropout: before the last layer; attention_dropout within the blocks.
    """

    def __init__(self, spatial_size: tuple[int, int], temporal_size: int, block_setting: Sequence[MSBlockConfig],
                 residual_pool: bool, residual_with_cls_embed: bool, rel_pos_embed: bool, proj_after_attn: bool,
                 dropout: float = 0.5, attention_dropout: float = 0.0, stochastic_depth_prob: float = 0.0,
                 num_classes: int = 400, block: Layer | None = None, norm_layer: Layer | None = None,
                 patch_embed_kernel: Sizes = (3, 7, 7), patch_embed_stride: Sizes = (2, 4, 4),
                 patch_embed_padding: Sizes = (1, 3, 3)) -> None:
        super().__init__()
        if not block_setting:
            raise ValueError("The configuration parameter can't be empty.")
        block, norm = block or MultiscaleBlock, norm_layer or partial(nn.LayerNorm, eps=1e-6)
        first, last = block_setting[0].input_channels, block_setting[-1].output_channels
        self.conv_proj = nn.Conv3d(3, first, kernel_size=patch_embed_kernel, stride=patch_embed_stride,
                                   padding=patch_embed_padding)
        sizes = [size // step for size, step in zip((temporal_size, *spatial_size), self.conv_proj.stride)]
        self.pos_encoding = PositionalEncoding(first, (sizes[1], sizes[2]), sizes[0], rel_pos_embed)
        self.blocks = nn.ModuleList()
        for i, cnf in enumerate(block_setting):
            self.blocks.append(block(
                input_size=sizes, cnf=cnf, residual_pool=residual_pool, residual_with_cls_embed=residual_with_cls_embed,
                rel_pos_embed=rel_pos_embed, proj_after_attn=proj_after_attn, dropout=attention_dropout,
                stochastic_depth_prob=stochastic_depth_prob * i / (len(block_setting) - 1.0), norm_layer=norm))
            sizes = [size // step for size, step in zip(sizes, cnf.stride_q or (1, 1, 1))]
        self.norm = norm(last)
        self.head = nn.Sequential(nn.Dropout(dropout, inplace=True), nn.Linear(last, num_classes))
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, PositionalEncoding):
                for parameter in module.parameters():
                    nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = _unsqueeze(x, 5, 2)[0]
        x = self.pos_encoding(self.conv_proj(x).flatten(2).transpose(1, 2))
        thw = (self.pos_encoding.temporal_size, *self.pos_encoding.spatial_size)
        for block in self.blocks:
            x, thw = block(x, thw)
        return self.head(self.norm(x)[:, 0])


MViT_V1_B_Weights = weights_enum("MViT_V1_B_Weights", __name__)
MViT_V2_S_Weights = weights_enum("MViT_V2_S_Weights", __name__)

# Both networks have stages of 1, 2, 11 and 2 blocks; channels and heads double where a stage begins. Version 1 widens
# in the
# block before, and pools queries only there, version 2 within it, and pools everywhere.
STAGES = [0] + [1] * 2 + [2] * 11 + [3] * 2
CUBE = [3, 3, 3]


def _blocks(second: bool) -> list[MSBlockConfig]:
    def channels(i: int) -> int:
        return 96 << STAGES[min(max(i, 0), len(STAGES) - 1)]

    settings = []
    for i, stage in enumerate(STAGES):
        first = i > 0 and STAGES[i - 1] != stage
        step, across = (2 if first else 1), 8 >> stage
        settings.append(MSBlockConfig(
            1 << stage, channels(i - second), channels(i + (not second)), CUBE if second or first else [], CUBE,
            [1, step, step] if second or first else [], [1, across, across]))
    return settings


def _sizes(weights: WeightsEnum | None, kwargs: dict[str, Any]) -> None:
    """Weights are for clips of one size."""
    if weights is not None:
        _ovewrite_named_param(kwargs, "spatial_size", weights.meta["min_size"])
        _ovewrite_named_param(kwargs, "temporal_size", weights.meta["min_temporal_size"])


def _variant(name: str, enum: Any, second: bool) -> Any:
    return classifier(name, MViT, enum, legacy="KINETICS400_V1", takes="clips ``[N, 3, T, H, W]``", adjust=_sizes,
                      defaults={"spatial_size": (224, 224), "temporal_size": 16, "stochastic_depth_prob": 0.2,
                                "residual_pool": second, "residual_with_cls_embed": False, "rel_pos_embed": second,
                                "proj_after_attn": second, "block_setting": _blocks(second)})


mvit_v1_b = _variant("mvit_v1_b", MViT_V1_B_Weights, False)
mvit_v2_s = _variant("mvit_v2_s", MViT_V2_S_Weights, True)
