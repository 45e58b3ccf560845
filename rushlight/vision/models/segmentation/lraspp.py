"""Lite R-ASPP, the segmentation network of MobileNet v3 (arXiv 1905.02244)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from rushlight import Tensor, nn
from rushlight.vision.models._api import register_model, weights_enum
from rushlight.vision.models._utils import IntermediateLayerGetter, handle_legacy_interface
from rushlight.vision.models.mobilenetv3 import MobileNet_V3_Large_Weights, MobileNetV3, mobilenet_v3_large
from rushlight.vision.models.segmentation._utils import filled, resized, settle, stages_of

__all__ = ["LRASPP", "LRASPP_MobileNet_V3_Large_Weights", "lraspp_mobilenet_v3_large"]


class LRASPP(nn.Module):
    """Scores of every pixel from a fine and a coarse output of the backbone, ``low`` and ``high``.

    Takes ``[N, 3, H, W]``; gives an ordered dict with ``out`` ``[N, classes, H, W]``.
    """

    def __init__(self, backbone: nn.Module, low_channels: int, high_channels: int, num_classes: int,
                 inter_channels: int = 128) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = LRASPPHead(low_channels, high_channels, num_classes, inter_channels)

    def forward(self, input: Tensor) -> dict[str, Tensor]:
        return OrderedDict(out=resized(self.classifier(self.backbone(input)), input.shape[-2:]))


class LRASPPHead(nn.Module):
    """The coarse features, weighted by their means, and the fine ones, each classified."""

    def __init__(self, low_channels: int, high_channels: int, num_classes: int, inter_channels: int) -> None:
        super().__init__()
        self.cbr = nn.Sequential(nn.Conv2d(high_channels, inter_channels, 1, bias=False),
                                 nn.BatchNorm2d(inter_channels), nn.ReLU(inplace=True))
        self.scale = nn.Sequential(nn.AdaptiveAvgPool2d(1),
                                   nn.Conv2d(high_channels, inter_channels, 1, bias=False), nn.Sigmoid())
        self.low_classifier = nn.Conv2d(low_channels, num_classes, 1)
        self.high_classifier = nn.Conv2d(inter_channels, num_classes, 1)

    def forward(self, input: dict[str, Tensor]) -> Tensor:
        low, high = input["low"], input["high"]
        x = resized(self.cbr(high) * self.scale(high), low.shape[-2:])
        return self.low_classifier(low) + self.high_classifier(x)


def _lraspp_mobilenetv3(backbone: MobileNetV3, num_classes: int) -> LRASPP:
    places = stages_of(backbone)
    low, high = places[-4], places[-1]
    features = backbone.features
    body = IntermediateLayerGetter(features, return_layers={str(low): "low", str(high): "high"})
    return LRASPP(body, features[low].out_channels, features[high].out_channels, num_classes)


LRASPP_MobileNet_V3_Large_Weights = weights_enum("LRASPP_MobileNet_V3_Large_Weights", __name__)


@register_model()
@handle_legacy_interface(weights=("pretrained", LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1),
                         weights_backbone=("pretrained_backbone", MobileNet_V3_Large_Weights.IMAGENET1K_V1))
def lraspp_mobilenet_v3_large(
        *, weights: LRASPP_MobileNet_V3_Large_Weights | None = None, progress: bool = True,
        num_classes: int | None = None,
        weights_backbone: MobileNet_V3_Large_Weights | None = MobileNet_V3_Large_Weights.IMAGENET1K_V1,
        **kwargs: Any) -> LRASPP:
    """Lite R-ASPP on a dilated MobileNet v3; ``weights`` of the whole,
    or else ``weights_backbone``; 21 classes where not said.

    NotImplementedError for ``aux_loss=True``: there is no auxiliary head.
    """
    if kwargs.pop("aux_loss", False):
        raise NotImplementedError("This model does not use auxiliary loss")
    weights = LRASPP_MobileNet_V3_Large_Weights.verify(weights)
    body = MobileNet_V3_Large_Weights.verify(weights_backbone)
    body, num_classes, _ = settle(weights, body, num_classes, None)
    backbone = mobilenet_v3_large(weights=body, dilated=True)
    return filled(_lraspp_mobilenetv3(backbone, num_classes), weights, progress)
