"""Fully convolutional networks (arXiv 1411.4038) on a ResNet."""

from __future__ import annotations

from typing import Any

from rushlight import nn
from rushlight.vision.models._api import register_model, weights_enum
from rushlight.vision.models._utils import handle_legacy_interface
from rushlight.vision.models.resnet import ResNet, ResNet50_Weights, ResNet101_Weights, resnet50, resnet101
from rushlight.vision.models.segmentation._utils import _SimpleSegmentationModel, filled, resnet_backbone, settle

__all__ = ["FCN", "FCN_ResNet50_Weights", "FCN_ResNet101_Weights", "fcn_resnet50", "fcn_resnet101"]


class FCN(_SimpleSegmentationModel):
    """A fully convolutional network: a backbone and one or two FCNHeads."""


class FCNHead(nn.Sequential):
    """Two convolutions.

    >>> FCNHead(8, 3)[-1].out_channels
    3
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        between = in_channels // 4
        super().__init__(nn.Conv2d(in_channels, between, 3, padding=1, bias=False), nn.BatchNorm2d(between), nn.ReLU(),
                         nn.Dropout(0.1), nn.Conv2d(between, channels, 1))


def _fcn_resnet(backbone: ResNet, num_classes: int, aux: bool | None) -> FCN:
    body, width, aux_width = resnet_backbone(backbone, aux)
    aux_head = FCNHead(aux_width, num_classes) if aux else None
    return FCN(body, FCNHead(width, num_classes), aux_head)


FCN_ResNet50_Weights = weights_enum("FCN_ResNet50_Weights", __name__)
FCN_ResNet101_Weights = weights_enum("FCN_ResNet101_Weights", __name__)


@register_model()
@handle_legacy_interface(weights=("pretrained", FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1),
                         weights_backbone=("pretrained_backbone", ResNet50_Weights.IMAGENET1K_V1))
def fcn_resnet50(*, weights: FCN_ResNet50_Weights | None = None, progress: bool = True, num_classes: int | None = None,
                 aux_loss: bool | None = None,
                 weights_backbone: ResNet50_Weights | None = ResNet50_Weights.IMAGENET1K_V1, **kwargs: Any) -> FCN:
    """FCN on a dilated ResNet-50; ``weights`` of the whole, or else ``weights_backbone``; 21 classes where not said."""
    weights, body = FCN_ResNet50_Weights.verify(weights), ResNet50_Weights.verify(weights_backbone)
    body, num_classes, aux_loss = settle(weights, body, num_classes, aux_loss)
    backbone = resnet50(weights=body, replace_stride_with_dilation=[False, True, True])
    return filled(_fcn_resnet(backbone, num_classes, aux_loss), weights, progress)


@register_model()
@handle_legacy_interface(weights=("pretrained", FCN_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1),
                         weights_backbone=("pretrained_backbone", ResNet101_Weights.IMAGENET1K_V1))
def fcn_resnet101(*, weights: FCN_ResNet101_Weights | None = None, progress: bool = True,
                  num_classes: int | None = None, aux_loss: bool | None = None,
                  weights_backbone: ResNet101_Weights | None = ResNet101_Weights.IMAGENET1K_V1, **kwargs: Any) -> FCN:
    """FCN on a dilated ResNet-101; ``weights`` of the whole,
    or else ``weights_backbone``; 21 classes where not said."""
    weights, body = FCN_ResNet101_Weights.verify(weights), ResNet101_Weights.verify(weights_backbone)
    body, num_classes, aux_loss = settle(weights, body, num_classes, aux_loss)
    backbone = resnet101(weights=body, replace_stride_with_dilation=[False, True, True])
    return filled(_fcn_resnet(backbone, num_classes, aux_loss), weights, progress)
