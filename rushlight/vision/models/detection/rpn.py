"""The region proposal network (arXiv 1506.01497)."""

from __future__ import annotations

from typing import Any

import numpy as np

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models.detection import _utils as det_utils
from rushlight.vision.models.detection._arrays import array, best, clipped, large, sigmoid
from rushlight.vision.models.detection.anchor_utils import AnchorGenerator
from rushlight.vision.models.detection.image_list import ImageList
from rushlight.vision.ops.boxes import box_iou, suppress_groups
from rushlight.vision.ops.misc import Conv2dNormActivation


class RPNHead(nn.Module):
    """For every anchor whether something is there, and how its box differs.

    Takes feature maps; gives for each ``[N, anchors, H, W]`` and ``[N, 4 * anchors, H, W]``.
    """

    _version = 2

    def __init__(self, in_channels: int, num_anchors: int, conv_depth: int = 1) -> None:
        super().__init__()
        self.conv = nn.Sequential(*(Conv2dNormActivation(in_channels, in_channels, kernel_size=3, norm_layer=None)
                                    for _ in range(conv_depth)))
        self.cls_logits = nn.Conv2d(in_channels, num_anchors, kernel_size=1, stride=1)
        self.bbox_pred = nn.Conv2d(in_channels, num_anchors * 4, kernel_size=1, stride=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any],
                              *rest: Any) -> None:
        if local_metadata.get("version", None) in (None, 1):  # there was one convolution without a Sequential
            for kind in ("weight", "bias"):
                if f"{prefix}conv.{kind}" in state_dict:
                    state_dict[f"{prefix}conv.0.0.{kind}"] = state_dict.pop(f"{prefix}conv.{kind}")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        hidden = [self.conv(feature) for feature in x]
        return [self.cls_logits(h) for h in hidden], [self.bbox_pred(h) for h in hidden]


def concat_box_prediction_layers(box_cls: list[Tensor], box_regression: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The outputs of all levels, ``[N * anchors, classes]`` and ``[N * anchors, 4]``."""
    classes = [box_cls[i].shape[1] // (box_regression[i].shape[1] // 4) for i in range(len(box_cls))]
    logits = rl.cat([det_utils.flattened(level, count) for level, count in zip(box_cls, classes)], dim=1)
    codes = rl.cat([det_utils.flattened(level, 4) for level in box_regression], dim=1)
    return logits.flatten(0, -2), codes.reshape(-1, 4)


class RegionProposalNetwork(nn.Module):
    """Proposes regions, and learns to.

    Args:
        fg_iou_thresh, bg_iou_thresh: an anchor is positive from the one on and negative below the other.
        batch_size_per_image, positive_fraction: anchors that the loss is taken of.
        pre_nms_top_n, post_nms_top_n: how many are left per level before, and in all after suppression,
            for "training" and "testing".
        nms_thresh, score_thresh: of the suppression.
    """

    def __init__(self, anchor_generator: AnchorGenerator, head: nn.Module, fg_iou_thresh: float, bg_iou_thresh: float,
                 batch_size_per_image: int, positive_fraction: float, pre_nms_top_n: dict[str, int],
                 post_nms_top_n: dict[str, int], nms_thresh: float, score_thresh: float = 0.0) -> None:
        super().__init__()
        self.anchor_generator = anchor_generator
        self.head = head
        self.box_coder = det_utils.BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
        self.box_similarity = box_iou
        self.proposal_matcher = det_utils.Matcher(fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches=True)
        self.fg_bg_sampler = det_utils.BalancedPositiveNegativeSampler(batch_size_per_image, positive_fraction)
        self._pre_nms_top_n, self._post_nms_top_n = pre_nms_top_n, post_nms_top_n
        self.nms_thresh, self.score_thresh = nms_thresh, score_thresh
        self.min_size = 1e-3

    def pre_nms_top_n(self) -> int:
        """Per level, before suppression."""
        return self._pre_nms_top_n["training" if self.training else "testing"]

    def post_nms_top_n(self) -> int:
        """In all, after suppression."""
        return self._post_nms_top_n["training" if self.training else "testing"]

    def assign_targets_to_anchors(self, anchors: list[Tensor],
                                  targets: list[dict[str, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
        """Per image the labels of its anchors (1, 0, -1 for neither) and the true box of each."""
        labels, boxes = [], []
        for part, target in zip(anchors, targets):
            matches = det_utils.matched_or_none(self.proposal_matcher, self.box_similarity, target, part).numpy()
            label = np.where(matches >= 0, 1.0, np.where(matches == -1, 0.0, -1.0))
            labels.append(rl.from_numpy(label.astype(np.float32)))
            true = target["boxes"]
            boxes.append(true[rl.from_numpy(matches.clip(min=0))] if true.numel() else rl.zeros(part.shape))
        return labels, boxes

    def filter_proposals(self, proposals: Tensor, objectness: Tensor, image_shapes: list[tuple[int, int]],
                         num_anchors_per_level: list[int]) -> tuple[list[Tensor], list[Tensor]]:
        """Per image the boxes ``[M, 4]`` that are left, best first, and their scores."""
        all_boxes, all_logits = array(proposals), array(objectness).reshape(len(image_shapes), -1)
        ends = np.cumsum(num_anchors_per_level)
        levels = np.repeat(np.arange(len(ends)), num_anchors_per_level)
        boxes_left, scores_left = [], []
        for boxes, logits, shape in zip(all_boxes, all_logits, image_shapes):
            top = np.concatenate([end - count + best(logits[end - count:end], self.pre_nms_top_n())
                                  for end, count in zip(ends, num_anchors_per_level)])
            boxes, scores, level = clipped(boxes[top], shape), sigmoid(logits[top]), levels[top]
            keep = large(boxes, self.min_size) & (scores >= self.score_thresh)
            boxes, scores, level = boxes[keep], scores[keep], level[keep]
            keep = suppress_groups(boxes, scores, level, self.nms_thresh)[:self.post_nms_top_n()]
            boxes_left.append(rl.from_numpy(boxes[keep]))
            scores_left.append(rl.from_numpy(scores[keep]))
        return boxes_left, scores_left

    def compute_loss(self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: list[Tensor],
                     regression_targets: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Of the anchors drawn: cross entropy of the scores, and smooth L1 loss of the codes of the positive ones."""
        positive, negative = (rl.where(rl.cat(masks))[0] for masks in self.fg_bg_sampler(labels))
        sampled = rl.cat([positive, negative])
        found, wanted = pred_bbox_deltas[positive], rl.cat(list(regression_targets))[positive]
        box_loss = F.smooth_l1_loss(found, wanted, beta=1 / 9, reduction="sum") / sampled.numel()
        return F.binary_cross_entropy_with_logits(objectness.flatten()[sampled], rl.cat(labels)[sampled]), box_loss

    def forward(self, images: ImageList, features: dict[str, Tensor],
                targets: list[dict[str, Tensor]] | None = None) -> tuple[list[Tensor], dict[str, Tensor]]:
        maps = list(features.values())
        objectness, deltas = self.head(maps)
        anchors = self.anchor_generator(images, maps)
        counts = [level.shape[1] * level.shape[2] * level.shape[3] for level in objectness]
        objectness, deltas = concat_box_prediction_layers(objectness, deltas)
        proposals = self.box_coder.decode(deltas.detach(), anchors).view(len(anchors), -1, 4)
        boxes, _ = self.filter_proposals(proposals, objectness.detach(), images.image_sizes, counts)
        if not self.training:
            return boxes, {}
        if targets is None:
            raise ValueError("targets should not be None")
        labels, matched = self.assign_targets_to_anchors(anchors, targets)
        score_loss, box_loss = self.compute_loss(objectness, deltas, labels,
                                                 list(self.box_coder.encode(matched, anchors)))
        return boxes, {"loss_objectness": score_loss, "loss_rpn_box_reg": box_loss}
