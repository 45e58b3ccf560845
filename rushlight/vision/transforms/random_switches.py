"""Transforms that happen with a probability p: flips, gray, inversion and other changes of levels."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.nn.modules.module import Module
from rushlight.vision.transforms import draws, whole_batch
from rushlight.vision.transforms import functional as F
from rushlight.vision.transforms.arguments import shown


class Switch(Module):
    """Base: ``apply`` is called when a number in [0, 1) falls below p."""

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = p

    def apply_to(self, img: Any) -> Any:
        """The change."""
        raise NotImplementedError

    def forward(self, img: Any) -> Any:
        return self.apply_to(img) if draws.unit() < self.p else img

    def __repr__(self) -> str:
        return shown(self, f"p={self.p}")


class RandomHorizontalFlip(Switch):
    """Left and right exchanged, with probability p."""

    def apply_to(self, img: Any) -> Any:
        return F.hflip(img)


class RandomVerticalFlip(Switch):
    """Top and bottom exchanged, with probability p."""

    def apply_to(self, img: Any) -> Any:
        return F.vflip(img)


def _flips(of_pictures: int, of_planes: int) -> whole_batch.Drawn:
    """The rule of flips along an axis: of pictures (B, H, W, …) or of planes (B, C, H, W)."""
    def change(transform: Any, batch: whole_batch.Batch, chosen: list[bool]) -> whole_batch.Batch:
        values, rows = batch.values.copy(), np.array(chosen)
        values[rows] = np.flip(values[rows], of_pictures if batch.pictures else of_planes)
        return batch._replace(values=values)
    return whole_batch.Drawn(lambda transform, size: draws.unit() < transform.p, change)


whole_batch.DRAWN[RandomHorizontalFlip] = _flips(2, -1)
whole_batch.DRAWN[RandomVerticalFlip] = _flips(1, -2)


class RandomGrayscale(Switch):
    """Gray with as many channels as before, with probability p."""

    def __init__(self, p: float = 0.1):
        super().__init__(p)

    def apply_to(self, img: Any) -> Any:
        return F.rgb_to_grayscale(img, num_output_channels=F.get_dimensions(img)[0])


class RandomInvert(Switch):
    """The negative, with probability p."""

    def apply_to(self, img: Any) -> Any:
        return F.invert(img)


class RandomAutocontrast(Switch):
    """Levels stretched over the whole range, with probability p."""

    def apply_to(self, img: Any) -> Any:
        return F.autocontrast(img)


class RandomEqualize(Switch):
    """Levels made equally frequent, with probability p."""

    def apply_to(self, img: Any) -> Any:
        return F.equalize(img)


class RandomPosterize(Switch):
    """Only the highest bits kept, with probability p."""

    def __init__(self, bits: int, p: float = 0.5):
        super().__init__(p)
        self.bits = bits

    def apply_to(self, img: Any) -> Any:
        return F.posterize(img, self.bits)

    def __repr__(self) -> str:
        return shown(self, f"bits={self.bits},p={self.p}")


class RandomSolarize(Switch):
    """Pixels from a threshold on inverted, with probability p."""

    def __init__(self, threshold: float, p: float = 0.5):
        super().__init__(p)
        self.threshold = threshold

    def apply_to(self, img: Any) -> Any:
        return F.solarize(img, self.threshold)

    def __repr__(self) -> str:
        return shown(self, f"threshold={self.threshold},p={self.p}")


class RandomAdjustSharpness(Switch):
    """Sharpened or blurred, with probability p."""

    def __init__(self, sharpness_factor: float, p: float = 0.5):
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def apply_to(self, img: Any) -> Any:
        return F.adjust_sharpness(img, self.sharpness_factor)

    def __repr__(self) -> str:
        return shown(self, f"sharpness_factor={self.sharpness_factor},p={self.p}")
