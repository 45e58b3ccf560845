"""The second step of R-CNN networks: classes, boxes, masks and keypoints of proposed regions."""

from __future__ import annotations

from typing import Any

import numpy as np

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models.detection import _utils as det_utils
from rushlight.vision.models.detection._arrays import array, clipped, large, settled
from rushlight.vision.models.detection._keypoints import keypointrcnn_inference, keypointrcnn_loss
from rushlight.vision.models.detection._masks import maskrcnn_inference, maskrcnn_loss
from rushlight.vision.ops.boxes import box_iou

Target = dict[str, Tensor]
FLOATS = (rl.float32, rl.float64, rl.float16)


def fastrcnn_loss(class_logits: Tensor, box_regression: Tensor, labels: list[Tensor],
                  regression_targets: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Cross entropy of the classes, and smooth L1 loss of the codes of the true classes, per region."""
    label, target = rl.cat(labels), rl.cat(list(regression_targets))
    positive = rl.where(label > 0)[0]
    codes = box_regression.reshape(len(class_logits), box_regression.size(-1) // 4, 4)
    box_loss = F.smooth_l1_loss(codes[positive, label[positive]], target[positive], beta=1 / 9, reduction="sum")
    return F.cross_entropy(class_logits, label), box_loss / label.numel()


def check_types(targets: list[Target], with_keypoints: bool) -> None:
    """TypeError where boxes are no floats, labels no int64 or keypoints no float32."""
    for target in targets:
        if target["boxes"].dtype not in FLOATS:
            raise TypeError(f"target boxes must of float type, instead got {target['boxes'].dtype}")
        if target["labels"].dtype != rl.int64:
            raise TypeError(f"target labels must of int64 type, instead got {target['labels'].dtype}")
        if with_keypoints and target["keypoints"].dtype != rl.float32:
            raise TypeError(f"target keypoints must of float type, instead got {target['keypoints'].dtype}")


class RoIHeads(nn.Module):
    """Looks at regions of feature maps.

    Args:
        box_roi_pool, box_head, box_predictor: read regions, describe them, and give class scores and codes of boxes;
            likewise ``mask_…`` and ``keypoint_…`` where there are masks or keypoints.
        fg_iou_thresh, bg_iou_thresh: a region belongs to the true box that it overlaps by this,
            to none below the other.
        batch_size_per_image, positive_fraction: regions that the loss is taken of.
        bbox_reg_weights: of the box coder.
        score_thresh, nms_thresh, detections_per_img: which detections are left.
    """

    def __init__(self, box_roi_pool: nn.Module, box_head: nn.Module, box_predictor: nn.Module, fg_iou_thresh: float,
                 bg_iou_thresh: float, batch_size_per_image: int, positive_fraction: float, bbox_reg_weights: Any,
                 score_thresh: float, nms_thresh: float, detections_per_img: int,
                 mask_roi_pool: nn.Module | None = None, mask_head: nn.Module | None = None,
                 mask_predictor: nn.Module | None = None, keypoint_roi_pool: nn.Module | None = None,
                 keypoint_head: nn.Module | None = None, keypoint_predictor: nn.Module | None = None):
        super().__init__()
        self.box_similarity = box_iou
        self.proposal_matcher = det_utils.Matcher(fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches=False)
        self.fg_bg_sampler = det_utils.BalancedPositiveNegativeSampler(batch_size_per_image, positive_fraction)
        self.box_coder = det_utils.BoxCoder((10.0, 10.0, 5.0, 5.0) if bbox_reg_weights is None else bbox_reg_weights)
        self.box_roi_pool, self.box_head, self.box_predictor = box_roi_pool, box_head, box_predictor
        self.score_thresh, self.nms_thresh, self.detections_per_img = score_thresh, nms_thresh, detections_per_img
        self.mask_roi_pool, self.mask_head, self.mask_predictor = mask_roi_pool, mask_head, mask_predictor
        self.keypoint_roi_pool, self.keypoint_head = keypoint_roi_pool, keypoint_head
        self.keypoint_predictor = keypoint_predictor

    def has_mask(self) -> bool:
        """Whether masks are predicted."""
        return None not in (self.mask_roi_pool, self.mask_head, self.mask_predictor)

    def has_keypoint(self) -> bool:
        """Whether keypoints are predicted."""
        return None not in (self.keypoint_roi_pool, self.keypoint_head, self.keypoint_predictor)

    def check_targets(self, targets: list[Target] | None) -> None:
        """ValueError where targets lack something."""
        if targets is None:
            raise ValueError("targets should not be None")
        for key in ("boxes", "labels", *(("masks",) if self.has_mask() else ())):
            if not all(key in target for target in targets):
                raise ValueError(f"Every element of targets should have a {key} key")

    def _assign(self, boxes: Tensor, target: Target) -> tuple[np.ndarray, np.ndarray]:
        """The true box and the label of each region of an image: 0 background, -1 neither."""
        if target["boxes"].numel() == 0:
            return np.zeros(len(boxes), dtype=np.int64), np.zeros(len(boxes), dtype=np.int64)
        matches = self.proposal_matcher(self.box_similarity(target["boxes"], boxes)).numpy()
        places = matches.clip(min=0)
        labels = target["labels"].numpy()[places].astype(np.int64)
        labels[matches == self.proposal_matcher.BELOW_LOW_THRESHOLD] = 0
        labels[matches == self.proposal_matcher.BETWEEN_THRESHOLDS] = -1
        return places, labels

    def select_training_samples(self, proposals: list[Tensor], targets: list[Target] | None) -> Any:
        """Regions that the loss is taken of, the true box and label of each, and the codes to learn, per image."""
        self.check_targets(targets)
        assert targets is not None
        dtype = proposals[0].dtype
        proposals = [rl.cat((boxes, target["boxes"].to(dtype))) for boxes, target in zip(proposals, targets)]
        assigned = [self._assign(boxes, target) for boxes, target in zip(proposals, targets)]
        masks = self.fg_bg_sampler([rl.from_numpy(labels) for _, labels in assigned])
        matched, labels, true_boxes = [], [], []
        for i, (positive, negative) in enumerate(zip(*masks)):
            chosen = np.flatnonzero(positive.numpy() | negative.numpy())
            proposals[i] = proposals[i][rl.from_numpy(chosen)]
            matched.append(rl.from_numpy(assigned[i][0][chosen]))
            labels.append(rl.from_numpy(assigned[i][1][chosen]))
            boxes = targets[i]["boxes"].to(dtype)
            true_boxes.append((boxes if boxes.numel() else rl.zeros((1, 4), dtype=dtype))[matched[i]])
        return proposals, matched, labels, list(self.box_coder.encode(true_boxes, proposals))

    def postprocess_detections(self, class_logits: Tensor, box_regression: Tensor, proposals: list[Tensor],
                               image_shapes: list[tuple[int, int]]) -> list[Target]:
        """Boxes, labels and scores of each image."""
        ends = np.cumsum([len(boxes) for boxes in proposals])[:-1]
        decoded, scores = self.box_coder.decode(box_regression, proposals), F.softmax(class_logits, -1)
        result = []
        for boxes, score, shape in zip(np.split(array(decoded), ends), np.split(array(scores), ends), image_shapes):
            classes = score.shape[1]
            # all classes but the background
            boxes = clipped(boxes.reshape(-1, classes, 4)[:, 1:].reshape(-1, 4), shape)
            labels, score = np.tile(np.arange(1, classes), len(score)), score[:, 1:].reshape(-1)
            keep = (score > self.score_thresh) & large(boxes, 1e-2)
            found = settled(boxes[keep], score[keep], labels[keep], self.nms_thresh, self.detections_per_img)
            result.append({key: found[key] for key in ("boxes", "labels", "scores")})
        return result

    def forward(self, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: list[tuple[int, int]],
                targets: list[Target] | None = None) -> tuple[list[Target], dict[str, Tensor]]:
        if targets is not None:
            check_types(targets, self.has_keypoint())
        samples: Any = None
        if self.training:
            proposals, matched, labels, codes = self.select_training_samples(proposals, targets)
            positive = [rl.where(label > 0)[0] for label in labels]
            samples = ([boxes[rows] for boxes, rows in zip(proposals, positive)],
                       [places[rows] for places, rows in zip(matched, positive)])
        logits, regression = self.box_predictor(self.box_head(self.box_roi_pool(features, proposals, image_shapes)))
        result: list[Target] = []
        losses: dict[str, Tensor] = {}
        if self.training:
            losses["loss_classifier"], losses["loss_box_reg"] = fastrcnn_loss(logits, regression, labels, codes)
        else:
            result = self.postprocess_detections(logits, regression, proposals, image_shapes)
        regions = samples[0] if self.training else [found["boxes"] for found in result]
        if self.has_mask():
            self._masks(features, regions, image_shapes, targets, samples, result, losses)
        if self.has_keypoint():
            self._keypoints(features, regions, image_shapes, targets, samples, result, losses)
        return result, losses

    def _masks(self, features: Any, regions: list[Tensor], shapes: Any, targets: Any, samples: Any,
               result: list[Target], losses: dict[str, Tensor]) -> None:
        """Adds the loss of masks, or the masks."""
        logits = self.mask_predictor(self.mask_head(self.mask_roi_pool(features, regions, shapes)))
        if self.training:
            losses["loss_mask"] = maskrcnn_loss(logits, regions, [t["masks"] for t in targets],
                                                [t["labels"] for t in targets], samples[1])
            return
        for found, masks in zip(result, maskrcnn_inference(logits, [found["labels"] for found in result])):
            found["masks"] = masks

    def _keypoints(self, features: Any, regions: list[Tensor], shapes: Any, targets: Any, samples: Any,
                   result: list[Target], losses: dict[str, Tensor]) -> None:
        """Adds the loss of keypoints, or the keypoints."""
        logits = self.keypoint_predictor(self.keypoint_head(self.keypoint_roi_pool(features, regions, shapes)))
        if self.training:
            losses["loss_keypoint"] = keypointrcnn_loss(logits, regions, [t["keypoints"] for t in targets], samples[1])
            return
        for found, points, scores in zip(result, *keypointrcnn_inference(logits, regions)):
            found["keypoints"], found["keypoints_scores"] = points, scores
