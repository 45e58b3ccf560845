"""ResNets over time and space, for clips ``[N, 3, T, H, W]`` (arXiv 1711.11248): R3D, MC3 and R(2+1)D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from rushlight import Tensor, nn
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models._builders import classifier
from rushlight.vision.models._utils import fan_out_normal, small_normal

CLIPS = "clips ``[N, 3, T, H, W]``"


class Conv3DSimple(nn.Conv3d):
    """A 3 × 3 × 3 convolution."""

    def __init__(self, in_planes: int, out_planes: int, midplanes: int | None = None, stride: int = 1,
                 padding: int = 1) -> None:
        super().__init__(in_planes, out_planes, kernel_size=(3, 3, 3), stride=stride, padding=padding, bias=False)

    @staticmethod
    def get_downsample_stride(stride: int) -> tuple[int, int, int]:
        """The stride of the shortcut beside it."""
        return stride, stride, stride


class Conv2Plus1D(nn.Sequential):
    """A 3 × 3 convolution of each frame to ``midplanes`` channels, then one of 3 over time."""

    def __init__(self, in_planes: int, out_planes: int, midplanes: int, stride: int = 1, padding: int = 1) -> None:
        super().__init__(*_factored(in_planes, midplanes, out_planes, 3, stride, padding))

    @staticmethod
    def get_downsample_stride(stride: int) -> tuple[int, int, int]:
        """The stride of the shortcut beside it."""
        return stride, stride, stride


def _factored(inputs: int, middle: int, outputs: int, side: int, stride: int, padding: int,
              time_stride: int | None = None) -> list[nn.Module]:
    over_time = stride if time_stride is None else time_stride
    time_padding = padding if time_stride is None else 1
    return ([nn.Conv3d(inputs, middle, (1, side, side), (1, stride, stride), (0, padding, padding), bias=False),
             nn.BatchNorm3d(middle), nn.ReLU(inplace=True),
             nn.Conv3d(middle, outputs, (3, 1, 1), (over_time, 1, 1), (time_padding, 0, 0), bias=False)])


class Conv3DNoTemporal(nn.Conv3d):
    """A 3 × 3 convolution of each frame."""

    def __init__(self, in_planes: int, out_planes: int, midplanes: int | None = None, stride: int = 1,
                 padding: int = 1) -> None:
        super().__init__(in_planes, out_planes, kernel_size=(1, 3, 3), stride=(1, stride, stride),
                         padding=(0, padding, padding), bias=False)

    @staticmethod
    def get_downsample_stride(stride: int) -> tuple[int, int, int]:
        """The stride of the shortcut beside it: time stays."""
        return 1, stride, stride


def _middle(inplanes: int, planes: int) -> int:
    """The channels between the parts of a (2+1)D convolution with which it has as many weights as a whole one."""
    return (inplanes * planes * 27) // (inplanes * 9 + 3 * planes)


def _pointwise(inputs: int, outputs: int, stride: Any = 1) -> list[nn.Module]:
    return [nn.Conv3d(inputs, outputs, kernel_size=1, stride=stride, bias=False), nn.BatchNorm3d(outputs)]


class _Block(nn.Module):
    """Convolutions beside a shortcut."""

    expansion: ClassVar[int] = 1

    def _finish(self, downsample: nn.Module | None, stride: int) -> None:
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def _branch(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))

    def forward(self, x: Tensor) -> Tensor:
        out = self._branch(x)
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class BasicBlock(_Block):
    """Two convolutions beside a shortcut."""

    def __init__(self, inplanes: int, planes: int, conv_builder: Callable[..., nn.Module], stride: int = 1,
                 downsample: nn.Module | None = None) -> None:
        super().__init__()
        middle = _middle(inplanes, planes)
        self.conv1 = nn.Sequential(conv_builder(inplanes, planes, middle, stride), nn.BatchNorm3d(planes),
                                   nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(conv_builder(planes, planes, middle), nn.BatchNorm3d(planes))
        self._finish(downsample, stride)


class Bottleneck(_Block):
    """A convolution between two pointwise ones, beside a shortcut."""

    expansion: ClassVar[int] = 4

    def __init__(self, inplanes: int, planes: int, conv_builder: Callable[..., nn.Module], stride: int = 1,
                 downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(*_pointwise(inplanes, planes), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(conv_builder(planes, planes, _middle(inplanes, planes), stride),
                                   nn.BatchNorm3d(planes), nn.ReLU(inplace=True))
        self.conv3 = nn.Sequential(*_pointwise(planes, planes * self.expansion))
        self._finish(downsample, stride)

    def _branch(self, x: Tensor) -> Tensor:
        return self.conv3(self.conv2(self.conv1(x)))


class BasicStem(nn.Sequential):
    """A 3 × 7 × 7 convolution that halves the frames."""

    def __init__(self) -> None:
        super().__init__(nn.Conv3d(3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False), nn.BatchNorm3d(64),
                         nn.ReLU(inplace=True))


class R2Plus1dStem(nn.Sequential):
    """A 7 × 7 convolution that halves the frames, then one over time."""

    def __init__(self) -> None:
        super().__init__(*_factored(3, 45, 64, 7, 2, 3, time_stride=1), nn.BatchNorm3d(64), nn.ReLU(inplace=True))


class VideoResNet(nn.Module):
    """Four stages of residual blocks, each with its kind of convolution.

    Args:
        block: BasicBlock or Bottleneck.
        conv_makers: the convolutions of each stage.
        layers: blocks of each stage.
        stem: makes the first layers.
        zero_init_residual: Bottleneck blocks begin as the identity.
    """

    def __init__(self, block: type[BasicBlock | Bottleneck], conv_makers: Sequence[Any], layers: list[int],
                 stem: Callable[..., nn.Module], num_classes: int = 400, zero_init_residual: bool = False) -> None:
        super().__init__()
        self.inplanes = 64
        self.stem = stem()
        self.layer1 = self._make_layer(block, conv_makers[0], 64, layers[0], stride=1)
        self.layer2 = self._make_layer(block, conv_makers[1], 128, layers[1], stride=2)
        self.layer3 = self._make_layer(block, conv_makers[2], 256, layers[2], stride=2)
        self.layer4 = self._make_layer(block, conv_makers[3], 512, layers[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool3d((1, 1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                fan_out_normal(module.weight)
            elif isinstance(module, nn.Linear):
                small_normal(module.weight)
            if isinstance(module, (nn.Conv3d, nn.Linear)) and module.bias is not None:
                nn.init.zeros_(module.bias)
            if zero_init_residual and isinstance(module, Bottleneck):
                nn.init.zeros_(module.conv3[1].weight)

    def _make_layer(self, block: type[BasicBlock | Bottleneck], conv_builder: Any, planes: int, blocks: int,
                    stride: int = 1) -> nn.Sequential:
        width = planes * block.expansion
        downsample = None
        if stride != 1 or self.inplanes != width:
            downsample = nn.Sequential(*_pointwise(self.inplanes, width, conv_builder.get_downsample_stride(stride)))
        stage = [block(self.inplanes, planes, conv_builder, stride, downsample)]
        self.inplanes = width
        return nn.Sequential(*stage, *(block(width, planes, conv_builder) for _ in range(1, blocks)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        return self.fc(self.avgpool(x).flatten(1))


R3D_18_Weights = weights_enum("R3D_18_Weights", __name__)
MC3_18_Weights = weights_enum("MC3_18_Weights", __name__)
R2Plus1D_18_Weights = weights_enum("R2Plus1D_18_Weights", __name__)

_variant: Callable[..., Any] = partial(classifier, make=VideoResNet, legacy="KINETICS400_V1", takes=CLIPS,
                                       block=BasicBlock, layers=[2, 2, 2, 2])

r3d_18 = _variant("r3d_18", enum=R3D_18_Weights, conv_makers=[Conv3DSimple] * 4, stem=BasicStem)
mc3_18 = _variant("mc3_18", enum=MC3_18_Weights, conv_makers=[Conv3DSimple] + [Conv3DNoTemporal] * 3, stem=BasicStem)
r2plus1d_18 = _variant("r2plus1d_18", enum=R2Plus1D_18_Weights, conv_makers=[Conv2Plus1D] * 4, stem=R2Plus1dStem)
