"""MobileNet v3 (arXiv 1905.02244)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from rushlight import Tensor, nn
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.models._utils import _make_divisible, fan_out_normal, initialise, small_normal
from rushlight.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation

# Rows of a block: channels in, kernel, expanded channels, channels out, squeeze-and-excitation, activation, stride.
# From row ``tail`` on, channels may be halved (but those that come in at its first row) and strides replaced by
# dilation.
LARGE = ((16, 3, 16, 16, False, "RE", 1), (16, 3, 64, 24, False, "RE", 2), (24, 3, 72, 24, False, "RE", 1),
         (24, 5, 72, 40, True, "RE", 2), (40, 5, 120, 40, True, "RE", 1), (40, 5, 120, 40, True, "RE", 1),
         (40, 3, 240, 80, False, "HS", 2), (80, 3, 200, 80, False, "HS", 1), (80, 3, 184, 80, False, "HS", 1),
         (80, 3, 184, 80, False, "HS", 1), (80, 3, 480, 112, True, "HS", 1), (112, 3, 672, 112, True, "HS", 1),
         (112, 5, 672, 160, True, "HS", 2), (160, 5, 960, 160, True, "HS", 1), (160, 5, 960, 160, True, "HS", 1))
SMALL = ((16, 3, 16, 16, True, "RE", 2), (16, 3, 72, 24, False, "RE", 2), (24, 3, 88, 24, False, "RE", 1),
         (24, 5, 96, 40, True, "HS", 2), (40, 5, 240, 40, True, "HS", 1), (40, 5, 240, 40, True, "HS", 1),
         (40, 5, 120, 48, True, "HS", 1), (48, 5, 144, 48, True, "HS", 1), (48, 5, 288, 96, True, "HS", 2),
         (96, 5, 576, 96, True, "HS", 1), (96, 5, 576, 96, True, "HS", 1))
TABLES = {"mobilenet_v3_large": (LARGE, 12, 1280), "mobilenet_v3_small": (SMALL, 8, 1024)}


class InvertedResidualConfig:
    """One row of the table, with channels multiplied and rounded.

    >>> InvertedResidualConfig(16, 3, 64, 24, False, "RE", 2, 1, 0.5).out_channels
    16
    """

    def __init__(self, input_channels: int, kernel: int, expanded_channels: int, out_channels: int, use_se: bool,
                 activation: str, stride: int, dilation: int, width_mult: float):
        self.input_channels = self.adjust_channels(input_channels, width_mult)
        self.kernel = kernel
        self.expanded_channels = self.adjust_channels(expanded_channels, width_mult)
        self.out_channels = self.adjust_channels(out_channels, width_mult)
        self.use_se = use_se
        self.use_hs = activation == "HS"
        self.stride = stride
        self.dilation = dilation

    @staticmethod
    def adjust_channels(channels: int, width_mult: float) -> int:
        """Rounded to multiples of 8."""
        return _make_divisible(channels * width_mult, 8)


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, squeeze and excite, project; a shortcut where the shape stays."""

    def __init__(self, cnf: InvertedResidualConfig, norm_layer: Callable[..., nn.Module],
                 se_layer: Callable[..., nn.Module] = partial(SqueezeExcitation, scale_activation=nn.Hardsigmoid)):
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ValueError("illegal stride value")
        activation = nn.Hardswish if cnf.use_hs else nn.ReLU
        wide = cnf.expanded_channels
        layers: list[nn.Module] = []
        if wide != cnf.input_channels:
            layers.append(Conv2dNormActivation(cnf.input_channels, wide, kernel_size=1, norm_layer=norm_layer,
                                               activation_layer=activation))
        layers.append(Conv2dNormActivation(wide, wide, kernel_size=cnf.kernel,
                                           stride=1 if cnf.dilation > 1 else cnf.stride, dilation=cnf.dilation,
                                           groups=wide, norm_layer=norm_layer, activation_layer=activation))
        if cnf.use_se:
            layers.append(se_layer(wide, _make_divisible(wide // 4, 8)))
        layers.append(Conv2dNormActivation(wide, cnf.out_channels, kernel_size=1, norm_layer=norm_layer,
                                           activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        self.out_channels = cnf.out_channels
        self._is_cn = cnf.stride > 1

    def forward(self, input: Tensor) -> Tensor:
        return self.block(input) + input if self.use_res_connect else self.block(input)


class MobileNetV3(nn.Module):
    """Blocks by a table, then two linear layers, for images ``[N, 3, H, W]``.

    Args:
        inverted_residual_setting: one InvertedResidualConfig per block.
        last_channel: width of the first linear layer.
        block, norm_layer: other building blocks.
    """

    def __init__(self, inverted_residual_setting: list[InvertedResidualConfig], last_channel: int,
                 num_classes: int = 1000, block: Callable[..., nn.Module] | None = None,
                 norm_layer: Callable[..., nn.Module] | None = None, dropout: float = 0.2, **kwargs: Any) -> None:
        super().__init__()
        setting = inverted_residual_setting
        if not setting:
            raise ValueError("The inverted_residual_setting should not be empty")
        if not (isinstance(setting, Sequence) and all(isinstance(row, InvertedResidualConfig) for row in setting)):
            raise TypeError("The inverted_residual_setting should be List[InvertedResidualConfig]")
        norm = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        how: dict[str, Any] = {"norm_layer": norm, "activation_layer": nn.Hardswish}
        last = setting[-1].out_channels
        self.features = nn.Sequential(Conv2dNormActivation(3,
                                                           setting[0].input_channels, kernel_size=3, stride=2, **how),
                                      *((block or InvertedResidual)(row, norm) for row in setting),
                                      Conv2dNormActivation(last, 6 * last, kernel_size=1, **how))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Linear(6 * last, last_channel), nn.Hardswish(inplace=True),
                                        nn.Dropout(p=dropout, inplace=True), nn.Linear(last_channel, num_classes))
        initialise(self, fan_out_normal, small_normal)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _mobilenet_v3_conf(arch: str, width_mult: float = 1.0, reduced_tail: bool = False, dilated: bool = False,
                       **kwargs: Any) -> tuple[list[InvertedResidualConfig], int]:
    """The rows of an architecture, and the width of its first linear layer."""
    if arch not in TABLES:
        raise ValueError(f"Unsupported model type {arch}")
    table, tail, last = TABLES[arch]
    rows = []
    for i, (before, kernel, wide, after, se, activation, stride) in enumerate(table):
        half = 2 if reduced_tail else 1
        if i >= tail:
            after //= half
        if i > tail:
            before, wide = before // half, wide // half
        rows.append(InvertedResidualConfig(before, kernel, wide, after, se, activation, stride,
                                           2 if dilated and i >= tail else 1, width_mult))
    return rows, InvertedResidualConfig.adjust_channels(last // (2 if reduced_tail else 1), width_mult)


def _mobilenet_v3(arch: str, **kwargs: Any) -> MobileNetV3:
    rows, last_channel = _mobilenet_v3_conf(arch, **kwargs)
    return MobileNetV3(rows, last_channel, **kwargs)


MobileNet_V3_Large_Weights = weights_enum("MobileNet_V3_Large_Weights", __name__)
MobileNet_V3_Small_Weights = weights_enum("MobileNet_V3_Small_Weights", __name__)

mobilenet_v3_large = classifier("mobilenet_v3_large", _mobilenet_v3, MobileNet_V3_Large_Weights,
                                arch="mobilenet_v3_large")
mobilenet_v3_small = classifier("mobilenet_v3_small", _mobilenet_v3, MobileNet_V3_Small_Weights,
                                arch="mobilenet_v3_small")
