"""draw_keypoints."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.tensor.core import Tensor, unwrap
from rushlight.vision.drawing.colors import as_pil, check_picture, from_pil


def draw_keypoints(image: Tensor, keypoints: Tensor, connectivity: list[tuple[int, int]] | None = None,
                   colors: Any = None, radius: int = 2, width: int = 3, visibility: Tensor | None = None) -> Tensor:
    """A picture (3, H, W) with the points (N, K, 2) of N figures drawn as discs, and lines between pairs of them.

    ``visibility`` (N, K) says which points are drawn; lines need both ends.
    """
    check_picture(image, (3,), "The image must be a tensor", "Pass an RGB image. Other Image formats are not supported")
    points = unwrap(keypoints)
    if points.ndim != 3:
        raise ValueError("keypoints must be of shape (num_instances, K, 2)")
    seen = np.ones(points.shape[:2], bool) if visibility is None else unwrap(visibility).astype(bool)
    seen = seen[..., 0] if seen.ndim == 3 else seen
    if seen.ndim != 2:
        raise ValueError(f"visibility must be of shape (num_instances, K). Got ndim={seen.ndim}")
    if seen.shape != points.shape[:2]:
        raise ValueError("keypoints and visibility must have the same dimensionality for num_instances and K. "
                         f"Got visibility.shape={seen.shape} and keypoints.shape={points.shape}")
    from PIL import ImageDraw
    canvas = as_pil(image)
    pen = ImageDraw.Draw(canvas)
    for figure, visible in zip(points.astype(np.int64).tolist(), seen.tolist()):
        for (x, y), shown in zip(figure, visible):
            if shown:
                pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colors, outline=None, width=0)
        for a, b in connectivity or ():
            if visible[a] and visible[b]:
                pen.line((*figure[a], *figure[b]), width=width)
    return from_pil(canvas, image)
