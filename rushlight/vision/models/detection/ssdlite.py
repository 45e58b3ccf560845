"""SSDlite: SSD with depthwise convolutions on a MobileNet v3 (arXiv 1801.04381, 1905.02244)."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from rushlight import Tensor, nn
from rushlight.vision.models._api import register_model, weights_enum
from rushlight.vision.models._utils import handle_legacy_interface
from rushlight.vision.models.detection import _utils as det_utils
from rushlight.vision.models.detection._settings import filled, settle
from rushlight.vision.models.detection.anchor_utils import DefaultBoxGenerator
from rushlight.vision.models.detection.backbone_utils import _validate_trainable_layers, frozen_features
from rushlight.vision.models.detection.ssd import FIXED_SIZE, SSD, SSDScoringHead, check_levels
from rushlight.vision.models.mobilenetv3 import MobileNet_V3_Large_Weights, mobilenet_v3_large
from rushlight.vision.ops.misc import Conv2dNormActivation

__all__ = ["SSDLite320_MobileNet_V3_Large_Weights", "ssdlite320_mobilenet_v3_large"]

Layer = Callable[..., nn.Module]


def _normal_init(conv: nn.Module) -> None:
    for module in conv.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, mean=0.0, std=0.03)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _predictions(in_channels: list[int], num_anchors: list[int], columns: int, norm_layer: Layer) -> nn.ModuleList:
    """For every level a depthwise and a 1 × 1 convolution."""
    layers = nn.ModuleList(
        nn.Sequential(Conv2dNormActivation(channels, channels, kernel_size=3, groups=channels, norm_layer=norm_layer,
                                           activation_layer=nn.ReLU6), nn.Conv2d(channels, columns * anchors, 1))
        for channels, anchors in zip(in_channels, num_anchors))
    _normal_init(layers)
    return layers


class SSDLiteClassificationHead(SSDScoringHead):
    """Scores of the classes."""

    def __init__(self, in_channels: list[int], num_anchors: list[int], num_classes: int, norm_layer: Layer):
        super().__init__(_predictions(in_channels, num_anchors, num_classes, norm_layer), num_classes)


class SSDLiteRegressionHead(SSDScoringHead):
    """Codes of the boxes."""

    def __init__(self, in_channels: list[int], num_anchors: list[int], norm_layer: Layer):
        super().__init__(_predictions(in_channels, num_anchors, 4, norm_layer), 4)


class SSDLiteHead(nn.Module):
    """Classes and boxes of every default box."""

    def __init__(self, in_channels: list[int], num_anchors: list[int], num_classes: int, norm_layer: Layer):
        super().__init__()
        self.classification_head = SSDLiteClassificationHead(in_channels, num_anchors, num_classes, norm_layer)
        self.regression_head = SSDLiteRegressionHead(in_channels, num_anchors, norm_layer)

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        return {"bbox_regression": self.regression_head(x), "cls_logits": self.classification_head(x)}


def _extra_block(before: int, after: int, norm_layer: Layer) -> nn.Sequential:
    """Half the size, with few channels between."""
    between = after // 2
    conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.ReLU6)
    return nn.Sequential(conv(before, between, kernel_size=1),
                         conv(between, between, kernel_size=3, stride=2, groups=between),
                         conv(between, after, kernel_size=1))


class SSDLiteFeatureExtractorMobileNet(nn.Module):
    """Two feature maps of a MobileNet, the finer one within the block at ``c4_pos``,
    and four coarser levels after it."""

    def __init__(self, backbone: nn.Sequential, c4_pos: int, norm_layer: Layer, width_mult: float = 1.0,
                 min_depth: int = 16):
        super().__init__()
        block = backbone[c4_pos]
        if block.use_res_connect:
            raise ValueError("backbone[c4_pos].use_res_connect should be False")
        self.features = nn.Sequential(nn.Sequential(*backbone[:c4_pos], block.block[0]),
                                      nn.Sequential(block.block[1:], *backbone[c4_pos + 1:]))
        widths = [backbone[-1].out_channels,
                  *(max(min_depth, int(depth * width_mult)) for depth in (512, 256, 256, 128))]
        extra = nn.ModuleList(_extra_block(before, after, norm_layer) for before, after in zip(widths, widths[1:]))
        _normal_init(extra)
        self.extra = extra

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = []
        for block in (*self.features, *self.extra):
            x = block(x)
            maps.append(x)
        return OrderedDict((str(i), level) for i, level in enumerate(maps))


def _mobilenet_extractor(backbone: Any, trainable_layers: int, norm_layer: Layer) -> SSDLiteFeatureExtractorMobileNet:
    features, stages = frozen_features(backbone, trainable_layers)
    return SSDLiteFeatureExtractorMobileNet(features, stages[-2], norm_layer)


SSDLite320_MobileNet_V3_Large_Weights = weights_enum("SSDLite320_MobileNet_V3_Large_Weights", __name__)


@register_model()
@handle_legacy_interface(weights=("pretrained", SSDLite320_MobileNet_V3_Large_Weights.COCO_V1),
                         weights_backbone=("pretrained_backbone", MobileNet_V3_Large_Weights.IMAGENET1K_V1))
def ssdlite320_mobilenet_v3_large(
        *, weights: SSDLite320_MobileNet_V3_Large_Weights | None = None, progress: bool = True,
        num_classes: int | None = None,
        weights_backbone: MobileNet_V3_Large_Weights | None = MobileNet_V3_Large_Weights.IMAGENET1K_V1,
        trainable_backbone_layers: int | None = None, norm_layer: Layer | None = None, **kwargs: Any) -> SSD:
    """SSDlite on a MobileNet v3 for images of 320 pixels; 91 classes where not said.

    Args:
        weights: of the whole; or else ``weights_backbone``, without which the backbone's tail is narrower.
        trainable_backbone_layers: how many of the backbone's six parts are trained, all where not said.
        norm_layer: in place of batch norms with eps 0.001 and momentum 0.03.
        kwargs: further arguments of SSD.
    """
    weights = SSDLite320_MobileNet_V3_Large_Weights.verify(weights)
    body = MobileNet_V3_Large_Weights.verify(weights_backbone)
    if kwargs.pop("size", None) is not None:
        warnings.warn(FIXED_SIZE)
    body, classes, trained = settle(weights, body, num_classes)
    layers = _validate_trainable_layers(trained, trainable_backbone_layers, 6, 6)
    norm = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    mobilenet = mobilenet_v3_large(weights=body, progress=progress, norm_layer=norm, reduced_tail=body is None)
    if body is None:
        _normal_init(mobilenet)
    backbone = _mobilenet_extractor(mobilenet, layers, norm)
    anchors = DefaultBoxGenerator([[2, 3] for _ in range(6)], min_ratio=0.2, max_ratio=0.95)
    channels = det_utils.retrieve_out_channels(backbone, (320, 320))
    check_levels(channels, anchors)
    usual = {"score_thresh": 0.001, "nms_thresh": 0.55, "detections_per_img": 300, "topk_candidates": 300,
             "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    head = SSDLiteHead(channels, anchors.num_anchors_per_location(), classes, norm)
    return filled(SSD(backbone, anchors, (320, 320), classes, head=head, **{**usual, **kwargs}), weights, progress)
