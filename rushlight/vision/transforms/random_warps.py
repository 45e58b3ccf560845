"""Random rotation, affine map, perspective and elastic deformation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rushlight.nn.modules.module import Module
from rushlight.tensor.core import Tensor, wrap
from rushlight.vision.transforms import draws
from rushlight.vision.transforms import functional as F
from rushlight.vision.transforms.arguments import angle_range, check_fill, check_sequence, shown
from rushlight.vision.transforms.interpolation import InterpolationMode, mode_of
from rushlight.vision.transforms.kernels.blur import gaussian_blur

Corners = list[list[int]]


def fill_for(img: Any, fill: Any) -> Any:
    """The fill as warps of this picture want it: for tensors one float per channel."""
    if not isinstance(img, Tensor):
        return fill
    if isinstance(fill, (int, float)):
        return [float(fill)] * F.get_dimensions(img)[0]
    return [float(f) for f in fill]


class RandomRotation(Module):
    """Turned by an angle between two (or -degrees and degrees)."""

    def __init__(self, degrees: Any, interpolation: Any = InterpolationMode.NEAREST, expand: bool = False,
                 center: Any = None, fill: Any = 0):
        super().__init__()
        self.interpolation = mode_of(interpolation)
        self.degrees = angle_range(degrees, "degrees")
        if center is not None:
            check_sequence(center, "center", (2,))
        self.center, self.expand, self.fill = center, expand, check_fill(fill)

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """The angle."""
        return draws.between(degrees[0], degrees[1])

    def forward(self, img: Any) -> Any:
        return F.rotate(img, self.get_params(self.degrees), self.interpolation, self.expand, self.center,
                        fill_for(img, self.fill))

    def __repr__(self) -> str:
        center = f", center={self.center}" if self.center is not None else ""
        return shown(self, f"degrees={self.degrees}, interpolation={self.interpolation.value}, expand={self.expand}{center}, fill={self.fill}")


class RandomAffine(Module):
    """Rotated, moved by a part of the size, scaled and sheared, each within a range."""

    def __init__(self, degrees: Any, translate: Any = None, scale: Any = None, shear: Any = None,
                 interpolation: Any = InterpolationMode.NEAREST, fill: Any = 0, center: Any = None):
        super().__init__()
        self.interpolation = mode_of(interpolation)
        self.degrees, self.translate, self.scale, self.shear = affine_ranges(degrees, translate, scale, shear)
        self.fill = check_fill(fill)
        if center is not None:
            check_sequence(center, "center", (2,))
        self.center = center

    @staticmethod
    def get_params(degrees: Any, translate: Any, scale_ranges: Any, shears: Any,
                   img_size: Sequence[int]) -> tuple[Any, ...]:
        """(angle, (x, y) in pixels, scale, (x, y) shear); ``img_size`` is (width, height)."""
        angle = draws.between(degrees[0], degrees[1])
        moves = (0, 0)
        if translate is not None:
            x, y = (float(part * size) for part, size in zip(translate, img_size))
            moves = int(round(draws.between(-x, x))), int(round(draws.between(-y, y)))
        scale = draws.between(*scale_ranges) if scale_ranges is not None else 1.0
        shear_x = draws.between(shears[0], shears[1]) if shears is not None else 0.0
        shear_y = draws.between(shears[2], shears[3]) if shears is not None and len(shears) == 4 else 0.0
        return angle, moves, scale, (shear_x, shear_y)

    def forward(self, img: Any) -> Any:
        _, height, width = F.get_dimensions(img)
        drawn = self.get_params(self.degrees, self.translate, self.scale, self.shear, [width, height])
        return F.affine(img, *drawn, interpolation=self.interpolation, fill=fill_for(img, self.fill),
                        center=self.center)  # type: ignore[misc]

    def __repr__(self) -> str:
        parts = [f"degrees={self.degrees}",
                 *(f"{name}={getattr(self, name)}"
                   for name in ("translate", "scale", "shear") if getattr(self, name) is not None)]
        if self.interpolation is not InterpolationMode.NEAREST:
            parts.append(f"interpolation={self.interpolation.value}")
        parts += [f"{name}={value}"
                  for name, value, usual in (("fill", self.fill, 0), ("center", self.center, None)) if value != usual]
        return shown(self, ", ".join(parts))


def affine_ranges(degrees: Any, translate: Any, scale: Any, shear: Any) -> tuple[Any, Any, Any, Any]:
    """The ranges of a random affine map, checked."""
    degrees = angle_range(degrees, "degrees")
    if translate is not None:
        check_sequence(translate, "translate", (2,))
        if not all(0.0 <= t <= 1.0 for t in translate):
            raise ValueError("translation values should be between 0 and 1")
    if scale is not None:
        check_sequence(scale, "scale", (2,))
        if any(s <= 0 for s in scale):
            raise ValueError("scale values should be positive")
    return degrees, translate, scale, None if shear is None else angle_range(shear, "shear", (2, 4))


def perspective_corners(width: int, height: int, distortion_scale: float) -> tuple[Corners, Corners]:
    """Four corners and where each goes: inwards by up to distortion_scale of half the picture."""
    across, down = int(distortion_scale * (width // 2)) + 1, int(distortion_scale * (height // 2)) + 1
    ranges = [((0, across), (0, down)), ((width - across, width), (0, down)),
              ((width - across, width), (height - down, height)), ((0, across), (height - down, height))]
    ends = [[draws.integer(*x), draws.integer(*y)] for x, y in ranges]
    return [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], ends


class RandomPerspective(Module):
    """The four corners moved inwards by chance, with probability p."""

    def __init__(self, distortion_scale: float = 0.5, p: float = 0.5, interpolation: Any = InterpolationMode.BILINEAR,
                 fill: Any = 0):
        super().__init__()
        self.p, self.distortion_scale = p, distortion_scale
        self.interpolation, self.fill = mode_of(interpolation), check_fill(fill)

    @staticmethod
    def get_params(width: int, height: int, distortion_scale: float) -> tuple[Corners, Corners]:
        """(start points, end points)."""
        return perspective_corners(width, height, distortion_scale)

    def forward(self, img: Any) -> Any:
        fill = fill_for(img, self.fill)
        _, height, width = F.get_dimensions(img)
        if draws.unit() >= self.p:
            return img
        starts, ends = self.get_params(width, height, self.distortion_scale)
        return F.perspective(img, starts, ends, self.interpolation, fill)

    def __repr__(self) -> str:
        return shown(self, f"p={self.p}")


def displacement(alpha: Sequence[float], sigma: Sequence[float], size: Sequence[int]) -> Tensor:
    """A smooth field (1, H, W, 2) of random shifts, alpha strong and sigma smooth in (x, y)."""
    height, width = size
    parts = []
    for strength, spread, along in ((alpha[0], sigma[0], width), (alpha[1], sigma[1], height)):
        part = draws.units(1, 1, height, width) * np.float32(2) - np.float32(1)
        if spread > 0.0:
            kernel = int(8 * spread + 1)
            part = gaussian_blur(part, [kernel + 1 - kernel % 2] * 2, sigma)
        parts.append(part * np.float32(strength) / np.float32(along))
    return wrap(np.moveaxis(np.concatenate(parts, 1), 1, -1))


class ElasticTransform(Module):
    """Every pixel moved by a smooth random field, as through uneven glass."""

    def __init__(self, alpha: Any = 50.0, sigma: Any = 5.0, interpolation: Any = InterpolationMode.BILINEAR,
                 fill: Any = 0):
        super().__init__()
        self.alpha, self.sigma = _two_floats(alpha, "alpha"), _two_floats(sigma, "sigma")
        self.interpolation = mode_of(interpolation)
        if not isinstance(fill, (int, float, list, tuple)):
            raise TypeError(f"fill should be int or float or a list or tuple of them. Got {type(fill)}")
        self.fill = [float(f) for f in (fill if isinstance(fill, (list, tuple)) else [fill])]

    @staticmethod
    def get_params(alpha: Sequence[float], sigma: Sequence[float], size: Sequence[int]) -> Tensor:
        """The field (1, H, W, 2)."""
        return displacement(alpha, sigma, size)

    def forward(self, tensor: Any) -> Any:
        _, height, width = F.get_dimensions(tensor)
        return F.elastic_transform(tensor, self.get_params(self.alpha, self.sigma, [height, width]), self.interpolation,
                                   self.fill)

    def __repr__(self) -> str:
        return shown(self, f"alpha={self.alpha}, sigma={self.sigma}, interpolation={self.interpolation}, fill={self.fill}")


def _two_floats(value: Any, name: str) -> Any:
    if not isinstance(value, (float, Sequence)):
        raise TypeError(f"{name} should be float or a sequence of floats. Got {type(value)}")
    if isinstance(value, float):
        return [value, value]
    if len(value) != 2:
        raise ValueError(f"If {name} is a sequence its length should be 2. Got {len(value)}")
    for element in value:
        if not isinstance(element, float):
            raise TypeError(f"{name} should be a sequence of floats. Got {type(element)}")
    return value
