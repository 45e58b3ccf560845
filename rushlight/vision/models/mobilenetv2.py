"""MobileNet v2 (arXiv 1801.04381)."""

from __future__ import annotations

from collections.abc import Callable

from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.models._utils import _make_divisible, fan_out_normal, initialise, small_normal
from rushlight.vision.ops.misc import Conv2dNormActivation

# Expansion, channels, blocks, stride of the first block
SETTING = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]]


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, project; a shortcut where the shape stays.

    >>> InvertedResidual(8, 8, 1, 6).use_res_connect
    True
    """

    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: int,
                 norm_layer: Callable[..., nn.Module] | None = None) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        norm_layer = norm_layer or nn.BatchNorm2d
        hidden = int(round(inp * expand_ratio))
        how = {"norm_layer": norm_layer, "activation_layer": nn.ReLU6}
        layers: list[nn.Module] = []
        if expand_ratio != 1:
            layers.append(Conv2dNormActivation(inp, hidden, kernel_size=1, **how))
        layers += [Conv2dNormActivation(hidden, hidden, stride=stride, groups=hidden, **how),
                   nn.Conv2d(hidden, oup, 1, 1, 0, bias=False), norm_layer(oup)]
        self.conv = nn.Sequential(*layers)
        self.stride, self.out_channels = stride, oup
        self.use_res_connect = stride == 1 and inp == oup
        self._is_cn = stride > 1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """Inverted residual blocks, for images ``[N, 3, H, W]``.

    Args:
        width_mult: factor of all channels, rounded to multiples of ``round_nearest``.
        inverted_residual_setting: rows of expansion, channels, number of blocks and stride.
        block, norm_layer: other building blocks.

    >>> MobileNetV2(num_classes=2, width_mult=0.5).last_channel
    1280
    """

    def __init__(self, num_classes: int = 1000, width_mult: float = 1.0,
                 inverted_residual_setting: list[list[int]] | None = None, round_nearest: int = 8,
                 block: Callable[..., nn.Module] | None = None, norm_layer: Callable[..., nn.Module] | None = None,
                 dropout: float = 0.2) -> None:
        super().__init__()
        block, norm_layer = block or InvertedResidual, norm_layer or nn.BatchNorm2d
        setting = SETTING if inverted_residual_setting is None else inverted_residual_setting
        if len(setting) == 0 or len(setting[0]) != 4:
            raise ValueError(f"inverted_residual_setting should be non-empty or a 4-element list, got {setting}")
        how = {"norm_layer": norm_layer, "activation_layer": nn.ReLU6}
        before = _make_divisible(32 * width_mult, round_nearest)
        self.last_channel = _make_divisible(1280 * max(1.0, width_mult), round_nearest)
        features: list[nn.Module] = [Conv2dNormActivation(3, before, stride=2, **how)]
        for expansion, channels, count, stride in setting:
            after = _make_divisible(channels * width_mult, round_nearest)
            for i in range(count):
                features.append(block(before, after, stride if i == 0 else 1, expand_ratio=expansion,
                                      norm_layer=norm_layer))
                before = after
        features.append(Conv2dNormActivation(before, self.last_channel, kernel_size=1, **how))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout), nn.Linear(self.last_channel, num_classes))
        initialise(self, fan_out_normal, small_normal)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), (1, 1)).flatten(1))


MobileNet_V2_Weights = weights_enum("MobileNet_V2_Weights", __name__)
mobilenet_v2 = classifier("mobilenet_v2", MobileNetV2, MobileNet_V2_Weights)
