"""Transforms v2 of sizes and places, decided by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rushlight.vision import transforms as v1
from rushlight.vision.transforms import draws
from rushlight.vision.transforms.arguments import angle_range, check_padding_mode, check_sequence, pair_of_sizes
from rushlight.vision.transforms.functional.warps import perspective_coefficients
from rushlight.vision.transforms.kernels.padding import four_sides
from rushlight.vision.transforms.random_crops import check_ranges, resized_crop_window
from rushlight.vision.transforms.random_warps import affine_ranges, displacement, perspective_corners
from rushlight.vision.transforms.v2 import functional as F
from rushlight.vision.transforms.v2.fills import fill_for, fills
from rushlight.vision.transforms.v2.geometry import check_padding
from rushlight.vision.transforms.v2.transform import RandomApplyTransform, Transform, query_size


class RandomHorizontalFlip(RandomApplyTransform):
    """Left and right exchanged, with probability p."""

    _v1_transform_cls = v1.RandomHorizontalFlip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.horizontal_flip, inpt)


class RandomVerticalFlip(RandomApplyTransform):
    """Top and bottom exchanged, with probability p."""

    _v1_transform_cls = v1.RandomVerticalFlip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.vertical_flip, inpt)


class RandomResizedCrop(Transform):
    """A window of random area and aspect ratio, resized."""

    _v1_transform_cls = v1.RandomResizedCrop

    def __init__(self, size: Any, scale: Any = (0.08, 1.0), ratio: Any = (3.0 / 4.0, 4.0 / 3.0),
                 interpolation: Any = "bilinear", antialias: bool | None = True):
        super().__init__()
        self.size = pair_of_sizes(size)
        for name, value in (("Scale", scale), ("Ratio", ratio)):
            if not isinstance(value, Sequence) or len(value) != 2:
                raise TypeError(f"{name} should be a sequence of two floats.")
        check_ranges(scale, ratio)
        self.scale, self.ratio, self.interpolation, self.antialias = scale, ratio, interpolation, antialias

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        top, left, height, width = resized_crop_window(*query_size(flat_inputs), self.scale, self.ratio)
        return {"top": top, "left": left, "height": height, "width": width}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.resized_crop, inpt, **params, size=self.size, interpolation=self.interpolation,
                                 antialias=self.antialias)


class RandomCrop(Transform):
    """A window of a fixed size anywhere in the picture, which may be padded first."""

    _v1_transform_cls = v1.RandomCrop

    def __init__(self, size: Any, padding: Any = None, pad_if_needed: bool = False, fill: Any = 0,
                 padding_mode: str = "constant"):
        super().__init__()
        self.size = pair_of_sizes(size)
        if padding is not None:
            check_padding(padding)
        if pad_if_needed or padding is not None:
            check_padding_mode(padding_mode)
        self.padding = list(four_sides(padding)) if padding else None
        self.pad_if_needed, self.fill, self._fill, self.padding_mode = pad_if_needed, fill, fills(fill), padding_mode

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        left, right, top, bottom = self.padding or (0, 0, 0, 0)
        height, width = height + top + bottom, width + left + right
        wanted_height, wanted_width = self.size
        if self.pad_if_needed:
            down, across = max(wanted_height - height, 0), max(wanted_width - width, 0)
            top, bottom, left, right = top + down, bottom + down, left + across, right + across
            height, width = height + 2 * down, width + 2 * across
        if height < wanted_height or width < wanted_width:
            raise ValueError(f"Required crop size {(wanted_height, wanted_width)} is larger than {'padded ' if self.padding is not None else ''}"
                             f"input image size {(height, width)}.")
        y = draws.integer(0, height - wanted_height + 1) if height > wanted_height else 0
        x = draws.integer(0, width - wanted_width + 1) if width > wanted_width else 0
        return {"crop": (y, x, wanted_height, wanted_width) if (height, width) != (wanted_height, wanted_width)
                else None,
                "padding": [left, top, right, bottom]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if any(params["padding"]):
            inpt = self._call_kernel(F.pad, inpt, padding=params["padding"], fill=fill_for(self._fill, inpt),
                                     padding_mode=self.padding_mode)
        return inpt if params["crop"] is None else self._call_kernel(F.crop, inpt, *params["crop"])


class RandomZoomOut(RandomApplyTransform):
    """The picture somewhere on a larger canvas, with probability p."""

    def __init__(self, fill: Any = 0, side_range: Any = (1.0, 4.0), p: float = 0.5):
        super().__init__(p=p)
        self.fill, self._fill, self.side_range = fill, fills(fill), side_range
        check_sequence(side_range, "side_range", (2,))
        if side_range[0] < 1.0 or side_range[0] > side_range[1]:
            raise ValueError(f"Invalid side range provided {side_range}.")

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        scale = self.side_range[0] + draws.units(1)[0] * (self.side_range[1] - self.side_range[0])
        across, down = int(width * scale) - width, int(height * scale) - height
        r = draws.units(2)
        left, top = int(across * r[0]), int(down * r[1])
        return {"padding": [left, top, across - left, down - top]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.pad, inpt, **params, fill=fill_for(self._fill, inpt))


class RandomRotation(Transform):
    """Turned by an angle between two."""

    _v1_transform_cls = v1.RandomRotation

    def __init__(self, degrees: Any, interpolation: Any = "nearest", expand: bool = False, center: Any = None,
                 fill: Any = 0):
        super().__init__()
        self.degrees = angle_range(degrees, "degrees")
        self.interpolation, self.expand, self.fill, self._fill = interpolation, expand, fill, fills(fill)
        if center is not None:
            check_sequence(center, "center", (2,))
        self.center = center

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"angle": draws.between(*self.degrees)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.rotate, inpt, **params, interpolation=self.interpolation, expand=self.expand,
                                 center=self.center, fill=fill_for(self._fill, inpt))


class RandomAffine(Transform):
    """Rotated, moved, scaled and sheared, each within a range."""

    _v1_transform_cls = v1.RandomAffine

    def __init__(self, degrees: Any, translate: Any = None, scale: Any = None, shear: Any = None,
                 interpolation: Any = "nearest", fill: Any = 0, center: Any = None):
        super().__init__()
        self.degrees, self.translate, self.scale, self.shear = affine_ranges(degrees, translate, scale, shear)
        self.interpolation, self.fill, self._fill = interpolation, fill, fills(fill)
        if center is not None:
            check_sequence(center, "center", (2,))
        self.center = center

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        drawn = v1.RandomAffine.get_params(self.degrees, self.translate, self.scale, self.shear, [width, height])
        return dict(zip(("angle", "translate", "scale", "shear"), drawn))

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.affine, inpt, **params, interpolation=self.interpolation,
                                 fill=fill_for(self._fill, inpt), center=self.center)


class RandomPerspective(RandomApplyTransform):
    """The four corners moved inwards by chance, with probability p."""

    _v1_transform_cls = v1.RandomPerspective

    def __init__(self, distortion_scale: float = 0.5, p: float = 0.5, interpolation: Any = "bilinear", fill: Any = 0):
        super().__init__(p=p)
        if not 0 <= distortion_scale <= 1:
            raise ValueError("Argument distortion_scale value should be between 0 and 1")
        self.distortion_scale, self.interpolation, self.fill, self._fill = distortion_scale, interpolation, fill, fills(fill)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        return {"coefficients": perspective_coefficients(*perspective_corners(width, height, self.distortion_scale))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.perspective, inpt, startpoints=None, endpoints=None, fill=fill_for(self._fill, inpt),
                                 interpolation=self.interpolation, **params)


def number_or_pair(value: Any, name: str) -> list[float]:
    """Two floats of a number, or of a sequence of one or two."""
    if not isinstance(value, (int, float, Sequence)):
        raise TypeError(f"{name} should be a number or a sequence of numbers. Got {type(value)}")
    if isinstance(value, (int, float)):
        return [float(value)] * 2
    if len(value) not in (1, 2):
        raise ValueError(f"If {name} is a sequence its length should be 1 or 2. Got {len(value)}")
    if not all(isinstance(v, (int, float)) for v in value):
        raise ValueError(f"{name} should be a sequence of numbers. Got {[type(v) for v in value]}")
    return [float(value[0]), float(value[-1])]


class ElasticTransform(Transform):
    """Every part moved by a smooth random field."""

    _v1_transform_cls = v1.ElasticTransform

    def __init__(self, alpha: Any = 50.0, sigma: Any = 5.0, interpolation: Any = "bilinear", fill: Any = 0):
        super().__init__()
        self.alpha, self.sigma = number_or_pair(alpha, "alpha"), number_or_pair(sigma, "sigma")
        self.interpolation, self.fill, self._fill = interpolation, fill, fills(fill)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"displacement": displacement(self.alpha, self.sigma, query_size(flat_inputs))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.elastic, inpt, **params, fill=fill_for(self._fill, inpt),
                                 interpolation=self.interpolation)
