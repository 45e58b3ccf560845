"""ConvNeXt (arXiv 2201.03545)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.ops.misc import Conv2dNormActivation, Permute
from rushlight.vision.ops.stochastic_depth import StochasticDepth

Layer = Callable[..., nn.Module]


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of ``[N, C, H, W]``."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class CNBlock(nn.Module):
    """A depthwise 7 × 7 convolution, then a two-layer network on every pixel, scaled, beside a shortcut."""

    def __init__(self, dim: int, layer_scale: float, stochastic_depth_prob: float,
                 norm_layer: Layer | None = None) -> None:
        super().__init__()
        norm_layer = norm_layer or partial(nn.LayerNorm, eps=1e-6)
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim, bias=True), Permute([0, 2, 3, 1]),
            norm_layer(dim), nn.Linear(in_features=dim, out_features=4 * dim, bias=True), nn.GELU(),
            nn.Linear(in_features=4 * dim, out_features=dim, bias=True), Permute([0, 3, 1, 2]))
        self.layer_scale = nn.Parameter(rl.ones(dim, 1, 1) * layer_scale)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, input: Tensor) -> Tensor:
        return self.stochastic_depth(self.layer_scale * self.block(input)) + input


class CNBlockConfig:
    """One stage: channels in, channels after it (None for the last), blocks.

    >>> CNBlockConfig(96, 192, 3)
    CNBlockConfig(input_channels=96, out_channels=192, num_layers=3)
    """

    def __init__(self, input_channels: int, out_channels: int | None, num_layers: int) -> None:
        self.input_channels, self.out_channels, self.num_layers = input_channels, out_channels, num_layers

    def __repr__(self) -> str:
        return f"CNBlockConfig({', '.join(f'{key}={value}' for key, value in vars(self).items())})"


class ConvNeXt(nn.Module):
    """Stages by a table, for images ``[N, 3, H, W]`` from 32 × 32 pixels.

    Args:
        block_setting: one CNBlockConfig per stage.
        stochastic_depth_prob: of the last block; earlier ones have proportionally less.
        layer_scale: first value of the blocks' scales.
        block, norm_layer: other building blocks.
    """

    def __init__(self, block_setting: list[CNBlockConfig], stochastic_depth_prob: float = 0.0,
                 layer_scale: float = 1e-6, num_classes: int = 1000, block: Layer | None = None,
                 norm_layer: Layer | None = None, **kwargs: Any) -> None:
        super().__init__()
        if not block_setting:
            raise ValueError("The block_setting should not be empty")
        if not (isinstance(block_setting, Sequence)
                and all(isinstance(stage, CNBlockConfig) for stage in block_setting)):
            raise TypeError("The block_setting should be List[CNBlockConfig]")
        block, norm = block or CNBlock, norm_layer or partial(LayerNorm2d, eps=1e-6)
        layers: list[nn.Module] = [Conv2dNormActivation(3, block_setting[0].input_channels, kernel_size=4, stride=4,
                                                        padding=0, norm_layer=norm, activation_layer=None, bias=True)]
        total, done = sum(stage.num_layers for stage in block_setting), 0
        for stage in block_setting:
            width = stage.input_channels
            layers.append(nn.Sequential(*(block(width, layer_scale, stochastic_depth_prob * (done + i) / (total - 1.0))
                                          for i in range(stage.num_layers))))
            done += stage.num_layers
            if stage.out_channels is not None:
                layers.append(nn.Sequential(norm(width), nn.Conv2d(width, stage.out_channels, kernel_size=2, stride=2)))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        last = block_setting[-1].out_channels or block_setting[-1].input_channels
        self.classifier = nn.Sequential(norm(last), nn.Flatten(1), nn.Linear(last, num_classes))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)))


def _convnext(widths: tuple[int, ...], depths: tuple[int, ...], **kwargs: Any) -> ConvNeXt:
    stages = [CNBlockConfig(width, after, depth) for width, after, depth in zip(widths, (*widths[1:], None), depths)]
    return ConvNeXt(stages, **kwargs)


ConvNeXt_Tiny_Weights = weights_enum("ConvNeXt_Tiny_Weights", __name__)
ConvNeXt_Small_Weights = weights_enum("ConvNeXt_Small_Weights", __name__)
ConvNeXt_Base_Weights = weights_enum("ConvNeXt_Base_Weights", __name__)
ConvNeXt_Large_Weights = weights_enum("ConvNeXt_Large_Weights", __name__)


def _variant(name: str, enum: Any, width: int, third: int, stochastic_depth_prob: float) -> Any:
    """Widths double from stage to stage; the third stage is the deep one."""
    return classifier(name, _convnext, enum, defaults={"stochastic_depth_prob": stochastic_depth_prob},
                      widths=tuple(width << i for i in range(4)), depths=(3, 3, third, 3))


convnext_tiny = _variant("convnext_tiny", ConvNeXt_Tiny_Weights, 96, 9, 0.1)
convnext_small = _variant("convnext_small", ConvNeXt_Small_Weights, 96, 27, 0.4)
convnext_base = _variant("convnext_base", ConvNeXt_Base_Weights, 128, 27, 0.5)
convnext_large = _variant("convnext_large", ConvNeXt_Large_Weights, 192, 27, 0.5)
