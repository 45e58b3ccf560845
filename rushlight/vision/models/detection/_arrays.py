"""Steps after the networks that have no gradient, on arrays: what is kept, and boxes cut to the image.

How many boxes are left is known only from their values, so a graph of tensors would be planned anew for every image.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import rushlight as rl
from rushlight import Tensor
from rushlight.vision.ops.boxes import suppress_groups


def array(t: Tensor) -> np.ndarray:
    """The values."""
    return t.detach().numpy()


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-x)."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def best(scores: np.ndarray, count: int) -> np.ndarray:
    """Places of the best scores, best first."""
    return np.argsort(-scores, kind="stable")[:count]


def clipped(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes cut at the borders of an image of this (height, width)."""
    height, width = size
    return np.clip(boxes, 0, np.array([width, height, width, height], dtype=boxes.dtype))


def large(boxes: np.ndarray, least: float) -> np.ndarray:
    """Which boxes have sides of at least so much."""
    return (boxes[:, 2] - boxes[:, 0] >= least) & (boxes[:, 3] - boxes[:, 1] >= least)


def settled(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, threshold: float, count: int) -> dict[str, Any]:
    """Detections of one image after non-maximum suppression within each class."""
    keep = suppress_groups(boxes, scores, labels, threshold)[:count]
    return {"boxes": rl.from_numpy(boxes[keep]), "scores": rl.from_numpy(scores[keep]),
            "labels": rl.from_numpy(labels[keep].astype(np.int64))}
