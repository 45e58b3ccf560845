"""What RetinaNet and FCOS share: heads on every level, and the best predictions of each level."""

from __future__ import annotations

from typing import Any

import numpy as np

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.vision.models.detection._arrays import array, best, clipped, settled
from rushlight.vision.models.detection._settings import means
from rushlight.vision.models.detection._utils import flattened
from rushlight.vision.models.detection.generalized_rcnn import Detector
from rushlight.vision.models.detection.transform import GeneralizedRCNNTransform


class LevelHead(nn.Module):
    """Convolutions ``conv``, then one, on every level; all levels in one tensor ``[N, anchors, columns]``."""

    def on_every_level(self, x: list[Tensor], last: nn.Module, columns: int,
                       hidden: list[Tensor] | None = None) -> Tensor:
        """What ``last`` gives for ``conv`` of each level (or for ``hidden``)."""
        inner = [self.conv(level) for level in x] if hidden is None else hidden
        return rl.cat([flattened(last(level), columns) for level in inner], dim=1)


def draw_head(conv: nn.Module) -> None:
    """Small normal weights, biases 0."""
    for module in conv.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.01)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class OneStage(Detector):
    """Predictions for every anchor of every level, without proposals.

    A child sets ``anchor_generator``, ``head`` and ``box_coder``, and has ``compute_loss``, ``scores`` and ``boxes``.
    """

    def finish(self, min_size: Any, max_size: int, image_mean: Any, image_std: Any,
               limits: tuple[float, float, int, int], **kwargs: Any) -> None:
        """The transform, and which detections are left: score, overlap, number per image and per level."""
        self.transform = GeneralizedRCNNTransform(min_size, max_size, *means(image_mean, image_std), **kwargs)
        self.score_thresh, self.nms_thresh, self.detections_per_img, self.topk_candidates = limits

    def scores(self, head_outputs: dict[str, Tensor]) -> np.ndarray:
        """``[N, anchors, classes]`` from 0 to 1."""
        raise NotImplementedError

    def boxes(self, head_outputs: dict[str, Tensor], image: int, anchors: Tensor) -> Tensor:
        """``[anchors, 4]`` of one image."""
        raise NotImplementedError

    def postprocess_detections(self, head_outputs: dict[str, Tensor], anchors: list[Tensor], levels: list[int],
                               image_shapes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """Boxes, scores and labels of each image; ``levels`` are the numbers of anchors of each level."""
        scores = self.scores(head_outputs)
        ends = np.cumsum(levels)
        result = []
        for i, shape in enumerate(image_shapes):
            boxes = clipped(array(self.boxes(head_outputs, i, anchors[i])), shape)
            chosen = []
            for end, count in zip(ends, levels):
                start, flat = end - count, scores[i, end - count:end].reshape(-1)
                over = np.flatnonzero(flat > np.float64(self.score_thresh))
                chosen.append(start * scores.shape[2] + over[best(flat[over], self.topk_candidates)])
            place = np.concatenate(chosen)
            anchor, label = place // scores.shape[2], place % scores.shape[2]
            result.append(settled(boxes[anchor], scores[i, anchor, label], label, self.nms_thresh,
                                  self.detections_per_img))
        return result

    def detect(self, images: Any, features: dict[str, Tensor],
               targets: Any) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
        maps = list(features.values())
        outputs = self.head(maps)
        anchors = self.anchor_generator(images, maps)
        places = [level.size(2) * level.size(3) for level in maps]
        per_place = outputs["cls_logits"].size(1) // sum(places)
        levels = [count * per_place for count in places]
        if self.training:
            return self.compute_loss(targets, outputs, anchors, levels), []
        return {}, self.postprocess_detections(outputs, anchors, levels, images.image_sizes)
