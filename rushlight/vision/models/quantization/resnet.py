"""ResNet and ResNeXt for 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rushlight import Tensor, nn
from rushlight.ao.nn.quantized import FloatFunctional
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models.quantization.utils import Stubs, _fuse_modules, fuse_all, quantizable
from rushlight.vision.models.resnet import (BasicBlock, Bottleneck, ResNet, ResNet18_Weights, ResNet50_Weights,
                                            ResNeXt101_32X8D_Weights, ResNeXt101_64X4D_Weights)


def _fuse(block: nn.Module, parts: list[list[str]], is_qat: bool | None) -> None:
    _fuse_modules(block, parts, is_qat, inplace=True)
    if block.downsample:
        _fuse_modules(block.downsample, ["0", "1"], is_qat, inplace=True)


class QuantizableBasicBlock(BasicBlock):
    """Two 3 × 3 convolutions beside a shortcut, added by an operation that can be observed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_relu = FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.add_relu.add_relu(out, x if self.downsample is None else self.downsample(x))

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """Convolutions with their norms and ReLUs, in place."""
        _fuse(self, [["conv1", "bn1", "relu"], ["conv2", "bn2"]], is_qat)


class QuantizableBottleneck(Bottleneck):
    """Three convolutions beside a shortcut, each with a ReLU of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.skip_add_relu = FloatFunctional()
        self.relu1 = nn.ReLU(inplace=False)
        self.relu2 = nn.ReLU(inplace=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.skip_add_relu.add_relu(out, x if self.downsample is None else self.downsample(x))

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """Convolutions with their norms and ReLUs, in place."""
        _fuse(self, [["conv1", "bn1", "relu1"], ["conv2", "bn2", "relu2"], ["conv3", "bn3"]], is_qat)


class QuantizableResNet(Stubs, ResNet):
    """ResNet between stubs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._add_stubs()

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """Convolutions with their norms and ReLUs, in place."""
        _fuse_modules(self, ["conv1", "bn1", "relu"], is_qat, inplace=True)
        fuse_all(self, is_qat, QuantizableBottleneck, QuantizableBasicBlock)


ResNet18_QuantizedWeights = weights_enum("ResNet18_QuantizedWeights", __name__)
ResNet50_QuantizedWeights = weights_enum("ResNet50_QuantizedWeights", __name__)
ResNeXt101_32X8D_QuantizedWeights = weights_enum("ResNeXt101_32X8D_QuantizedWeights", __name__)
ResNeXt101_64X4D_QuantizedWeights = weights_enum("ResNeXt101_64X4D_QuantizedWeights", __name__)

_variant: Callable[..., Any] = partial(quantizable, make=QuantizableResNet, backend="fbgemm")

resnet18 = _variant("resnet18", enum=ResNet18_QuantizedWeights, floats=ResNet18_Weights, block=QuantizableBasicBlock,
                    layers=[2, 2, 2, 2])
resnet50 = _variant("resnet50", enum=ResNet50_QuantizedWeights, floats=ResNet50_Weights, block=QuantizableBottleneck,
                    layers=[3, 4, 6, 3])
resnext101_32x8d = _variant("resnext101_32x8d", enum=ResNeXt101_32X8D_QuantizedWeights, floats=ResNeXt101_32X8D_Weights,
                            block=QuantizableBottleneck, layers=[3, 4, 23, 3], groups=32, width_per_group=8)
resnext101_64x4d = _variant("resnext101_64x4d", enum=ResNeXt101_64X4D_QuantizedWeights, floats=ResNeXt101_64X4D_Weights,
                            block=QuantizableBottleneck, layers=[3, 4, 23, 3], groups=64, width_per_group=4)
