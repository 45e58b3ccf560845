"""FCOS: one prediction at every place, without anchors of several shapes (arXiv 1904.01355)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models._api import register_model, weights_enum
from rushlight.vision.models._utils import handle_legacy_interface
from rushlight.vision.models.detection import _utils as det_utils
from rushlight.vision.models.detection._arrays import array, sigmoid
from rushlight.vision.models.detection._one_stage import LevelHead, OneStage, draw_head
from rushlight.vision.models.detection._settings import check_backbone, check_kind, filled, resnet50_pyramid, settle
from rushlight.vision.models.detection.anchor_utils import AnchorGenerator
from rushlight.vision.models.resnet import ResNet50_Weights
from rushlight.vision.ops import generalized_box_iou_loss, sigmoid_focal_loss
from rushlight.vision.ops.feature_pyramid_network import LastLevelP6P7

__all__ = ["FCOS", "FCOS_ResNet50_FPN_Weights", "fcos_resnet50_fpn"]

Layer = Callable[..., nn.Module]
ENOUGH = 1e8  # more than the area of any box


class _Head(LevelHead):
    """Convolutions with group norms."""

    def __init__(self, in_channels: int, num_convs: int, norm_layer: Layer | None) -> None:
        super().__init__()
        norm = norm_layer or partial(nn.GroupNorm, 32)
        layers: list[nn.Module] = []
        for _ in range(num_convs):
            layers += [nn.Conv2d(in_channels, in_channels, kernel_size=3, stride=1, padding=1),
                       norm(in_channels), nn.ReLU()]
        self.conv = nn.Sequential(*layers)


class FCOSClassificationHead(_Head):
    """Scores of the classes at every place; at first each with ``prior_probability``."""

    def __init__(self, in_channels: int, num_anchors: int, num_classes: int, num_convs: int = 4,
                 prior_probability: float = 0.01, norm_layer: Layer | None = None) -> None:
        super().__init__(in_channels, num_convs, norm_layer)
        self.num_classes, self.num_anchors = num_classes, num_anchors
        draw_head(self.conv)
        self.cls_logits = nn.Conv2d(in_channels, num_anchors * num_classes, kernel_size=3, stride=1, padding=1)
        nn.init.normal_(self.cls_logits.weight, std=0.01)
        nn.init.constant_(self.cls_logits.bias, -math.log((1 - prior_probability) / prior_probability))

    def forward(self, x: list[Tensor]) -> Tensor:
        return self.on_every_level(x, self.cls_logits, self.num_classes)


class FCOSRegressionHead(_Head):
    """Distances to the four sides of a box, and how near its centre is, at every place."""

    def __init__(self, in_channels: int, num_anchors: int, num_convs: int = 4, norm_layer: Layer | None = None):
        super().__init__(in_channels, num_convs, norm_layer)
        self.bbox_reg = nn.Conv2d(in_channels, num_anchors * 4, kernel_size=3, stride=1, padding=1)
        self.bbox_ctrness = nn.Conv2d(in_channels, num_anchors * 1, kernel_size=3, stride=1, padding=1)
        for part in (self.bbox_reg, self.bbox_ctrness, self.conv):
            draw_head(part)

    def forward(self, x: list[Tensor]) -> tuple[Tensor, Tensor]:
        hidden = [self.conv(level) for level in x]
        sides = F.relu(self.on_every_level(x, self.bbox_reg, 4, hidden))
        return sides, self.on_every_level(x, self.bbox_ctrness, 1, hidden)


class FCOSHead(nn.Module):
    """Classes, boxes and centredness at every place."""

    def __init__(self, in_channels: int, num_anchors: int, num_classes: int, num_convs: int | None = 4) -> None:
        super().__init__()
        self.box_coder = det_utils.BoxLinearCoder(normalize_by_size=True)
        self.classification_head = FCOSClassificationHead(in_channels, num_anchors, num_classes, num_convs)
        self.regression_head = FCOSRegressionHead(in_channels, num_anchors, num_convs)

    def compute_loss(self, targets: list[dict[str, Tensor]], head_outputs: dict[str, Tensor], anchors: list[Tensor],
                     matched_idxs: list[Tensor]) -> dict[str, Tensor]:
        """Focal loss of the classes; of the places in boxes the GIoU loss,
        and cross entropy of the centredness; per place."""
        logits, sides, centred = (head_outputs[key] for key in ("cls_logits", "bbox_regression", "bbox_ctrness"))
        matches = np.stack([array(part) for part in matched_idxs])
        image, place = np.nonzero(matches >= 0)
        labels = [np.append(array(target["labels"]), 0) for target in targets]  # an entry also where there are none
        true = np.zeros(logits.shape, dtype=np.float32)
        true[image, place, [labels[i][matches[i, p]] for i, p in zip(image, place)]] = 1.0
        corners = [np.concatenate([array(target["boxes"]).reshape(-1, 4), np.zeros((1, 4), np.float32)])
                   for target in targets]
        boxes = np.array([corners[i][matches[i, p]] for i, p in zip(image, place)], dtype=np.float32).reshape(-1, 4)
        rows = (rl.from_numpy(image), rl.from_numpy(place))
        starts, wanted = rl.stack(anchors)[rows], rl.from_numpy(boxes)
        goal = self.box_coder.encode(starts, wanted)
        across, down = goal[:, [0, 2]], goal[:, [1, 3]]
        if len(boxes):
            nearness = rl.sqrt(across.amin(-1) / across.amax(-1) * (down.amin(-1) / down.amax(-1)))
        else:
            nearness = goal.sum(-1)
        found, near = self.box_coder.decode(sides[rows], starts), centred.squeeze(dim=2)[rows]
        losses = {"classification": sigmoid_focal_loss(logits, rl.from_numpy(true), reduction="sum"),
                  "bbox_regression": generalized_box_iou_loss(found, wanted, reduction="sum"),
                  "bbox_ctrness": F.binary_cross_entropy_with_logits(near, nearness, reduction="sum")}
        return {key: loss / max(1, len(boxes)) for key, loss in losses.items()}

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        logits = self.classification_head(x)
        sides, centred = self.regression_head(x)
        return {"cls_logits": logits, "bbox_regression": sides, "bbox_ctrness": centred}


class FCOS(OneStage):
    """Classifies every place; see ``forward`` for what goes in and comes out.

    Args:
        backbone: gives feature maps of ``out_channels`` channels.
        num_classes: with the background.
        min_size, max_size, image_mean, image_std: how images are resized and normalized;
            further keyword arguments go to GeneralizedRCNNTransform.
        center_sampling_radius: how far from a box's centre places belong to it, in steps of the feature map.
        score_thresh, nms_thresh, detections_per_img, topk_candidates: which detections are left.
    """

    def __init__(self, backbone: nn.Module, num_classes: int, min_size: int | tuple[int, ...] = 800,
                 max_size: int = 1333, image_mean: list[float] | None = None, image_std: list[float] | None = None,
                 anchor_generator: AnchorGenerator | None = None, head: nn.Module | None = None,
                 center_sampling_radius: float = 1.5, score_thresh: float = 0.2, nms_thresh: float = 0.6,
                 detections_per_img: int = 100, topk_candidates: int = 1000, **kwargs: Any):
        super().__init__()
        check_backbone(backbone)
        check_kind("anchor_generator", anchor_generator, AnchorGenerator)
        self.backbone = backbone
        self.anchor_generator = anchor_generator or AnchorGenerator(
            tuple((side,) for side in (8, 16, 32, 64, 128)), ((1.0,),) * 5)
        per_place = self.anchor_generator.num_anchors_per_location()[0]
        if per_place != 1:
            raise ValueError(f"anchor_generator.num_anchors_per_location()[0] should be 1 instead of {per_place}")
        self.head = head or FCOSHead(backbone.out_channels, per_place, num_classes)
        self.box_coder = det_utils.BoxLinearCoder(normalize_by_size=True)
        self.center_sampling_radius = center_sampling_radius
        self.finish(min_size, max_size, image_mean, image_std,
                    (score_thresh, nms_thresh, detections_per_img, topk_candidates), **kwargs)

    def _match(self, anchors: np.ndarray, boxes: np.ndarray, levels: list[int]) -> np.ndarray:
        """For every place the smallest box that it lies in, near the centre,
        of a size that suits its level; -1 for none."""
        if len(boxes) == 0:
            return np.full(len(anchors), -1, dtype=np.int64)
        middle, step = (anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2] - anchors[:, 0]
        apart = np.abs(middle[:, None] - (boxes[:, :2] + boxes[:, 2:])[None] / 2).max(2)
        sides = np.concatenate([middle[:, None] - boxes[None, :, :2], boxes[None, :, 2:] - middle[:, None]], axis=2)
        least, most = step * 4, step * 8
        least[:levels[0]], most[len(most) - levels[-1]:] = 0, np.inf
        longest = sides.max(2)
        fits = (apart < self.center_sampling_radius * step[:, None]) & (sides.min(2) > 0)
        fits &= (longest > least[:, None]) & (longest < most[:, None])
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        worth = fits.astype(np.float32) * (np.float32(ENOUGH) - areas[None])
        return np.where(worth.max(1) < 1e-5, -1, worth.argmax(1))

    def compute_loss(self, targets: list[dict[str, Tensor]], head_outputs: dict[str, Tensor], anchors: list[Tensor],
                     levels: list[int]) -> dict[str, Tensor]:
        """Of the head, given which true box every place belongs to."""
        matched = [rl.from_numpy(self._match(array(part), array(target["boxes"]), levels))
                   for part, target in zip(anchors, targets)]
        return self.head.compute_loss(targets, head_outputs, anchors, matched)

    def scores(self, head_outputs: dict[str, Tensor]) -> np.ndarray:
        return np.sqrt(sigmoid(array(head_outputs["cls_logits"])) * sigmoid(array(head_outputs["bbox_ctrness"])))

    def boxes(self, head_outputs: dict[str, Tensor], image: int, anchors: Tensor) -> Tensor:
        return self.box_coder.decode(head_outputs["bbox_regression"][image], anchors)


FCOS_ResNet50_FPN_Weights = weights_enum("FCOS_ResNet50_FPN_Weights", __name__)


@register_model()
@handle_legacy_interface(weights=("pretrained", FCOS_ResNet50_FPN_Weights.COCO_V1),
                         weights_backbone=("pretrained_backbone", ResNet50_Weights.IMAGENET1K_V1))
def fcos_resnet50_fpn(*, weights: FCOS_ResNet50_FPN_Weights | None = None, progress: bool = True,
                      num_classes: int | None = None,
                      weights_backbone: ResNet50_Weights | None = ResNet50_Weights.IMAGENET1K_V1,
                      trainable_backbone_layers: int | None = None, **kwargs: Any) -> FCOS:
    """FCOS on a ResNet-50 with a feature pyramid; arguments as of fasterrcnn_resnet50_fpn."""
    weights, body = FCOS_ResNet50_FPN_Weights.verify(weights), ResNet50_Weights.verify(weights_backbone)
    body, classes, trained = settle(weights, body, num_classes)
    backbone = resnet50_pyramid(body, trained, trainable_backbone_layers, progress, returned_layers=[2, 3, 4],
                                extra_blocks=lambda: LastLevelP6P7(256, 256))
    return filled(FCOS(backbone, classes, **kwargs), weights, progress)
