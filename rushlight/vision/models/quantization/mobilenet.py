"""Both MobileNets for 8 bits under torchvision's older name of their home."""

from __future__ import annotations

from rushlight.vision.models.quantization.mobilenetv2 import (MobileNet_V2_QuantizedWeights,
                                                              QuantizableMobileNetV2, mobilenet_v2)
from rushlight.vision.models.quantization.mobilenetv3 import (MobileNet_V3_Large_QuantizedWeights,
                                                              QuantizableMobileNetV3, mobilenet_v3_large)

__all__ = ["MobileNet_V2_QuantizedWeights", "MobileNet_V3_Large_QuantizedWeights", "QuantizableMobileNetV2",
           "QuantizableMobileNetV3",
           "mobilenet_v2", "mobilenet_v3_large"]
