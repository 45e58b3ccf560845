"""Masks of Mask R-CNN: their loss, their probabilities, and how they are put into the image."""

from __future__ import annotations

import numpy as np

import rushlight as rl
from rushlight import Tensor
from rushlight.nn import functional as F
from rushlight.vision.models.detection._resampling import bilinear
from rushlight.vision.ops.roi_align import roi_align


def maskrcnn_inference(x: Tensor, labels: list[Tensor]) -> list[Tensor]:
    """Of logits ``[N, classes, M, M]`` the probabilities ``[N, 1, M, M]`` of each detection's class, per image."""
    counts = [len(label) for label in labels]
    chosen = x.sigmoid()[rl.arange(x.shape[0]), rl.cat(labels)][:, None]
    return list(chosen.split(counts, dim=0))


def project_masks_on_boxes(gt_masks: Tensor, boxes: Tensor, matched_idxs: Tensor, M: int) -> Tensor:
    """The part of each box's true mask within the box, ``[N, M, M]``."""
    rois = rl.cat([matched_idxs.to(boxes.dtype)[:, None], boxes], dim=1)
    return roi_align(gt_masks[:, None].to(rois.dtype), rois, (M, M), 1.0)[:, 0]


def maskrcnn_loss(mask_logits: Tensor, proposals: list[Tensor], gt_masks: list[Tensor], gt_labels: list[Tensor],
                  mask_matched_idxs: list[Tensor]) -> Tensor:
    """Binary cross entropy of the masks of the true classes, averaged."""
    side = mask_logits.shape[-1]
    labels = rl.cat([label[places] for label, places in zip(gt_labels, mask_matched_idxs)])
    targets = rl.cat([project_masks_on_boxes(masks, boxes, places, side)
                      for masks, boxes, places in zip(gt_masks, proposals, mask_matched_idxs)])
    if targets.numel() == 0:
        return mask_logits.sum() * 0
    return F.binary_cross_entropy_with_logits(mask_logits[rl.arange(labels.shape[0]), labels], targets)


def expand_boxes(boxes: np.ndarray, scale: float) -> np.ndarray:
    """Boxes made larger around their centres."""
    centre = (boxes[:, 2:] + boxes[:, :2]) * np.float32(0.5)
    half = (boxes[:, 2:] - boxes[:, :2]) * np.float32(0.5) * np.float32(scale)
    return np.concatenate([centre - half, centre + half], axis=1)


def _paste(mask: np.ndarray, box: np.ndarray, out: np.ndarray) -> None:
    left, top, right, bottom = box.tolist()
    height, width = max(bottom - top + 1, 1), max(right - left + 1, 1)
    grown = bilinear(height, mask.shape[0]) @ mask @ bilinear(width, mask.shape[1]).T
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right + 1, out.shape[1]), min(bottom + 1, out.shape[0])
    if x1 > x0 and y1 > y0:
        out[y0:y1, x0:x1] = grown[y0 - top:y1 - top, x0 - left:x1 - left]


def paste_masks_in_image(masks: Tensor, boxes: Tensor, img_shape: tuple[int, int], padding: int = 1) -> Tensor:
    """Masks ``[N, 1, M, M]`` of boxes ``[N, 4]`` in an image of this (height, width): ``[N, 1, height, width]``.

    A mask is padded with zeros first, so that it fades out at the box.
    """
    side = masks.shape[-1]
    padded = np.pad(masks.detach().numpy()[:, 0], [(0, 0), (padding, padding), (padding, padding)])
    places = expand_boxes(boxes.detach().numpy(), (side + 2 * padding) / side).astype(np.int64)
    out = np.zeros((len(padded), *img_shape), dtype=padded.dtype)
    for mask, box, picture in zip(padded, places, out):
        _paste(mask, box, picture)
    return rl.from_numpy(out[:, None])
