"""Keypoints of Keypoint R-CNN: their loss, and where the maps say they are."""

from __future__ import annotations

import numpy as np

import rushlight as rl
from rushlight import Tensor
from rushlight.nn import functional as F
from rushlight.vision.models.detection._resampling import bicubic


def keypoints_to_heatmap(keypoints: Tensor, rois: Tensor, heatmap_size: int) -> tuple[Tensor, Tensor]:
    """For keypoints ``[N, K, 3]`` in boxes ``[N, 4]`` their cells in maps of
    this side, and which are visible and inside."""
    points, boxes = keypoints.detach().numpy(), rois.detach().numpy()
    low, size = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
    cells = np.floor((points[..., :2] - low) * (heatmap_size / size)).astype(np.int64)
    cells[points[..., :2] == boxes[:, None, 2:]] = heatmap_size - 1
    inside = ((cells >= 0) & (cells < heatmap_size)).all(-1)
    valid = (inside & (points[..., 2] > 0)).astype(np.int64)
    return rl.from_numpy((cells[..., 1] * heatmap_size + cells[..., 0]) * valid), rl.from_numpy(valid)


def keypointrcnn_loss(keypoint_logits: Tensor, proposals: list[Tensor], gt_keypoints: list[Tensor],
                      keypoint_matched_idxs: list[Tensor]) -> Tensor:
    """Cross entropy over the cells of the maps ``[N, K, side, side]``, of the visible keypoints."""
    count, kinds, height, width = keypoint_logits.shape
    if height != width:
        raise ValueError("keypoint_logits height and width (last two elements of shape) should be equal. Instead got "
                         f"H = {height} and W = {width}")
    pairs = [keypoints_to_heatmap(points[places], boxes, height)
             for boxes, points, places in zip(proposals, gt_keypoints, keypoint_matched_idxs)]
    targets, valid = rl.cat([cells.view(-1) for cells, _ in pairs]), rl.cat([seen.view(-1) for _, seen in pairs])
    chosen = rl.where(valid)[0]
    if targets.numel() == 0 or len(chosen) == 0:
        return keypoint_logits.sum() * 0
    return F.cross_entropy(keypoint_logits.view(count * kinds, height * width)[chosen], targets[chosen])


def heatmaps_to_keypoints(maps: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
    """Of maps ``[N, K, side, side]`` of boxes ``[N, 4]`` the keypoints ``[N, K,
    3]`` (x, y, 1) and their scores ``[N, K]``."""
    values, boxes = maps.detach().numpy(), rois.detach().numpy()
    points = np.ones((len(values), values.shape[1], 3), dtype=np.float32)
    scores = np.zeros(values.shape[:2], dtype=np.float32)
    for i, (grid, box) in enumerate(zip(values, boxes)):
        size = np.maximum(box[2:] - box[:2], 1)
        width, height = (int(side) for side in np.ceil(size))
        large = np.matmul(bicubic(height, grid.shape[1]) @ grid, bicubic(width, grid.shape[2]).T).reshape(len(grid), -1)
        best = large.argmax(1)
        scores[i] = large[np.arange(len(grid)), best]
        place = np.stack([best % width, best // width], axis=1).astype(np.float32)
        points[i, :, :2] = (place + np.float32(0.5)) * (size / np.array([width, height], dtype=np.float32)) + box[:2]
    return rl.from_numpy(points), rl.from_numpy(scores)


def keypointrcnn_inference(x: Tensor, boxes: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Keypoints and their scores per image."""
    parts = x.split([len(box) for box in boxes], dim=0)
    pairs = [heatmaps_to_keypoints(maps, box) for maps, box in zip(parts, boxes)]
    return [points for points, _ in pairs], [scores for _, scores in pairs]
