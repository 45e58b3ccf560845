"""draw_segmentation_masks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.vision.drawing.colors import check_picture, colours_of


def draw_segmentation_masks(image: Tensor, masks: Tensor, alpha: float = 0.8, colors: Any = None) -> Tensor:
    """A picture (3, H, W) with boolean masks (N, H, W) laid over it in colours,
    ``alpha`` opaque; black where they overlap."""
    check_picture(image, (3,), "The image must be a tensor", "Pass an RGB image. Other Image formats are not supported")
    parts = unwrap(masks)
    parts = parts[None] if parts.ndim == 2 else parts
    if parts.ndim != 3:
        raise ValueError("masks must be of shape (H, W) or (batch_size, H, W)")
    if masks.dtype is not dtypes.bool_:
        raise ValueError(f"The masks must be of dtype bool. Got {masks.dtype}")
    pixels = unwrap(image)
    if parts.shape[-2:] != pixels.shape[-2:]:
        raise ValueError("The image and the masks must have the same height and width")
    if not len(parts):
        warnings.warn("masks doesn't contain any mask. No mask was drawn", stacklevel=2)
        return image
    over, unit = pixels.copy(), 255 if pixels.dtype.kind == "f" else 1
    for mask, colour in zip(parts, colours_of(colors, len(parts))):
        over[:, mask] = np.array([value / unit for value in colour], pixels.dtype)[:, None]
    over[:, parts.sum(0) > 1] = 0
    work = pixels.dtype if pixels.dtype.kind == "f" else np.dtype(np.float32)
    return wrap((pixels.astype(work) * work.type(1 - alpha)
                 + over.astype(work) * work.type(alpha)).astype(pixels.dtype))
