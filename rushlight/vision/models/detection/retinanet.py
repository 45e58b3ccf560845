"""RetinaNet (arXiv 1708.02002)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.vision.models._api import register_model, weights_enum
from rushlight.vision.models._utils import handle_legacy_interface
from rushlight.vision.models.detection import _utils as det_utils
from rushlight.vision.models.detection._arrays import array, sigmoid
from rushlight.vision.models.detection._one_stage import LevelHead, OneStage, draw_head
from rushlight.vision.models.detection._settings import check_backbone, check_kind, filled, resnet50_pyramid, settle
from rushlight.vision.models.detection.anchor_utils import AnchorGenerator
from rushlight.vision.models.resnet import ResNet50_Weights
from rushlight.vision.ops.boxes import box_iou
from rushlight.vision.ops.feature_pyramid_network import LastLevelP6P7
from rushlight.vision.ops.focal_loss import sigmoid_focal_loss
from rushlight.vision.ops.misc import Conv2dNormActivation

__all__ = ["RetinaNet", "RetinaNet_ResNet50_FPN_Weights", "RetinaNet_ResNet50_FPN_V2_Weights", "retinanet_resnet50_fpn",
           "retinanet_resnet50_fpn_v2"]

Layer = Callable[..., nn.Module]


def _default_anchorgen() -> AnchorGenerator:
    """Three sizes a level, a third of an octave apart."""
    sizes = tuple(tuple(int(side * 2 ** (k / 3)) for k in range(3)) for side in (32, 64, 128, 256, 512))
    return AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))


class _Head(LevelHead):
    """Four convolutions; those of version 1 lay in one Sequential with their activations."""

    _version = 2

    def __init__(self, in_channels: int, norm_layer: Layer | None) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *(Conv2dNormActivation(in_channels, in_channels, norm_layer=norm_layer) for _ in range(4)))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any],
                              *rest: Any) -> None:
        if local_metadata.get("version", None) in (None, 1):
            for i in range(4):
                for kind in ("weight", "bias"):
                    if f"{prefix}conv.{2 * i}.{kind}" in state_dict:
                        state_dict[f"{prefix}conv.{i}.0.{kind}"] = state_dict.pop(f"{prefix}conv.{2 * i}.{kind}")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class RetinaNetClassificationHead(_Head):
    """Scores of the classes of every anchor; at first each with ``prior_probability``."""

    def __init__(self, in_channels: int, num_anchors: int, num_classes: int, prior_probability: float = 0.01,
                 norm_layer: Layer | None = None):
        super().__init__(in_channels, norm_layer)
        draw_head(self.conv)
        self.cls_logits = nn.Conv2d(in_channels, num_anchors * num_classes, kernel_size=3, stride=1, padding=1)
        nn.init.normal_(self.cls_logits.weight, std=0.01)
        nn.init.constant_(self.cls_logits.bias, -math.log((1 - prior_probability) / prior_probability))
        self.num_classes, self.num_anchors = num_classes, num_anchors
        self.BETWEEN_THRESHOLDS = det_utils.Matcher.BETWEEN_THRESHOLDS

    def compute_loss(self, targets: list[dict[str, Tensor]], head_outputs: dict[str, Tensor],
                     matched_idxs: list[Tensor]) -> Tensor:
        """Focal loss of all anchors that are not in between, per positive anchor, averaged over images."""
        losses = []
        for target, logits, matches in zip(targets, head_outputs["cls_logits"], matched_idxs):
            places = matches.numpy()
            positive = np.flatnonzero(places >= 0)
            true = np.zeros(logits.shape, dtype=np.float32)
            true[positive, target["labels"].numpy()[places[positive]]] = 1.0
            valid = np.flatnonzero(places != self.BETWEEN_THRESHOLDS)
            loss = sigmoid_focal_loss(logits[rl.from_numpy(valid)], rl.from_numpy(true[valid]), reduction="sum")
            losses.append(loss / max(1, len(positive)))
        return sum(losses[1:], losses[0]) / len(targets)

    def forward(self, x: list[Tensor]) -> Tensor:
        return self.on_every_level(x, self.cls_logits, self.num_classes)


class RetinaNetRegressionHead(_Head):
    """Codes of the boxes of every anchor."""

    def __init__(self, in_channels: int, num_anchors: int, norm_layer: Layer | None = None):
        super().__init__(in_channels, norm_layer)
        self.bbox_reg = nn.Conv2d(in_channels, num_anchors * 4, kernel_size=3, stride=1, padding=1)
        draw_head(self.bbox_reg)
        draw_head(self.conv)
        self.box_coder = det_utils.BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
        self._loss_type = "l1"

    def compute_loss(self, targets: list[dict[str, Tensor]], head_outputs: dict[str, Tensor], anchors: list[Tensor],
                     matched_idxs: list[Tensor]) -> Tensor:
        """Loss of the boxes of positive anchors, per anchor, averaged over images."""
        losses = []
        for target, codes, boxes, matches in zip(targets, head_outputs["bbox_regression"], anchors, matched_idxs):
            positive = rl.where(matches >= 0)[0]
            loss = det_utils._box_loss(self._loss_type, self.box_coder, boxes[positive],
                                       target["boxes"][matches[positive]], codes[positive])
            losses.append(loss / max(1, positive.numel()))
        return sum(losses[1:], losses[0]) / max(1, len(targets))

    def forward(self, x: list[Tensor]) -> Tensor:
        return self.on_every_level(x, self.bbox_reg, 4)


class RetinaNetHead(nn.Module):
    """Classes and boxes of every anchor."""

    def __init__(self, in_channels: int, num_anchors: int, num_classes: int, norm_layer: Layer | None = None):
        super().__init__()
        self.classification_head = RetinaNetClassificationHead(in_channels, num_anchors, num_classes,
                                                               norm_layer=norm_layer)
        self.regression_head = RetinaNetRegressionHead(in_channels, num_anchors, norm_layer=norm_layer)

    def compute_loss(self, targets: Any, head_outputs: Any, anchors: Any, matched_idxs: Any) -> dict[str, Tensor]:
        """By name."""
        return {"classification": self.classification_head.compute_loss(targets, head_outputs, matched_idxs),
                "bbox_regression": self.regression_head.compute_loss(targets, head_outputs, anchors, matched_idxs)}

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        return {"cls_logits": self.classification_head(x), "bbox_regression": self.regression_head(x)}


class RetinaNet(OneStage):
    """Classifies every anchor; see ``forward`` for what goes in and comes out.

    Args:
        backbone: gives feature maps of ``out_channels`` channels.
        num_classes: with the background, whose scores are learnt to be low.
        min_size, max_size, image_mean, image_std: how images are resized and normalized;
            further keyword arguments go to GeneralizedRCNNTransform.
        fg_iou_thresh, bg_iou_thresh: an anchor is positive from the one on and negative below the other.
        score_thresh, nms_thresh, detections_per_img, topk_candidates: which detections are left.
    """

    def __init__(self, backbone: nn.Module, num_classes: int, min_size: int | tuple[int, ...] = 800,
                 max_size: int = 1333, image_mean: list[float] | None = None, image_std: list[float] | None = None,
                 anchor_generator: AnchorGenerator | None = None, head: nn.Module | None = None,
                 proposal_matcher: Any = None, score_thresh: float = 0.05, nms_thresh: float = 0.5,
                 detections_per_img: int = 300, fg_iou_thresh: float = 0.5, bg_iou_thresh: float = 0.4,
                 topk_candidates: int = 1000, **kwargs: Any):
        super().__init__()
        check_backbone(backbone)
        check_kind("anchor_generator", anchor_generator, AnchorGenerator)
        self.backbone = backbone
        self.anchor_generator = anchor_generator or _default_anchorgen()
        self.head = head or RetinaNetHead(backbone.out_channels,
                                          self.anchor_generator.num_anchors_per_location()[0], num_classes)
        self.proposal_matcher = proposal_matcher or det_utils.Matcher(fg_iou_thresh, bg_iou_thresh,
                                                                      allow_low_quality_matches=True)
        self.box_coder = det_utils.BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
        self.finish(min_size, max_size, image_mean, image_std,
                    (score_thresh, nms_thresh, detections_per_img, topk_candidates), **kwargs)

    def compute_loss(self, targets: list[dict[str, Tensor]], head_outputs: dict[str, Tensor], anchors: list[Tensor],
                     levels: list[int]) -> dict[str, Tensor]:
        """Of the head, given which true box every anchor belongs to."""
        matched = [det_utils.matched_or_none(self.proposal_matcher, box_iou, target, boxes)
                   for boxes, target in zip(anchors, targets)]
        return self.head.compute_loss(targets, head_outputs, anchors, matched)

    def scores(self, head_outputs: dict[str, Tensor]) -> np.ndarray:
        return sigmoid(array(head_outputs["cls_logits"]))

    def boxes(self, head_outputs: dict[str, Tensor], image: int, anchors: Tensor) -> Tensor:
        return self.box_coder.decode_single(head_outputs["bbox_regression"][image], anchors)


RetinaNet_ResNet50_FPN_Weights = weights_enum("RetinaNet_ResNet50_FPN_Weights", __name__)
RetinaNet_ResNet50_FPN_V2_Weights = weights_enum("RetinaNet_ResNet50_FPN_V2_Weights", __name__)


@register_model()
@handle_legacy_interface(weights=("pretrained", RetinaNet_ResNet50_FPN_Weights.COCO_V1),
                         weights_backbone=("pretrained_backbone", ResNet50_Weights.IMAGENET1K_V1))
def retinanet_resnet50_fpn(*, weights: RetinaNet_ResNet50_FPN_Weights | None = None, progress: bool = True,
                           num_classes: int | None = None,
                           weights_backbone: ResNet50_Weights | None = ResNet50_Weights.IMAGENET1K_V1,
                           trainable_backbone_layers: int | None = None, **kwargs: Any) -> RetinaNet:
    """RetinaNet on a ResNet-50 with a feature pyramid; arguments as of fasterrcnn_resnet50_fpn."""
    weights, body = RetinaNet_ResNet50_FPN_Weights.verify(weights), ResNet50_Weights.verify(weights_backbone)
    body, classes, trained = settle(weights, body, num_classes)
    backbone = resnet50_pyramid(body, trained, trainable_backbone_layers, progress, returned_layers=[2, 3, 4],
                                extra_blocks=lambda: LastLevelP6P7(256, 256))
    return filled(RetinaNet(backbone, classes, **kwargs), weights, progress, RetinaNet_ResNet50_FPN_Weights.COCO_V1)


@register_model()
@handle_legacy_interface(weights=("pretrained", RetinaNet_ResNet50_FPN_V2_Weights.COCO_V1),
                         weights_backbone=("pretrained_backbone", ResNet50_Weights.IMAGENET1K_V1))
def retinanet_resnet50_fpn_v2(*, weights: RetinaNet_ResNet50_FPN_V2_Weights | None = None, progress: bool = True,
                              num_classes: int | None = None, weights_backbone: ResNet50_Weights | None = None,
                              trainable_backbone_layers: int | None = None, **kwargs: Any) -> RetinaNet:
    """RetinaNet with norms in its heads and the GIoU loss (arXiv 1912.02424);
    arguments as of fasterrcnn_resnet50_fpn."""
    weights, body = RetinaNet_ResNet50_FPN_V2_Weights.verify(weights), ResNet50_Weights.verify(weights_backbone)
    body, classes, trained = settle(weights, body, num_classes)
    backbone = resnet50_pyramid(body, trained, trainable_backbone_layers, progress, newer=True,
                                returned_layers=[2, 3, 4], extra_blocks=lambda: LastLevelP6P7(2048, 256))
    anchors = _default_anchorgen()
    head = RetinaNetHead(backbone.out_channels, anchors.num_anchors_per_location()[0], classes,
                         norm_layer=partial(nn.GroupNorm, 32))
    head.regression_head._loss_type = "giou"
    return filled(RetinaNet(backbone, classes, anchor_generator=anchors, head=head, **kwargs), weights, progress)
