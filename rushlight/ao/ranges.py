"""Scale and zero point from the range of numbers. Source of the formulas: Jacob et al., arXiv 1712.05877, section 2.

The range is widened to hold 0, which then has an exact integer: padding and relu are exact.
"""

from __future__ import annotations

import numpy as np


def affine(low: float, high: float, least: int, most: int, eps: float = 0.0) -> tuple[float, int]:
    """The scale and zero point that spread [low, high] over the integers least … most.

    >>> affine(-1.0, 3.0, 0, 255)
    (0.01568627543747425, 64)
    """
    low, high = min(np.float32(low), np.float32(0)), max(np.float32(high), np.float32(0))
    scale = np.float32((float(high) - float(low)) / (most - least))
    if scale == 0 or not np.isfinite(1 / scale):
        scale = np.float32(0.1)
    scale = max(scale, np.float32(eps))
    # of the two ends, the one whose rounding moves 0 the least decides
    from_low, from_high = least - float(low) / float(scale), most - float(high) / float(scale)
    error_low = abs(least) + abs(float(low) / float(scale))
    error_high = abs(most) + abs(float(high) / float(scale))
    zero = from_low if error_low < error_high else from_high
    return float(scale), int(min(max(np.rint(zero), least), most))
