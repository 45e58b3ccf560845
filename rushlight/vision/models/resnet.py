"""ResNet (arXiv 1512.03385), ResNeXt (arXiv 1611.05431) and Wide ResNet (arXiv 1605.07146)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from rushlight import Tensor, nn
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.models._utils import fan_out_normal, initialise

Layer = Callable[..., nn.Module]


def conv3x3(in_planes: int, out_planes: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A 3 × 3 convolution that keeps the size at stride 1."""
    return nn.Conv2d(in_planes, out_planes, kernel_size=3, stride=stride, padding=dilation,
                     groups=groups, bias=False, dilation=dilation)


def conv1x1(in_planes: int, out_planes: int, stride: int = 1) -> nn.Conv2d:
    """A 1 × 1 convolution."""
    return nn.Conv2d(in_planes, out_planes, kernel_size=1, stride=stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut.

    >>> BasicBlock(4, 4).expansion
    1
    """

    expansion: ClassVar[int] = 1

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None,
                 groups: int = 1, base_width: int = 64, dilation: int = 1, norm_layer: Layer | None = None) -> None:
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        if groups != 1 or base_width != 64:
            raise ValueError("BasicBlock only supports groups=1 and base_width=64")
        if dilation > 1:
            raise NotImplementedError("Dilation > 1 not supported in BasicBlock")
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Bottleneck(nn.Module):
    """A 3 × 3 convolution between two 1 × 1 ones, beside a shortcut; the 3 × 3 one carries the stride (version 1.5).

    >>> Bottleneck(16, 4).conv3.out_channels
    16
    """

    expansion: ClassVar[int] = 4

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None,
                 groups: int = 1, base_width: int = 64, dilation: int = 1, norm_layer: Layer | None = None) -> None:
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm_layer(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm_layer(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    """Four stages of residual blocks, for images ``[N, 3, H, W]``.

    Args:
        block: BasicBlock or Bottleneck.
        layers: blocks of each stage.
        zero_init_residual: blocks begin as the identity.
        groups, width_per_group: of the middle convolution of a Bottleneck.
        replace_stride_with_dilation: for each of the last three stages, keep the size and dilate instead.

    >>> ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5).fc
    Linear(in_features=512, out_features=5, bias=True)
    """

    def __init__(self, block: type[BasicBlock | Bottleneck], layers: list[int], num_classes: int = 1000,
                 zero_init_residual: bool = False, groups: int = 1, width_per_group: int = 64,
                 replace_stride_with_dilation: list[bool] | None = None, norm_layer: Layer | None = None) -> None:
        super().__init__()
        self._norm_layer = norm_layer = norm_layer or nn.BatchNorm2d
        dilate = [False, False, False] if replace_stride_with_dilation is None else replace_stride_with_dilation
        if len(dilate) != 3:
            raise ValueError("replace_stride_with_dilation should be None or a 3-element tuple, "
                             f"got {replace_stride_with_dilation}")
        self.inplanes, self.dilation = 64, 1
        self.groups, self.base_width = groups, width_per_group
        self.conv1 = nn.Conv2d(3, self.inplanes, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = norm_layer(self.inplanes)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], stride=2, dilate=dilate[0])
        self.layer3 = self._make_layer(block, 256, layers[2], stride=2, dilate=dilate[1])
        self.layer4 = self._make_layer(block, 512, layers[3], stride=2, dilate=dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        initialise(self, fan_out_normal)
        if zero_init_residual:
            for module in self.modules():
                last = (module.bn3 if isinstance(module, Bottleneck) else
                        module.bn2 if isinstance(module, BasicBlock) else None)
                if last is not None and last.weight is not None:
                    nn.init.zeros_(last.weight)

    def _make_layer(self, block: type[BasicBlock | Bottleneck], planes: int, blocks: int, stride: int = 1,
                    dilate: bool = False) -> nn.Sequential:
        first_dilation = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        width = planes * block.expansion
        downsample = None
        if stride != 1 or self.inplanes != width:
            downsample = nn.Sequential(conv1x1(self.inplanes, width, stride), self._norm_layer(width))
        same: dict[str, Any] = {"groups": self.groups, "base_width": self.base_width, "norm_layer": self._norm_layer}
        stage = [block(self.inplanes, planes, stride, downsample, dilation=first_dilation, **same)]
        self.inplanes = width
        stage += [block(width, planes, dilation=self.dilation, **same) for _ in range(1, blocks)]
        return nn.Sequential(*stage)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


ResNet18_Weights = weights_enum("ResNet18_Weights", __name__)
ResNet34_Weights = weights_enum("ResNet34_Weights", __name__)
ResNet50_Weights = weights_enum("ResNet50_Weights", __name__)
ResNet101_Weights = weights_enum("ResNet101_Weights", __name__)
ResNet152_Weights = weights_enum("ResNet152_Weights", __name__)
ResNeXt50_32X4D_Weights = weights_enum("ResNeXt50_32X4D_Weights", __name__)
ResNeXt101_32X8D_Weights = weights_enum("ResNeXt101_32X8D_Weights", __name__)
ResNeXt101_64X4D_Weights = weights_enum("ResNeXt101_64X4D_Weights", __name__)
Wide_ResNet50_2_Weights = weights_enum("Wide_ResNet50_2_Weights", __name__)
Wide_ResNet101_2_Weights = weights_enum("Wide_ResNet101_2_Weights", __name__)

_deep: Callable[..., Any] = partial(classifier, make=ResNet, block=Bottleneck)

resnet18 = classifier("resnet18", ResNet, ResNet18_Weights, block=BasicBlock, layers=[2, 2, 2, 2])
resnet34 = classifier("resnet34", ResNet, ResNet34_Weights, block=BasicBlock, layers=[3, 4, 6, 3])
resnet50 = _deep("resnet50", enum=ResNet50_Weights, layers=[3, 4, 6, 3])
resnet101 = _deep("resnet101", enum=ResNet101_Weights, layers=[3, 4, 23, 3])
resnet152 = _deep("resnet152", enum=ResNet152_Weights, layers=[3, 8, 36, 3])
resnext50_32x4d = _deep("resnext50_32x4d", enum=ResNeXt50_32X4D_Weights,
                        layers=[3, 4, 6, 3], groups=32, width_per_group=4)
resnext101_32x8d = _deep("resnext101_32x8d", enum=ResNeXt101_32X8D_Weights,
                         layers=[3, 4, 23, 3], groups=32, width_per_group=8)
resnext101_64x4d = _deep("resnext101_64x4d", enum=ResNeXt101_64X4D_Weights,
                         layers=[3, 4, 23, 3], groups=64, width_per_group=4)
wide_resnet50_2 = _deep("wide_resnet50_2", enum=Wide_ResNet50_2_Weights, layers=[3, 4, 6, 3], width_per_group=128)
wide_resnet101_2 = _deep("wide_resnet101_2", enum=Wide_ResNet101_2_Weights, layers=[3, 4, 23, 3], width_per_group=128)
