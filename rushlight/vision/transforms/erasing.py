"""RandomErasing: a window of a tensor covered with a colour or with noise."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from rushlight.nn.modules.module import Module
from rushlight.tensor.core import Tensor, wrap
from rushlight.vision.transforms import draws
from rushlight.vision.transforms import functional as F
from rushlight.vision.transforms.arguments import shown
from rushlight.vision.transforms.random_crops import check_ranges


def check_erasing(scale: Any, ratio: Any, value: Any) -> None:
    """TypeError and ValueError for arguments that erasing cannot take."""
    if not isinstance(value, (numbers.Number, str, tuple, list)):
        raise TypeError("Argument value should be either a number or str or a sequence")
    if isinstance(value, str) and value != "random":
        raise ValueError("If value is str, it should be 'random'")
    check_ranges(scale, ratio)
    if scale[0] < 0 or scale[1] > 1:
        raise ValueError("Scale should be between 0 and 1")


def colour_of(value: Any) -> list[float] | None:
    """What covers the window: one float or one per channel, None for noise."""
    if isinstance(value, str):
        return None
    return [float(v) for v in value] if isinstance(value, (list, tuple)) else [float(value)]


def erased_window(channels: int, height: int, width: int, scale: Any, ratio: Any,
                  value: Sequence[float] | None) -> tuple[int, int, int, int, np.ndarray] | None:
    """(top, left, height, width, cover), None where ten windows did not fit."""
    logs = draws.log_bounds(tuple(ratio))
    for _ in range(draws.ATTEMPTS):
        area, aspect = draws.area_and_ratio(height * width, scale, logs)
        h, w = int(round(math.sqrt(area * aspect))), int(round(math.sqrt(area / aspect)))
        if not (h < height and w < width):
            continue
        cover = draws.normals(channels, h, w) if value is None else np.asarray(value, np.float32)[:, None, None]
        top = draws.integer(0, height - h + 1)
        return top, draws.integer(0, width - w + 1), h, w, cover
    return None


class RandomErasing(Module):
    """A window of random area and aspect ratio covered, with probability p.

    ``value`` is a number, one number per channel, or "random" for normal noise.
    """

    def __init__(self, p: float = 0.5, scale: Any = (0.02, 0.33), ratio: Any = (0.3, 3.3), value: Any = 0,
                 inplace: bool = False):
        super().__init__()
        check_erasing(scale, ratio, value)
        if p < 0 or p > 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.p, self.scale, self.ratio, self.value, self.inplace = p, scale, ratio, value, inplace

    @staticmethod
    def get_params(img: Tensor, scale: Any, ratio: Any,
                   value: Sequence[float] | None = None) -> tuple[int, int, int, int, Tensor]:
        """(top, left, height, width, cover); the whole picture where no window fits."""
        channels, height, width = (int(n) for n in img._spec.shape[-3:])
        found = erased_window(channels, height, width, scale, ratio, value)
        return (0, 0, height, width, img) if found is None else (*found[:4], wrap(found[4]))

    def forward(self, img: Any) -> Any:
        if draws.unit() >= self.p:
            return img
        value = colour_of(self.value)
        if value is not None and len(value) not in (1, img.shape[-3]):
            raise ValueError(f"If value is a sequence, it should have either a single value or {img.shape[-3]} (number of input channels)")
        return F.erase(img, *self.get_params(img, self.scale, self.ratio, value), self.inplace)

    def __repr__(self) -> str:
        return shown(self, f"p={self.p}, scale={self.scale}, ratio={self.ratio}, value={self.value}, inplace={self.inplace}")
