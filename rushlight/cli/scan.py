"""Any picture of a digit brought into the form of the demo's training scans.

The scans of `Digits` fill the full height of 8 rows, stand in the middle of the columns, and were written with strokes
so thick that the ink covers three tenths of the square, whatever the digit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SIDE, FINE = 8, 64  # pixels of a scan, and of the square in which strokes are thickened
INK, NEAR = 0.3, 0.1  # share of the square that ink covers; how far from it strokes may be and stay as they are
FAINTEST, STROKE = 0.25, 0.4  # of the darkest ink: what belongs to the digit, and what is the middle of a stroke
MOST = 15  # steps of thickening or thinning


def as_scan(file: str | Path) -> np.ndarray:
    """The picture as float32 (8, 8) from 0 for paper to 1 for ink; ValueError where nothing is on it."""
    from PIL import Image
    with Image.open(file) as image:
        ink = _ink(_grey(image))
    scan = _reduced(Image.fromarray(np.where(ink > FAINTEST, ink * 255, 0).astype(np.uint8)))
    return scan if abs(float(scan.mean()) - INK) <= NEAR else _with_even_strokes(_framed(ink > STROKE))


def _grey(image: Any) -> np.ndarray:
    """Brightness from 0 to 1; what is transparent counts as white paper."""
    from PIL import Image
    if image.mode[:1] in "IF":
        wide = np.asarray(image, np.float64)
        return (wide - wide.min()) / max(float(np.ptp(wide)), 1e-9)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
    return np.asarray(image.convert("L"), np.float64) / 255


def _ink(grey: np.ndarray) -> np.ndarray:
    """How dark the strokes are, from 0 to 1: their difference from the paper, which is what lies along the edge."""
    paper = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    difference = np.abs(grey - paper)
    if difference.max() < 0.1:
        raise ValueError("nothing stands out on it")
    return difference / difference.max()


def _framed(ink: np.ndarray) -> Any:
    """The strokes alone, in the middle of a square picture, with room for thicker strokes."""
    from PIL import Image
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    digit = Image.fromarray(ink[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]).convert("L")
    scale = FINE / max(digit.size)
    digit = digit.resize([max(1, round(n * scale)) for n in digit.size], Image.Resampling.BILINEAR)
    square = Image.new("L", (2 * FINE, 2 * FINE))
    square.paste(digit, tuple(FINE - n // 2 for n in digit.size))
    return square.point(lambda v: 255 if v > 127 else 0)


def _with_even_strokes(square: Any) -> np.ndarray:
    """Strokes thickened or thinned until the ink is that of the training scans, then reduced to 8×8."""
    from PIL import ImageFilter
    tries = [_reduced(square)]
    filters = ImageFilter.MaxFilter(3) if tries[0].mean() < INK else ImageFilter.MinFilter(3)
    for _ in range(MOST):
        square = square.filter(filters)
        if square.getbbox() is None:
            break
        tries.append(_reduced(square))
        if (tries[-1].mean() < INK) != (tries[0].mean() < INK):
            break
    return min(tries, key=lambda scan: abs(float(scan.mean()) - INK))


def _reduced(square: Any) -> np.ndarray:
    """The digit at full height, or full width where it is wider than high, in the middle of 8×8 pixels."""
    from PIL import Image
    digit = square.crop(square.getbbox())
    side = max(digit.size)
    whole = Image.new("L", (side, side))
    whole.paste(digit, ((side - digit.width) // 2, (side - digit.height) // 2))
    return np.asarray(whole.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) / np.float32(255)
