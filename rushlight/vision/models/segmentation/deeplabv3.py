"""DeepLab v3 (arXiv 1706.05587) on a ResNet or MobileNet v3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.vision.models._api import register_model, weights_enum
from rushlight.vision.models._utils import handle_legacy_interface
from rushlight.vision.models.mobilenetv3 import MobileNet_V3_Large_Weights, mobilenet_v3_large
from rushlight.vision.models.resnet import ResNet50_Weights, ResNet101_Weights, resnet50, resnet101
from rushlight.vision.models.segmentation._utils import (_SimpleSegmentationModel, filled, mobilenet_backbone, resized,
                                                         resnet_backbone, settle)
from rushlight.vision.models.segmentation.fcn import FCNHead

__all__ = ["DeepLabV3", "DeepLabV3_ResNet50_Weights", "DeepLabV3_ResNet101_Weights",
           "DeepLabV3_MobileNet_V3_Large_Weights",
           "deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "deeplabv3_resnet101"]


class DeepLabV3(_SimpleSegmentationModel):
    """A backbone, a DeepLabHead and, where wanted, an auxiliary FCNHead."""


class ASPPConv(nn.Sequential):
    """A dilated 3 × 3 convolution."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
        super().__init__(nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False),
                         nn.BatchNorm2d(out_channels), nn.ReLU())


class ASPPPooling(nn.Sequential):
    """What the mean of the whole image says, at every pixel."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Conv2d(in_channels, out_channels, 1, bias=False),
                         nn.BatchNorm2d(out_channels), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        return resized(super().forward(x), size)


class ASPP(nn.Module):
    """Convolutions of several dilations side by side, joined by a 1 × 1 convolution."""

    def __init__(self, in_channels: int, atrous_rates: Sequence[int], out_channels: int = 256) -> None:
        super().__init__()
        point = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False),
                              nn.BatchNorm2d(out_channels), nn.ReLU())
        self.convs = nn.ModuleList([point, *(ASPPConv(in_channels, out_channels, rate) for rate in atrous_rates),
                                    ASPPPooling(in_channels, out_channels)])
        self.project = nn.Sequential(nn.Conv2d(len(self.convs) * out_channels, out_channels, 1, bias=False),
                                     nn.BatchNorm2d(out_channels), nn.ReLU(), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(rl.cat([conv(x) for conv in self.convs], dim=1))


class DeepLabHead(nn.Sequential):
    """ASPP and two convolutions.

    >>> DeepLabHead(8, 3)[-1].out_channels
    3
    """

    def __init__(self, in_channels: int, num_classes: int, atrous_rates: Sequence[int] = (12, 24, 36)) -> None:
        super().__init__(ASPP(in_channels, atrous_rates), nn.Conv2d(256, 256, 3, padding=1, bias=False),
                         nn.BatchNorm2d(256), nn.ReLU(), nn.Conv2d(256, num_classes, 1))


def _deeplab(parts: tuple[nn.Module, int, int], num_classes: int, aux: bool | None) -> DeepLabV3:
    body, width, aux_width = parts
    aux_head = FCNHead(aux_width, num_classes) if aux else None
    return DeepLabV3(body, DeepLabHead(width, num_classes), aux_head)


DeepLabV3_ResNet50_Weights = weights_enum("DeepLabV3_ResNet50_Weights", __name__)
DeepLabV3_ResNet101_Weights = weights_enum("DeepLabV3_ResNet101_Weights", __name__)
DeepLabV3_MobileNet_V3_Large_Weights = weights_enum("DeepLabV3_MobileNet_V3_Large_Weights", __name__)


@register_model()
@handle_legacy_interface(weights=("pretrained", DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1),
                         weights_backbone=("pretrained_backbone", ResNet50_Weights.IMAGENET1K_V1))
def deeplabv3_resnet50(*, weights: DeepLabV3_ResNet50_Weights | None = None, progress: bool = True,
                       num_classes: int | None = None, aux_loss: bool | None = None,
                       weights_backbone: ResNet50_Weights | None = ResNet50_Weights.IMAGENET1K_V1,
                       **kwargs: Any) -> DeepLabV3:
    """DeepLab v3 on a dilated ResNet-50; ``weights`` of the whole,
    or else ``weights_backbone``; 21 classes where not said."""
    weights, body = DeepLabV3_ResNet50_Weights.verify(weights), ResNet50_Weights.verify(weights_backbone)
    body, num_classes, aux_loss = settle(weights, body, num_classes, aux_loss)
    backbone = resnet50(weights=body, replace_stride_with_dilation=[False, True, True])
    return filled(_deeplab(resnet_backbone(backbone, aux_loss), num_classes, aux_loss), weights, progress)


@register_model()
@handle_legacy_interface(weights=("pretrained", DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1),
                         weights_backbone=("pretrained_backbone", ResNet101_Weights.IMAGENET1K_V1))
def deeplabv3_resnet101(*, weights: DeepLabV3_ResNet101_Weights | None = None, progress: bool = True,
                        num_classes: int | None = None, aux_loss: bool | None = None,
                        weights_backbone: ResNet101_Weights | None = ResNet101_Weights.IMAGENET1K_V1,
                        **kwargs: Any) -> DeepLabV3:
    """DeepLab v3 on a dilated ResNet-101; ``weights`` of the whole,
    or else ``weights_backbone``; 21 classes where not said."""
    weights, body = DeepLabV3_ResNet101_Weights.verify(weights), ResNet101_Weights.verify(weights_backbone)
    body, num_classes, aux_loss = settle(weights, body, num_classes, aux_loss)
    backbone = resnet101(weights=body, replace_stride_with_dilation=[False, True, True])
    return filled(_deeplab(resnet_backbone(backbone, aux_loss), num_classes, aux_loss), weights, progress)


@register_model()
@handle_legacy_interface(weights=("pretrained", DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1),
                         weights_backbone=("pretrained_backbone", MobileNet_V3_Large_Weights.IMAGENET1K_V1))
def deeplabv3_mobilenet_v3_large(
        *, weights: DeepLabV3_MobileNet_V3_Large_Weights | None = None, progress: bool = True,
        num_classes: int | None = None, aux_loss: bool | None = None,
        weights_backbone: MobileNet_V3_Large_Weights | None = MobileNet_V3_Large_Weights.IMAGENET1K_V1,
        **kwargs: Any) -> DeepLabV3:
    """DeepLab v3 on a dilated MobileNet v3; ``weights`` of the whole,
    or else ``weights_backbone``; 21 classes where not said."""
    weights = DeepLabV3_MobileNet_V3_Large_Weights.verify(weights)
    body = MobileNet_V3_Large_Weights.verify(weights_backbone)
    body, num_classes, aux_loss = settle(weights, body, num_classes, aux_loss)
    backbone = mobilenet_v3_large(weights=body, dilated=True)
    return filled(_deeplab(mobilenet_backbone(backbone, aux_loss), num_classes, aux_loss), weights, progress)
