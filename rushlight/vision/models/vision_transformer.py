"""The vision transformer (arXiv 2010.11929)."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models._api import WeightsEnum, weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.models._utils import _ovewrite_named_param
from rushlight.vision.ops.misc import MLP, Conv2dNormActivation

Layer = Callable[..., nn.Module]


class ConvStemConfig(NamedTuple):
    """One convolution of a stem that replaces the patches (arXiv 2106.14881)."""

    out_channels: int
    kernel_size: int
    stride: int
    norm_layer: Layer = nn.BatchNorm2d
    activation_layer: Layer = nn.ReLU


class MLPBlock(MLP):
    """The two-layer network of an encoder block."""

    _version = 2

    def __init__(self, in_dim: int, mlp_dim: int, dropout: float):
        super().__init__(in_dim, [mlp_dim, in_dim], activation_layer=nn.GELU, inplace=None, dropout=dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.normal_(module.bias, std=1e-6)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any],
                              *rest: Any) -> None:
        if local_metadata.get("version", None) in (None, 1):  # the layers had names of their own before version 2
            for old, new in (("linear_1", "0"), ("linear_2", "3")):
                for kind in ("weight", "bias"):
                    if f"{prefix}{old}.{kind}" in state_dict:
                        state_dict[f"{prefix}{new}.{kind}"] = state_dict.pop(f"{prefix}{old}.{kind}")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


def _check_sequence(input: Tensor) -> None:
    rl._assert(input.dim() == 3, f"Expected (batch_size, seq_length, hidden_dim) got {input.shape}")


class EncoderBlock(nn.Module):
    """Self-attention and a two-layer network, each normalised before and added to what came in; ``[N, L, D]``."""

    def __init__(self, num_heads: int, hidden_dim: int, mlp_dim: int, dropout: float, attention_dropout: float,
                 norm_layer: Layer = partial(nn.LayerNorm, eps=1e-6)):
        super().__init__()
        self.num_heads = num_heads
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = nn.MultiheadAttention(hidden_dim, num_heads, dropout=attention_dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = MLPBlock(hidden_dim, mlp_dim, dropout)

    def forward(self, input: Tensor) -> Tensor:
        _check_sequence(input)
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Adds positions and applies the blocks; ``[N, L, D]``."""

    def __init__(self, seq_length: int, num_layers: int, num_heads: int, hidden_dim: int, mlp_dim: int, dropout: float,
                 attention_dropout: float, norm_layer: Layer = partial(nn.LayerNorm, eps=1e-6)):
        super().__init__()
        self.pos_embedding = nn.Parameter(rl.empty(1, seq_length, hidden_dim).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(OrderedDict(
            (f"encoder_layer_{i}", EncoderBlock(num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer))
            for i in range(num_layers)))
        self.ln = norm_layer(hidden_dim)

    def forward(self, input: Tensor) -> Tensor:
        _check_sequence(input)
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


def _stem(configs: list[ConvStemConfig], hidden_dim: int) -> nn.Sequential:
    stem = nn.Sequential()
    before = 3
    for i, config in enumerate(configs):
        stem.add_module(f"conv_bn_relu_{i}", Conv2dNormActivation(
            before, config.out_channels, config.kernel_size, config.stride, norm_layer=config.norm_layer,
            activation_layer=config.activation_layer))
        before = config.out_channels
    stem.add_module("conv_last", nn.Conv2d(before, hidden_dim, kernel_size=1))
    return stem


class VisionTransformer(nn.Module):
    """Patches of an image as a sequence for an encoder, for images ``[N, 3, image_size, image_size]``.

    Args:
        image_size, patch_size: in pixels; whole patches.
        num_layers, num_heads, hidden_dim, mlp_dim: of the encoder.
        representation_size: width of one more layer before the last.
        conv_stem_configs: convolutions in place of the patches.

    >>> VisionTransformer(8, 4, 1, 2, 8, 16, num_classes=3)(rl.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 3])
    """

    def __init__(self, image_size: int, patch_size: int, num_layers: int, num_heads: int, hidden_dim: int, mlp_dim: int,
                 dropout: float = 0.0, attention_dropout: float = 0.0, num_classes: int = 1000,
                 representation_size: int | None = None, norm_layer: Layer = partial(nn.LayerNorm, eps=1e-6),
                 conv_stem_configs: list[ConvStemConfig] | None = None):
        super().__init__()
        if image_size % patch_size:
            raise AssertionError("Input shape indivisible by patch size! "
                                 f"image_size={image_size}, patch_size={patch_size}")
        self.image_size, self.patch_size, self.hidden_dim, self.mlp_dim = image_size, patch_size, hidden_dim, mlp_dim
        self.attention_dropout, self.dropout, self.num_classes = attention_dropout, dropout, num_classes
        self.representation_size, self.norm_layer = representation_size, norm_layer
        self.conv_proj = (nn.Conv2d(3, hidden_dim, kernel_size=patch_size, stride=patch_size)
                          if conv_stem_configs is None
                          else _stem(conv_stem_configs, hidden_dim))
        self.seq_length = (image_size // patch_size) ** 2 + 1
        self.class_token = nn.Parameter(rl.zeros(1, 1, hidden_dim))
        self.encoder = Encoder(self.seq_length, num_layers, num_heads, hidden_dim, mlp_dim,
                               dropout, attention_dropout, norm_layer)
        heads: OrderedDict[str, nn.Module] = OrderedDict()
        if representation_size is not None:
            heads["pre_logits"], heads["act"] = nn.Linear(hidden_dim, representation_size), nn.Tanh()
        heads["head"] = nn.Linear(representation_size or hidden_dim, num_classes)
        self.heads = nn.Sequential(heads)
        self._draw()

    def _draw(self) -> None:
        """Initial values of everything outside the encoder."""
        last = self.conv_proj if isinstance(self.conv_proj, nn.Conv2d) else self.conv_proj.conv_last
        if last is self.conv_proj:
            nn.init.trunc_normal_(last.weight, std=math.sqrt(1 / last.weight[0].numel()))
        else:
            nn.init.normal_(last.weight, mean=0.0, std=math.sqrt(2.0 / last.out_channels))
        nn.init.zeros_(last.bias)
        if self.representation_size is not None:
            nn.init.trunc_normal_(self.heads.pre_logits.weight, std=math.sqrt(1 / self.heads.pre_logits.in_features))
            nn.init.zeros_(self.heads.pre_logits.bias)
        nn.init.zeros_(self.heads.head.weight)
        nn.init.zeros_(self.heads.head.bias)

    def _process_input(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        rl._assert(height == self.image_size, f"Wrong image height! Expected {self.image_size} but got {height}!")
        rl._assert(width == self.image_size, f"Wrong image width! Expected {self.image_size} but got {width}!")
        rows, columns = height // self.patch_size, width // self.patch_size
        return self.conv_proj(x).reshape(batch, self.hidden_dim, rows * columns).permute(0, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self._process_input(x)
        batch = x.shape[0]
        x = rl.cat([self.class_token.expand(batch, -1, -1), x], dim=1)
        return self.heads(self.encoder(x)[:, 0])


def _vit(image_size: int = 224, **kwargs: Any) -> VisionTransformer:
    return VisionTransformer(image_size=image_size, **kwargs)


def _size_of_weights(weights: WeightsEnum | None, kwargs: dict[str, Any]) -> None:
    if weights is not None:
        _ovewrite_named_param(kwargs, "image_size", weights.meta["min_size"][0])


ViT_B_16_Weights = weights_enum("ViT_B_16_Weights", __name__)
ViT_B_32_Weights = weights_enum("ViT_B_32_Weights", __name__)
ViT_L_16_Weights = weights_enum("ViT_L_16_Weights", __name__)
ViT_L_32_Weights = weights_enum("ViT_L_32_Weights", __name__)
ViT_H_14_Weights = weights_enum("ViT_H_14_Weights", __name__)

_BASE = {"num_layers": 12, "num_heads": 12, "hidden_dim": 768, "mlp_dim": 3072}
_LARGE = {"num_layers": 24, "num_heads": 16, "hidden_dim": 1024, "mlp_dim": 4096}
_HUGE = {"num_layers": 32, "num_heads": 16, "hidden_dim": 1280, "mlp_dim": 5120}
_variant = partial(classifier, make=_vit, adjust=_size_of_weights)

vit_b_16 = _variant("vit_b_16", enum=ViT_B_16_Weights, patch_size=16, **_BASE)
vit_b_32 = _variant("vit_b_32", enum=ViT_B_32_Weights, patch_size=32, **_BASE)
vit_l_16 = _variant("vit_l_16", enum=ViT_L_16_Weights, patch_size=16, **_LARGE)
vit_l_32 = _variant("vit_l_32", enum=ViT_L_32_Weights, patch_size=32, **_LARGE)
vit_h_14 = _variant("vit_h_14", enum=ViT_H_14_Weights, legacy=None, patch_size=14, **_HUGE)


def interpolate_embeddings(image_size: int, patch_size: int, model_state: dict[str, Tensor],
                           interpolation_mode: str = "bicubic", reset_heads: bool = False) -> dict[str, Tensor]:
    """A state dict with positions interpolated for images of another size, the head left out where ``reset_heads``.

    ValueError where the old positions are no square grid and a class token.
    """
    positions = model_state["encoder.pos_embedding"]
    count, length, width = positions.shape
    if count != 1:
        raise ValueError(f"Unexpected position embedding shape: {positions.shape}")
    side, new_side = math.isqrt(length - 1), image_size // patch_size
    if new_side ** 2 + 1 == length:
        return model_state
    if side ** 2 != length - 1:
        raise ValueError("seq_length is not a perfect square! Instead got seq_length_1d * "
                         f"seq_length_1d = {side * side} and seq_length = {length - 1}")
    grid = positions[:, 1:].permute(0, 2, 1).reshape(1, width, side, side)
    grid = F.interpolate(grid, size=new_side, mode=interpolation_mode, align_corners=True)
    grid = grid.reshape(1, width, new_side ** 2).permute(0, 2, 1)
    model_state["encoder.pos_embedding"] = rl.cat([positions[:, :1], grid], dim=1)
    return OrderedDict((key, value)
                       for key, value in model_state.items() if not (reset_heads and key.startswith("heads")))
