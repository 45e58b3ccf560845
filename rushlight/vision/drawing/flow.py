"""flow_to_image: optical flow in colours."""

from __future__ import annotations

import math

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.tensor.core import Tensor, unwrap, wrap

# The colour wheel of Baker et al. (2007): from red by yellow, green, cyan, blue and magenta back, in so many steps
# each;
# of (red, green, blue) one is full, one rises or falls.
SECTORS = ((15, 0, 1, True), (6, 1, 0, False), (4, 1, 2, True), (11, 2, 1, False), (13, 2, 0, True), (6, 0, 2, False))


def colour_wheel() -> np.ndarray:
    """float32 (55, 3), values 0 … 255."""
    rows = []
    for steps, full, changing, rises in SECTORS:
        sector = np.zeros((steps, 3), np.float32)
        ramp = np.floor(255 * np.arange(steps, dtype=np.float32) / steps)
        sector[:, full], sector[:, changing] = 255, ramp if rises else 255 - ramp
        rows.append(sector)
    return np.concatenate(rows)


def flow_to_image(flow: Tensor) -> Tensor:
    """Flow, float32 (2, H, W) or (N, 2, H, W), as uint8 colours (…, 3, H, W):
    the hue is the direction, the strength the length."""
    if flow.dtype is not dtypes.float32:
        raise ValueError(f"Flow should be of dtype torch.float, got {flow.dtype}.")
    vectors = unwrap(flow)
    shape = vectors.shape
    vectors = vectors[None] if vectors.ndim == 3 else vectors
    if vectors.ndim != 4 or vectors.shape[1] != 2:
        raise ValueError(f"Input flow should have shape (2, H, W) or (N, 2, H, W), got {flow.shape}.")
    vectors = vectors / (np.sqrt(np.square(vectors).sum(1)).max() + np.finfo(np.float32).eps)
    length = np.sqrt(np.square(vectors).sum(1))
    wheel = colour_wheel()
    turn = (np.arctan2(-vectors[:, 1], -vectors[:, 0]) / np.float32(math.pi) + 1) / 2 * np.float32(len(wheel) - 1)
    below = np.floor(turn).astype(np.int64)
    part = (turn - below).astype(np.float32)[..., None]
    colour = (1 - part) * (wheel[below] / 255) + part * (wheel[(below + 1) % len(wheel)] / 255)
    colour = np.floor(255 * (1 - length[..., None] * (1 - colour)))
    out = np.moveaxis(colour, -1, 1).astype(np.uint8)
    return wrap(np.ascontiguousarray(out[0] if len(shape) == 3 else out))
