"""Grayscale, ColorJitter and GaussianBlur."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

from rushlight.nn.modules.module import Module
from rushlight.tensor.core import Tensor
from rushlight.tensor.creation import tensor
from rushlight.vision.transforms import draws
from rushlight.vision.transforms import functional as F
from rushlight.vision.transforms.arguments import pair_of_sizes, shown

Range = tuple[float, float] | None


class Grayscale(Module):
    """Gray, in one channel or three."""

    def __init__(self, num_output_channels: int = 1):
        super().__init__()
        self.num_output_channels = num_output_channels

    def forward(self, img: Any) -> Any:
        return F.rgb_to_grayscale(img, num_output_channels=self.num_output_channels)

    def __repr__(self) -> str:
        return shown(self, f"num_output_channels={self.num_output_channels}")


def factor_range(value: Any, name: str, center: float = 1, bound: tuple[float, float] = (0, float("inf")),
                 clip: bool = True) -> Range:
    """The range of a factor: centre ± a number (not below 0 where ``clip``), or two bounds; None where it changes
    nothing."""
    if isinstance(value, numbers.Number):
        if value < 0:  # type: ignore[operator]
            raise ValueError(f"If {name} is a single number, it must be non negative.")
        low, high = center - float(value), center + float(value)  # type: ignore[arg-type]
        low = max(low, 0.0) if clip else low
    elif isinstance(value, (tuple, list)) and len(value) == 2:
        low, high = float(value[0]), float(value[1])
    else:
        raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
    if not bound[0] <= low <= high <= bound[1]:
        raise ValueError(f"{name} values should be between {bound}, but got {[low, high]}.")
    return None if low == high == center else (low, high)


def jitter(ranges: Sequence[Range]) -> tuple[list[int], list[float | None]]:
    """An order of the four changes, and a factor for each that has a range."""
    return draws.permutation(4), [None if r is None else draws.between(*r) for r in ranges]


class ColorJitter(Module):
    """Brightness, contrast, saturation and hue changed by chance, in an order drawn by chance."""

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0):
        super().__init__()
        self.brightness = factor_range(brightness, "brightness")
        self.contrast = factor_range(contrast, "contrast")
        self.saturation = factor_range(saturation, "saturation")
        self.hue = factor_range(hue, "hue", center=0, bound=(-0.5, 0.5), clip=False)

    @staticmethod
    def get_params(brightness: Range, contrast: Range, saturation: Range,
                   hue: Range) -> tuple[Tensor, float | None, float | None, float | None, float | None]:
        """(order, brightness, contrast, saturation, hue)."""
        order, (b, c, s, h) = jitter([brightness, contrast, saturation, hue])
        return tensor(order), b, c, s, h

    def forward(self, img: Any) -> Any:
        order, factors = jitter([self.brightness, self.contrast, self.saturation, self.hue])
        for i in order:
            factor = factors[i]
            if factor is not None:
                img = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)[i](img, factor)
        return img

    def __repr__(self) -> str:
        return shown(self, f"brightness={self.brightness}, contrast={self.contrast}, saturation={self.saturation}, hue={self.hue}")


class GaussianBlur(Module):
    """Blurred with a sigma drawn from a range."""

    def __init__(self, kernel_size: int | Sequence[int], sigma: Any = (0.1, 2.0)):
        super().__init__()
        self.kernel_size = pair_of_sizes(kernel_size, "Kernel size should be a tuple/list of two integers")
        if any(size <= 0 or size % 2 == 0 for size in self.kernel_size):
            raise ValueError("Kernel size value should be an odd and positive number.")
        if isinstance(sigma, numbers.Number):
            if sigma <= 0:  # type: ignore[operator]
                raise ValueError("If sigma is a single number, it must be positive.")
            sigma = (sigma, sigma)
        elif not (isinstance(sigma, Sequence) and len(sigma) == 2):
            raise ValueError("sigma should be a single number or a list/tuple with length 2.")
        elif not 0.0 < sigma[0] <= sigma[1]:
            raise ValueError("sigma values should be positive and of the form (min, max).")
        self.sigma = sigma

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """The sigma."""
        return draws.between(sigma_min, sigma_max)

    def forward(self, img: Any) -> Any:
        sigma = self.get_params(self.sigma[0], self.sigma[1])
        return F.gaussian_blur(img, self.kernel_size, [sigma, sigma])

    def __repr__(self) -> str:
        return shown(self, f"kernel_size={self.kernel_size}, sigma={self.sigma}")
