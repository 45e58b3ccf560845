"""Boxes as numbers to learn, anchors matched with true boxes, and samples of them."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import numpy as np

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.ops import (FrozenBatchNorm2d, complete_box_iou_loss, distance_box_iou_loss,
                                  generalized_box_iou_loss)

LOSSES_OF_BOXES = {"ciou": complete_box_iou_loss, "diou": distance_box_iou_loss, "giou": generalized_box_iou_loss}


class BalancedPositiveNegativeSampler:
    """Draws a fixed number of anchors per image, at most a fraction of them positive.

    Called with labels per image (at least 1 positive, 0 negative, else neither) gives masks of the positive and of the
    negative ones drawn, uint8; the same draws as torchvision's.
    """

    def __init__(self, batch_size_per_image: int, positive_fraction: float) -> None:
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction

    def __call__(self, matched_idxs: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        positive, negative = [], []
        for labels in matched_idxs:
            values = labels.numpy()
            first, second = np.flatnonzero(values >= 1), np.flatnonzero(values == 0)
            wanted = min(len(first), int(self.batch_size_per_image * self.positive_fraction))
            positive.append(self._mask(first, wanted, len(values)))
            negative.append(self._mask(second, min(len(second), self.batch_size_per_image - wanted), len(values)))
        return positive, negative

    @staticmethod
    def _mask(places: np.ndarray, count: int, total: int) -> Tensor:
        mask = np.zeros(total, dtype=np.uint8)
        mask[places[rl.randperm(len(places)).numpy()[:count]]] = 1
        return rl.from_numpy(mask)


def _sizes_and_centres(boxes: Tensor) -> tuple[Tensor, Tensor]:
    size = boxes[:, 2:] - boxes[:, :2]
    return size, boxes[:, :2] + 0.5 * size


class BoxCoder:
    """Boxes relative to others: shifts of the centre in units of the size,
    and logarithms of ratios of sizes, times weights.

    >>> coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
    >>> coder.encode_single(rl.tensor([[1., 0, 3, 2]]), rl.tensor([[0., 0, 2, 2]]))
    tensor([[0.5000, 0.0000, 0.0000, 0.0000]])
    """

    def __init__(self, weights: tuple[float, float, float, float],
                 bbox_xform_clip: float = math.log(1000.0 / 16)) -> None:
        self.weights = weights
        self.bbox_xform_clip = bbox_xform_clip

    def encode(self, reference_boxes: list[Tensor], proposals: list[Tensor]) -> tuple[Tensor, ...]:
        """``reference_boxes`` relative to ``proposals``, per image ``[N, 4]``."""
        counts = [len(boxes) for boxes in reference_boxes]
        return self.encode_single(rl.cat(reference_boxes), rl.cat(proposals)).split(counts, 0)

    def encode_single(self, reference_boxes: Tensor, proposals: Tensor) -> Tensor:
        """``[N, 4]`` relative to ``[N, 4]``."""
        size, centre = _sizes_and_centres(proposals)
        wanted, goal = _sizes_and_centres(reference_boxes)
        weights = rl.tensor(self.weights, dtype=reference_boxes.dtype)
        return rl.cat([weights[:2] * (goal - centre) / size, weights[2:] * rl.log(wanted / size)], dim=1)

    def decode(self, rel_codes: Tensor, boxes: list[Tensor]) -> Tensor:
        """Codes relative to the boxes of several images, as boxes ``[N, classes, 4]``."""
        total = sum(len(part) for part in boxes)
        if total > 0:
            rel_codes = rel_codes.reshape(total, -1)
        decoded = self.decode_single(rel_codes, rl.cat(list(boxes)))
        return decoded.reshape(total, -1, 4) if total > 0 else decoded

    def decode_single(self, rel_codes: Tensor, boxes: Tensor) -> Tensor:
        """Codes ``[N, 4 * classes]`` relative to boxes ``[N, 4]``, as boxes ``[N, 4 * classes]``."""
        size, centre = _sizes_and_centres(boxes.to(rel_codes.dtype))
        weights = rl.tensor(self.weights, dtype=rel_codes.dtype)
        codes = rel_codes.reshape(len(rel_codes), rel_codes.shape[1] // 4, 4) / weights
        middle = codes[..., :2] * size[:, None] + centre[:, None]
        half = 0.5 * (codes[..., 2:].clamp(max=self.bbox_xform_clip).exp() * size[:, None])
        return rl.cat([middle - half, middle + half], dim=-1).flatten(1)


class BoxLinearCoder:
    """Boxes as distances of their sides from the centre of others, in units of those boxes' sizes where wanted."""

    def __init__(self, normalize_by_size: bool = True) -> None:
        self.normalize_by_size = normalize_by_size

    def _unit(self, boxes: Tensor) -> Tensor:
        size = boxes[..., 2:] - boxes[..., :2]
        return rl.cat([size, size], dim=-1)

    def encode(self, reference_boxes: Tensor, proposals: Tensor) -> Tensor:
        """Distances (left, top, right, bottom) of ``proposals`` from the centres of ``reference_boxes``."""
        centre = 0.5 * (reference_boxes[..., :2] + reference_boxes[..., 2:])
        sides = rl.cat([centre - proposals[..., :2], proposals[..., 2:] - centre], dim=-1)
        return sides / self._unit(reference_boxes) if self.normalize_by_size else sides

    def decode(self, rel_codes: Tensor, boxes: Tensor) -> Tensor:
        """Boxes whose sides have these distances from the centres of ``boxes``."""
        boxes = boxes.to(dtype=rel_codes.dtype)
        centre = 0.5 * (boxes[..., :2] + boxes[..., 2:])
        sides = rel_codes * self._unit(boxes) if self.normalize_by_size else rel_codes
        return rl.cat([centre - sides[..., :2], centre + sides[..., 2:]], dim=-1)


class Matcher:
    """For each prediction the true box that fits best: its place,
    -1 where it fits too badly, -2 where it is in between.

    ``match_quality_matrix`` is ``[true boxes, predictions]``; with ``allow_low_quality_matches`` every true box also
    gets the predictions that fit it best. ValueError where there are no boxes or no predictions.

    >>> Matcher(0.5, 0.3)(rl.tensor([[0.9, 0.4, 0.1], [0.2, 0.1, 0.2]]))
    tensor([ 0, -2, -1])
    """

    BELOW_LOW_THRESHOLD = -1
    BETWEEN_THRESHOLDS = -2

    def __init__(self, high_threshold: float, low_threshold: float, allow_low_quality_matches: bool = False) -> None:
        if low_threshold > high_threshold:
            raise AssertionError("low_threshold should be <= high_threshold")
        self.high_threshold, self.low_threshold = high_threshold, low_threshold
        self.allow_low_quality_matches = allow_low_quality_matches

    def __call__(self, match_quality_matrix: Tensor) -> Tensor:
        return rl.from_numpy(self._match(match_quality_matrix.detach().numpy()))

    def _match(self, quality: np.ndarray) -> np.ndarray:
        if quality.size == 0:
            what = "ground-truth" if quality.shape[0] == 0 else "proposal"
            raise ValueError(f"No {what} boxes available for one of the images during training")
        closest, values = quality.argmax(0), quality.max(0)
        between = np.where(values < np.float64(self.high_threshold), self.BETWEEN_THRESHOLDS, closest)
        matches = np.where(values < np.float64(self.low_threshold), self.BELOW_LOW_THRESHOLD, between).astype(np.int64)
        if self.allow_low_quality_matches:
            forced = np.nonzero(quality == quality.max(1, keepdims=True))[1]
            matches[forced] = closest[forced]
        return matches


class SSDMatcher(Matcher):
    """One threshold, and every true box gets the prediction that fits it best."""

    def __init__(self, threshold: float) -> None:
        super().__init__(threshold, threshold, allow_low_quality_matches=False)

    def _match(self, quality: np.ndarray) -> np.ndarray:
        matches = super()._match(quality)
        matches[quality.argmax(1)] = np.arange(len(quality))
        return matches


def overwrite_eps(model: nn.Module, eps: float) -> None:
    """Set ``eps`` of every FrozenBatchNorm2d: the first published weights were trained with 0."""
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = eps


def retrieve_out_channels(model: nn.Module, size: tuple[int, int]) -> list[int]:
    """Channels of the feature maps that a backbone gives for an image of this size."""
    training = model.training
    model.eval()
    with rl.no_grad():
        features = model(rl.zeros((1, 3, size[1], size[0])))
    model.train(training)
    maps = OrderedDict([("0", features)]) if isinstance(features, Tensor) else features
    return [value.size(1) for value in maps.values()]


def _box_loss(type: str, box_coder: BoxCoder, anchors_per_image: Tensor, matched_gt_boxes_per_image: Tensor,
              bbox_regression_per_image: Tensor, cnf: dict[str, float] | None = None) -> Tensor:
    """The summed loss of codes against true boxes, by name: l1, smooth_l1, ciou, diou or giou."""
    cnf = cnf or {}
    if type in LOSSES_OF_BOXES:
        boxes = box_coder.decode_single(bbox_regression_per_image, anchors_per_image)
        return LOSSES_OF_BOXES[type](boxes, matched_gt_boxes_per_image, reduction="sum", eps=cnf.get("eps", 1e-7))
    if type not in ("l1", "smooth_l1"):
        raise AssertionError(f"Unsupported loss: {type}")
    target = box_coder.encode_single(matched_gt_boxes_per_image, anchors_per_image)
    if type == "l1":
        return F.l1_loss(bbox_regression_per_image, target, reduction="sum")
    return F.smooth_l1_loss(bbox_regression_per_image, target, reduction="sum", beta=cnf.get("beta", 1.0))


def flattened(x: Tensor, columns: int) -> Tensor:
    """A head's output ``[N, A * columns, H, W]`` as ``[N, H * W * A, columns]``."""
    batch, _, height, width = x.shape
    return x.view(batch, -1, columns, height, width).permute(0, 3, 4, 1, 2).reshape(batch, -1, columns)


def matched_or_none(matcher: Any, similarity: Any, target: dict[str, Tensor], anchors: Tensor) -> Tensor:
    """The matches of one image's anchors; -1 everywhere where nothing is to be found in it."""
    if target["boxes"].numel() == 0:
        return rl.full((anchors.size(0),), -1, dtype=rl.int64)
    return matcher(similarity(target["boxes"], anchors))
