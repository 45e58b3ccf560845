"""Networks for 8 bits: ready to be quantized, or with ``quantize=True`` quantized."""

from __future__ import annotations

from rushlight.vision.models.quantization.googlenet import (GoogLeNet_QuantizedWeights, QuantizableGoogLeNet, googlenet)
from rushlight.vision.models.quantization.inception import (Inception_V3_QuantizedWeights,
                                                            QuantizableInception3, inception_v3)
from rushlight.vision.models.quantization.mobilenetv2 import (MobileNet_V2_QuantizedWeights,
                                                              QuantizableMobileNetV2, mobilenet_v2)
from rushlight.vision.models.quantization.mobilenetv3 import (MobileNet_V3_Large_QuantizedWeights,
                                                              QuantizableMobileNetV3, mobilenet_v3_large)
from rushlight.vision.models.quantization.resnet import (QuantizableResNet, ResNeXt101_32X8D_QuantizedWeights,
                                                         ResNeXt101_64X4D_QuantizedWeights,
                                                         ResNet18_QuantizedWeights, ResNet50_QuantizedWeights,
                                                         resnet18, resnet50, resnext101_32x8d, resnext101_64x4d)
from rushlight.vision.models.quantization.shufflenetv2 import (QuantizableShuffleNetV2,
                                                               ShuffleNet_V2_X0_5_QuantizedWeights,
                                                               ShuffleNet_V2_X1_0_QuantizedWeights,
                                                               ShuffleNet_V2_X1_5_QuantizedWeights,
                                                               ShuffleNet_V2_X2_0_QuantizedWeights,
                                                               shufflenet_v2_x0_5, shufflenet_v2_x1_0,
                                                               shufflenet_v2_x1_5, shufflenet_v2_x2_0)

__all__ = ["GoogLeNet_QuantizedWeights", "Inception_V3_QuantizedWeights", "MobileNet_V2_QuantizedWeights",
           "MobileNet_V3_Large_QuantizedWeights", "QuantizableGoogLeNet", "QuantizableInception3",
           "QuantizableMobileNetV2", "QuantizableMobileNetV3", "QuantizableResNet", "QuantizableShuffleNetV2",
           "ResNeXt101_32X8D_QuantizedWeights", "ResNeXt101_64X4D_QuantizedWeights", "ResNet18_QuantizedWeights",
           "ResNet50_QuantizedWeights", "ShuffleNet_V2_X0_5_QuantizedWeights", "ShuffleNet_V2_X1_0_QuantizedWeights",
           "ShuffleNet_V2_X1_5_QuantizedWeights", "ShuffleNet_V2_X2_0_QuantizedWeights", "googlenet", "inception_v3",
           "mobilenet_v2", "mobilenet_v3_large", "resnet18", "resnet50", "resnext101_32x8d", "resnext101_64x4d",
           "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"]
