"""Small pictures of every size made larger or smaller: a matrix for the rows and one for the columns.

Each detection has a size of its own; products with two small matrices need no plan for each.
"""

from __future__ import annotations

import numpy as np


def _spread(places: np.ndarray, offsets: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """Rows of weights at ``places + offsets``, those outside being added at the border."""
    matrix = np.zeros((len(places), size), dtype=np.float32)
    columns = np.clip(places[:, None] + offsets[None], 0, size - 1)
    np.add.at(matrix, (np.arange(len(places))[:, None], columns), weights.astype(np.float32))
    return matrix


def bilinear(new: int, old: int) -> np.ndarray:
    """``[new, old]``, as ``interpolate(mode="bilinear", align_corners=False)`` weighs.

    >>> bilinear(1, 2)
    array([[0.5, 0.5]], dtype=float32)
    """
    source = np.maximum(
        (np.arange(new, dtype=np.float32) + np.float32(0.5)) * np.float32(old / new) - np.float32(0.5), 0)
    low = np.minimum(source.astype(np.int64), old - 1)
    part = source - low
    return _spread(low, np.array([0, 1]), np.stack([1 - part, part], axis=1), old)


def bicubic(new: int, old: int) -> np.ndarray:
    """``[new, old]``, as ``interpolate(mode="bicubic", align_corners=False)`` weighs: Keys' kernel with a = -0.75.

    >>> bicubic(2, 2).sum(1)
    array([1., 1.], dtype=float32)
    """
    source = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * np.float32(old / new) - np.float32(0.5)
    low = np.floor(source).astype(np.int64)
    offsets = np.array([-1, 0, 1, 2])
    x = np.abs((source - low)[:, None] - offsets[None])
    a = -0.75
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return _spread(low, offsets, np.where(x <= 1, near, far), old)
