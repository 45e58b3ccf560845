"""MobileNet v2 for 8 bits."""

from __future__ import annotations

from typing import Any

from rushlight import Tensor, nn
from rushlight.ao.nn.quantized import FloatFunctional
from rushlight.vision.models._api import weights_enum
from rushlight.vision.models.mobilenetv2 import InvertedResidual, MobileNet_V2_Weights, MobileNetV2
from rushlight.vision.models.quantization.utils import Stubs, _fuse_modules, fuse_all, quantizable
from rushlight.vision.ops.misc import Conv2dNormActivation


class QuantizableInvertedResidual(InvertedResidual):
    """Its shortcut is added by an operation that can be observed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.skip_add = FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        return self.skip_add.add(x, self.conv(x)) if self.use_res_connect else self.conv(x)

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """The last convolution with its norm, in place."""
        for i, layer in enumerate(self.conv):
            if type(layer) is nn.Conv2d:
                _fuse_modules(self.conv, [str(i), str(i + 1)], is_qat, inplace=True)


class QuantizableMobileNetV2(Stubs, MobileNetV2):
    """MobileNet v2 between stubs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._add_stubs()

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """Convolutions with their norms and ReLUs, in place."""
        for module in list(self.modules()):
            if type(module) is Conv2dNormActivation:
                _fuse_modules(module, ["0", "1", "2"], is_qat, inplace=True)
        fuse_all(self, is_qat, QuantizableInvertedResidual)


MobileNet_V2_QuantizedWeights = weights_enum("MobileNet_V2_QuantizedWeights", __name__)

mobilenet_v2 = quantizable("mobilenet_v2", QuantizableMobileNetV2, MobileNet_V2_QuantizedWeights, MobileNet_V2_Weights,
                           "qnnpack", block=QuantizableInvertedResidual)
