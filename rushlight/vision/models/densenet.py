"""DenseNet (arXiv 1608.06993)."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.models._utils import initialise

OLD_NAME = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\."
                      r"((?:[12])\.(?:weight|bias|running_mean|running_var|num_batches_tracked))$")


class _DenseLayer(nn.Module):
    """A 1 × 1 and a 3 × 3 convolution over everything before; gives ``growth_rate`` new channels."""

    def __init__(self, num_input_features: int, growth_rate: int, bn_size: int, drop_rate: float,
                 memory_efficient: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(num_input_features)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(num_input_features, bn_size * growth_rate, kernel_size=1, stride=1, bias=False)
        self.norm2 = nn.BatchNorm2d(bn_size * growth_rate)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(bn_size * growth_rate, growth_rate, kernel_size=3, stride=1, padding=1, bias=False)
        self.drop_rate = float(drop_rate)
        self.memory_efficient = memory_efficient

    def forward(self, input: Tensor | list[Tensor]) -> Tensor:
        joined = input if isinstance(input, Tensor) else rl.cat(input, 1)
        narrow = self.conv1(self.relu1(self.norm1(joined)))
        new = self.conv2(self.relu2(self.norm2(narrow)))
        return F.dropout(new, p=self.drop_rate, training=self.training) if self.drop_rate > 0 else new


class _DenseBlock(nn.ModuleDict):
    """Layers that each see the input and the outputs of all layers before."""

    _version = 2

    def __init__(self, num_layers: int, num_input_features: int, bn_size: int, growth_rate: int, drop_rate: float,
                 memory_efficient: bool = False) -> None:
        super().__init__()
        for i in range(num_layers):
            self.add_module(f"denselayer{i + 1}",
                            _DenseLayer(num_input_features + i * growth_rate, growth_rate, bn_size,
                                                              drop_rate, memory_efficient))

    def forward(self, init_features: Tensor) -> Tensor:
        features = [init_features]
        for layer in self.values():
            features.append(layer(features))
        return rl.cat(features, 1)


class _Transition(nn.Sequential):
    """Fewer channels and half the size."""

    def __init__(self, num_input_features: int, num_output_features: int) -> None:
        super().__init__(OrderedDict(
            norm=nn.BatchNorm2d(num_input_features), relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(num_input_features, num_output_features, kernel_size=1, stride=1, bias=False),
            pool=nn.AvgPool2d(kernel_size=2, stride=2)))


class DenseNet(nn.Module):
    """Dense blocks with transitions between, for images ``[N, 3, H, W]`` from 29 × 29 pixels.

    Args:
        growth_rate: channels that each layer adds.
        block_config: layers of each block.
        num_init_features: channels of the first convolution.
        bn_size: bottleneck channels, in growth rates.
        memory_efficient: accepted for PyTorch's sake; plans free what is not needed by themselves.

    >>> DenseNet(4, (1, 1), 8, num_classes=3).classifier
    Linear(in_features=10, out_features=3, bias=True)
    """

    def __init__(self, growth_rate: int = 32, block_config: tuple[int, ...] = (6, 12, 24, 16),
                 num_init_features: int = 64, bn_size: int = 4, drop_rate: float = 0, num_classes: int = 1000,
                 memory_efficient: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(OrderedDict(
            conv0=nn.Conv2d(3, num_init_features, kernel_size=7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(num_init_features), relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(kernel_size=3, stride=2, padding=1)))
        width = num_init_features
        for i, depth in enumerate(block_config, 1):
            self.features.add_module(f"denseblock{i}",
                                     _DenseBlock(depth, width, bn_size, growth_rate, drop_rate, memory_efficient))
            width += depth * growth_rate
            if i < len(block_config):
                self.features.add_module(f"transition{i}", _Transition(width, width // 2))
                width //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(width))
        self.classifier = nn.Linear(width, num_classes)
        initialise(self, nn.init.kaiming_normal_)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.features(x), inplace=True)
        return self.classifier(F.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


def _renamed(state: dict[str, Any]) -> dict[str, Any]:
    """Published files name the parts of a layer ``norm.1`` where the module is called ``norm1``."""
    return OrderedDict((OLD_NAME.sub(r"\1\2", key), value) for key, value in state.items())


DenseNet121_Weights = weights_enum("DenseNet121_Weights", __name__)
DenseNet161_Weights = weights_enum("DenseNet161_Weights", __name__)
DenseNet169_Weights = weights_enum("DenseNet169_Weights", __name__)
DenseNet201_Weights = weights_enum("DenseNet201_Weights", __name__)


def _variant(name: str, enum: Any, growth_rate: int, block_config: tuple[int, ...], num_init_features: int) -> Any:
    return classifier(name, DenseNet, enum, renamed=_renamed, growth_rate=growth_rate, block_config=block_config,
                      num_init_features=num_init_features)


densenet121 = _variant("densenet121", DenseNet121_Weights, 32, (6, 12, 24, 16), 64)
densenet161 = _variant("densenet161", DenseNet161_Weights, 48, (6, 12, 36, 24), 96)
densenet169 = _variant("densenet169", DenseNet169_Weights, 32, (6, 12, 32, 32), 64)
densenet201 = _variant("densenet201", DenseNet201_Weights, 32, (6, 12, 48, 32), 64)
