"""ShuffleNet v2 (arXiv 1807.11164)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models._builders import classifier


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Channels of ``groups`` equal parts, interleaved.

    >>> channel_shuffle(rl.arange(4.).reshape(1, 4, 1, 1), 2).flatten()
    tensor([0., 2., 1., 3.])
    """
    batch, channels, height, width = x.size()
    parts = x.view(batch, groups, channels // groups, height, width)
    return rl.transpose(parts, 1, 2).contiguous().view(batch, channels, height, width)


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, channels, 3, stride, 1, bias=False, groups=channels), nn.BatchNorm2d(channels)]


def _pointwise(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, kernel_size=1, stride=1, padding=0, bias=False), nn.BatchNorm2d(after),
            nn.ReLU(inplace=True)]


class InvertedResidual(nn.Module):
    """Half of the channels pass through, the other half is convolved;
    at stride 2 all are, twice. Then they are shuffled."""

    def __init__(self, inp: int, oup: int, stride: int) -> None:
        super().__init__()
        if not 1 <= stride <= 3:
            raise ValueError("illegal stride value")
        half = oup // 2
        if stride == 1 and inp != half << 1:
            raise ValueError(f"Invalid combination of stride {stride}, inp {inp} and oup {oup} values. "
                             "If stride == 1 then inp should be equal to oup // 2 << 1.")
        self.stride = stride
        self.branch1 = nn.Sequential()
        if stride > 1:
            self.branch1 = nn.Sequential(*_depthwise(inp, stride), *_pointwise(inp, half))
        self.branch2 = nn.Sequential(*_pointwise(inp if stride > 1 else half, half), *_depthwise(half, stride),
                                     *_pointwise(half, half))

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            passed, changed = x.chunk(2, dim=1)
        else:
            passed, changed = self.branch1(x), x
        return channel_shuffle(rl.cat((passed, self.branch2(changed)), dim=1), 2)


class ShuffleNetV2(nn.Module):
    """Three stages of shuffled blocks, for images ``[N, 3, H, W]``.

    Args:
        stages_repeats: blocks of the three stages.
        stages_out_channels: channels of the first convolution, the stages and the last convolution.

    >>> ShuffleNetV2([1, 1, 1], [8, 16, 16, 16, 32], num_classes=3).fc.in_features
    32
    """

    def __init__(self, stages_repeats: list[int], stages_out_channels: list[int], num_classes: int = 1000,
                 inverted_residual: Callable[..., nn.Module] = InvertedResidual) -> None:
        super().__init__()
        if len(stages_repeats) != 3:
            raise ValueError("expected stages_repeats as list of 3 positive ints")
        if len(stages_out_channels) != 5:
            raise ValueError("expected stages_out_channels as list of 5 positive ints")
        self._stage_out_channels = stages_out_channels
        before, *stages, last = stages_out_channels
        self.conv1 = nn.Sequential(nn.Conv2d(3, before, 3, 2, 1, bias=False), nn.BatchNorm2d(before),
                                   nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        for name, repeats, after in zip(("stage2", "stage3", "stage4"), stages_repeats, stages):
            blocks = [inverted_residual(before, after, 2),
                      *(inverted_residual(after, after, 1) for _ in range(repeats - 1))]
            self.add_module(name, nn.Sequential(*blocks))
            before = after
        self.conv5 = nn.Sequential(*_pointwise(before, last))
        self.fc = nn.Linear(last, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage4(self.stage3(self.stage2(self.maxpool(self.conv1(x)))))
        return self.fc(self.conv5(x).mean([2, 3]))


ShuffleNet_V2_X0_5_Weights = weights_enum("ShuffleNet_V2_X0_5_Weights", __name__)
ShuffleNet_V2_X1_0_Weights = weights_enum("ShuffleNet_V2_X1_0_Weights", __name__)
ShuffleNet_V2_X1_5_Weights = weights_enum("ShuffleNet_V2_X1_5_Weights", __name__)
ShuffleNet_V2_X2_0_Weights = weights_enum("ShuffleNet_V2_X2_0_Weights", __name__)


def _variant(name: str, enum: Any, channels: list[int]) -> Any:
    return classifier(name, ShuffleNetV2, enum, stages_repeats=[4, 8, 4], stages_out_channels=channels)


shufflenet_v2_x0_5 = _variant("shufflenet_v2_x0_5", ShuffleNet_V2_X0_5_Weights, [24, 48, 96, 192, 1024])
shufflenet_v2_x1_0 = _variant("shufflenet_v2_x1_0", ShuffleNet_V2_X1_0_Weights, [24, 116, 232, 464, 1024])
shufflenet_v2_x1_5 = _variant("shufflenet_v2_x1_5", ShuffleNet_V2_X1_5_Weights, [24, 176, 352, 704, 1024])
shufflenet_v2_x2_0 = _variant("shufflenet_v2_x2_0", ShuffleNet_V2_X2_0_Weights, [24, 244, 488, 976, 2048])
