"""EfficientNet (arXiv 1905.11946) and EfficientNet v2 (arXiv 2104.00298)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rushlight import Tensor, nn
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.models._utils import _make_divisible, fan_out_normal, initialise
from rushlight.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation
from rushlight.vision.ops.stochastic_depth import StochasticDepth

# Of each stage: expansion, kernel, stride, channels in, channels out, blocks
V1 = ((1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3), (6, 5, 1, 80, 112, 3),
      (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1))
# Of each version 2: the fused stages first, and how many they are
V2 = {
    "s": (3, ((1, 3, 1, 24, 24, 2), (4, 3, 2, 24, 48, 4), (4, 3, 2, 48, 64, 4), (4, 3, 2, 64, 128, 6),
              (6, 3, 1, 128, 160, 9),
              (6, 3, 2, 160, 256, 15))),
    "m": (3, ((1, 3, 1, 24, 24, 3), (4, 3, 2, 24, 48, 5), (4, 3, 2, 48, 80, 5), (4, 3, 2, 80, 160, 7),
              (6, 3, 1, 160, 176, 14),
              (6, 3, 2, 176, 304, 18), (6, 3, 1, 304, 512, 5))),
    "l": (3, ((1, 3, 1, 32, 32, 4), (4, 3, 2, 32, 64, 7), (4, 3, 2, 64, 96, 7), (4, 3, 2, 96, 192, 10),
              (6, 3, 1, 192, 224, 19),
              (6, 3, 2, 224, 384, 25), (6, 3, 1, 384, 640, 7))),
}


@dataclass
class _MBConvConfig:
    """One stage."""

    expand_ratio: float
    kernel: int
    stride: int
    input_channels: int
    out_channels: int
    num_layers: int
    block: Callable[..., nn.Module]

    @staticmethod
    def adjust_channels(channels: int, width_mult: float, min_value: int | None = None) -> int:
        """Rounded to multiples of 8."""
        return _make_divisible(channels * width_mult, 8, min_value)


class MBConvConfig(_MBConvConfig):
    """A stage of MBConv blocks, with channels and depth multiplied.

    >>> MBConvConfig(6, 3, 2, 16, 24, 2, width_mult=1.1, depth_mult=1.2).num_layers
    3
    """

    def __init__(self, expand_ratio: float, kernel: int, stride: int, input_channels: int, out_channels: int,
                 num_layers: int, width_mult: float = 1.0, depth_mult: float = 1.0,
                 block: Callable[..., nn.Module] | None = None) -> None:
        super().__init__(expand_ratio, kernel, stride, self.adjust_channels(input_channels, width_mult),
                         self.adjust_channels(out_channels, width_mult),
                         self.adjust_depth(num_layers, depth_mult), block or MBConv)

    @staticmethod
    def adjust_depth(num_layers: int, depth_mult: float) -> int:
        """Rounded up."""
        return int(math.ceil(num_layers * depth_mult))


class FusedMBConvConfig(_MBConvConfig):
    """A stage of FusedMBConv blocks."""

    def __init__(self, expand_ratio: float, kernel: int, stride: int, input_channels: int, out_channels: int,
                 num_layers: int, block: Callable[..., nn.Module] | None = None) -> None:
        super().__init__(expand_ratio, kernel, stride, input_channels, out_channels, num_layers, block or FusedMBConv)


class _Block(nn.Module):
    """A shortcut, where the shape stays, beside what ``layers`` gives."""

    def __init__(self, cnf: _MBConvConfig, stochastic_depth_prob: float, layers: list[nn.Module]) -> None:
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ValueError("illegal stride value")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.out_channels = cnf.out_channels

    def forward(self, input: Tensor) -> Tensor:
        result = self.block(input)
        return self.stochastic_depth(result) + input if self.use_res_connect else result


class MBConv(_Block):
    """Expand, depthwise convolution, squeeze and excite, project."""

    def __init__(self, cnf: MBConvConfig, stochastic_depth_prob: float, norm_layer: Callable[..., nn.Module],
                 se_layer: Callable[..., nn.Module] = SqueezeExcitation) -> None:
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer)
        wide = cnf.adjust_channels(cnf.input_channels, cnf.expand_ratio)
        layers = [] if wide == cnf.input_channels else [conv(cnf.input_channels, wide, kernel_size=1,
                                                             activation_layer=nn.SiLU)]
        layers += [conv(wide, wide, kernel_size=cnf.kernel, stride=cnf.stride, groups=wide, activation_layer=nn.SiLU),
                   se_layer(wide, max(1, cnf.input_channels // 4), activation=partial(nn.SiLU, inplace=True)),
                   conv(wide, cnf.out_channels, kernel_size=1, activation_layer=None)]
        super().__init__(cnf, stochastic_depth_prob, layers)


class FusedMBConv(_Block):
    """Expand by an ordinary convolution, project."""

    def __init__(self, cnf: FusedMBConvConfig, stochastic_depth_prob: float,
                 norm_layer: Callable[..., nn.Module]) -> None:
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer)
        wide = cnf.adjust_channels(cnf.input_channels, cnf.expand_ratio)
        first = {"kernel_size": cnf.kernel, "stride": cnf.stride, "activation_layer": nn.SiLU}
        layers = ([conv(cnf.input_channels, cnf.out_channels, **first)] if wide == cnf.input_channels else
                  [conv(cnf.input_channels, wide, **first),
                   conv(wide, cnf.out_channels, kernel_size=1, activation_layer=None)])
        super().__init__(cnf, stochastic_depth_prob, layers)


def _uniform(weight: Tensor) -> None:
    """Of the last layer: by the number of classes."""
    bound = 1.0 / math.sqrt(weight.shape[0])
    nn.init.uniform_(weight, -bound, bound)


class EfficientNet(nn.Module):
    """Stages by a table, for images ``[N, 3, H, W]``.

    Args:
        inverted_residual_setting: one MBConvConfig or FusedMBConvConfig per stage.
        dropout: before the last layer.
        stochastic_depth_prob: of the last block; earlier ones have proportionally less.
        last_channel: channels of the last convolution; 4 times what comes in where not given.
    """

    def __init__(self, inverted_residual_setting: Sequence[MBConvConfig | FusedMBConvConfig], dropout: float,
                 stochastic_depth_prob: float = 0.2, num_classes: int = 1000,
                 norm_layer: Callable[..., nn.Module] | None = None, last_channel: int | None = None) -> None:
        super().__init__()
        setting = inverted_residual_setting
        if not setting:
            raise ValueError("The inverted_residual_setting should not be empty")
        if not (isinstance(setting, Sequence) and all(isinstance(stage, _MBConvConfig) for stage in setting)):
            raise TypeError("The inverted_residual_setting should be List[MBConvConfig]")
        norm_layer = norm_layer or nn.BatchNorm2d
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        layers: list[nn.Module] = [conv(3, setting[0].input_channels, kernel_size=3, stride=2)]
        total, done = sum(stage.num_layers for stage in setting), 0
        for stage in setting:
            blocks = []
            row = copy.copy(stage)
            for _ in range(stage.num_layers):
                blocks.append(row.block(row, stochastic_depth_prob * done / total, norm_layer))
                row = copy.copy(row)
                row.input_channels, row.stride = row.out_channels, 1
                done += 1
            layers.append(nn.Sequential(*blocks))
        before = setting[-1].out_channels
        last = 4 * before if last_channel is None else last_channel
        layers.append(conv(before, last, kernel_size=1))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout, inplace=True), nn.Linear(last, num_classes))
        initialise(self, fan_out_normal, _uniform)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _v1(width_mult: float, depth_mult: float, **kwargs: Any) -> EfficientNet:
    return EfficientNet([MBConvConfig(*row, width_mult=width_mult, depth_mult=depth_mult) for row in V1], **kwargs)


def _v2(size: str, **kwargs: Any) -> EfficientNet:
    fused, rows = V2[size]
    setting = [(FusedMBConvConfig if i < fused else MBConvConfig)(*row) for i, row in enumerate(rows)]
    return EfficientNet(setting, last_channel=1280, **kwargs)


EfficientNet_B0_Weights = weights_enum("EfficientNet_B0_Weights", __name__)
EfficientNet_B1_Weights = weights_enum("EfficientNet_B1_Weights", __name__)
EfficientNet_B2_Weights = weights_enum("EfficientNet_B2_Weights", __name__)
EfficientNet_B3_Weights = weights_enum("EfficientNet_B3_Weights", __name__)
EfficientNet_B4_Weights = weights_enum("EfficientNet_B4_Weights", __name__)
EfficientNet_B5_Weights = weights_enum("EfficientNet_B5_Weights", __name__)
EfficientNet_B6_Weights = weights_enum("EfficientNet_B6_Weights", __name__)
EfficientNet_B7_Weights = weights_enum("EfficientNet_B7_Weights", __name__)
EfficientNet_V2_S_Weights = weights_enum("EfficientNet_V2_S_Weights", __name__)
EfficientNet_V2_M_Weights = weights_enum("EfficientNet_V2_M_Weights", __name__)
EfficientNet_V2_L_Weights = weights_enum("EfficientNet_V2_L_Weights", __name__)

_SLOW_NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)  # as the original in TensorFlow has it
_V2_NORM = partial(nn.BatchNorm2d, eps=1e-3)


def _b(name: str, enum: Any, width: float, depth: float, dropout: float, **fixed: Any) -> Any:
    return classifier(name, _v1, enum, defaults={"dropout": dropout}, width_mult=width, depth_mult=depth, **fixed)


efficientnet_b0 = _b("efficientnet_b0", EfficientNet_B0_Weights, 1.0, 1.0, 0.2)
efficientnet_b1 = _b("efficientnet_b1", EfficientNet_B1_Weights, 1.0, 1.1, 0.2)
efficientnet_b2 = _b("efficientnet_b2", EfficientNet_B2_Weights, 1.1, 1.2, 0.3)
efficientnet_b3 = _b("efficientnet_b3", EfficientNet_B3_Weights, 1.2, 1.4, 0.3)
efficientnet_b4 = _b("efficientnet_b4", EfficientNet_B4_Weights, 1.4, 1.8, 0.4)
efficientnet_b5 = _b("efficientnet_b5", EfficientNet_B5_Weights, 1.6, 2.2, 0.4, norm_layer=_SLOW_NORM)
efficientnet_b6 = _b("efficientnet_b6", EfficientNet_B6_Weights, 1.8, 2.6, 0.5, norm_layer=_SLOW_NORM)
efficientnet_b7 = _b("efficientnet_b7", EfficientNet_B7_Weights, 2.0, 3.1, 0.5, norm_layer=_SLOW_NORM)
efficientnet_v2_s = classifier("efficientnet_v2_s", _v2, EfficientNet_V2_S_Weights, defaults={"dropout": 0.2}, size="s",
                               norm_layer=_V2_NORM)
efficientnet_v2_m = classifier("efficientnet_v2_m", _v2, EfficientNet_V2_M_Weights, defaults={"dropout": 0.3}, size="m",
                               norm_layer=_V2_NORM)
efficientnet_v2_l = classifier("efficientnet_v2_l", _v2, EfficientNet_V2_L_Weights, defaults={"dropout": 0.4}, size="l",
                               norm_layer=_V2_NORM)
