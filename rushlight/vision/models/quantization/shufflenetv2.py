"""ShuffleNet v2 for 8 bits."""

from __future__ import annotations

from typing import Any

from rushlight import Tensor
from rushlight.ao.nn.quantized import FloatFunctional
from rushlight.vision.models import shufflenetv2
from rushlight.vision.models._api import WeightsEnum, weights_enum
from rushlight.vision.models.quantization.utils import Stubs, _fuse_modules, fuse_all, quantizable


class QuantizableInvertedResidual(shufflenetv2.InvertedResidual):
    """Its halves are joined by an operation that can be observed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cat = FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            passed, changed = x.chunk(2, dim=1)
        else:
            passed, changed = self.branch1(x), x
        return shufflenetv2.channel_shuffle(self.cat.cat([passed, self.branch2(changed)], dim=1), 2)

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """Convolutions with their norms and ReLUs, in place."""
        if len(self.branch1):
            _fuse_modules(self.branch1, [["0", "1"], ["2", "3", "4"]], is_qat, inplace=True)
        _fuse_modules(self.branch2, [["0", "1", "2"], ["3", "4"], ["5", "6", "7"]], is_qat, inplace=True)


class QuantizableShuffleNetV2(Stubs, shufflenetv2.ShuffleNetV2):
    """ShuffleNet v2 between stubs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, inverted_residual=QuantizableInvertedResidual, **kwargs)
        self._add_stubs()

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """Convolutions with their norms and ReLUs, in place."""
        for ends in (self.conv1, self.conv5):
            _fuse_modules(ends, [["0", "1", "2"]], is_qat, inplace=True)
        fuse_all(self, is_qat, QuantizableInvertedResidual)


ShuffleNet_V2_X0_5_QuantizedWeights = weights_enum("ShuffleNet_V2_X0_5_QuantizedWeights", __name__)
ShuffleNet_V2_X1_0_QuantizedWeights = weights_enum("ShuffleNet_V2_X1_0_QuantizedWeights", __name__)
ShuffleNet_V2_X1_5_QuantizedWeights = weights_enum("ShuffleNet_V2_X1_5_QuantizedWeights", __name__)
ShuffleNet_V2_X2_0_QuantizedWeights = weights_enum("ShuffleNet_V2_X2_0_QuantizedWeights", __name__)


def _variant(name: str, enum: type[WeightsEnum], floats: type[WeightsEnum], channels: list[int]) -> Any:
    return quantizable(name, QuantizableShuffleNetV2, enum, floats, "fbgemm", stages_repeats=[4, 8, 4],
                       stages_out_channels=channels)


shufflenet_v2_x0_5 = _variant("shufflenet_v2_x0_5", ShuffleNet_V2_X0_5_QuantizedWeights,
                              shufflenetv2.ShuffleNet_V2_X0_5_Weights, [24, 48, 96, 192, 1024])
shufflenet_v2_x1_0 = _variant("shufflenet_v2_x1_0", ShuffleNet_V2_X1_0_QuantizedWeights,
                              shufflenetv2.ShuffleNet_V2_X1_0_Weights, [24, 116, 232, 464, 1024])
shufflenet_v2_x1_5 = _variant("shufflenet_v2_x1_5", ShuffleNet_V2_X1_5_QuantizedWeights,
                              shufflenetv2.ShuffleNet_V2_X1_5_Weights, [24, 176, 352, 704, 1024])
shufflenet_v2_x2_0 = _variant("shufflenet_v2_x2_0", ShuffleNet_V2_X2_0_QuantizedWeights,
                              shufflenetv2.ShuffleNet_V2_X2_0_Weights, [24, 244, 488, 976, 2048])
