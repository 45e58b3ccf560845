"""Transforms v2 of colours and levels."""

from __future__ import annotations

from typing import Any

from rushlight.vision import transforms as v1
from rushlight.vision.transforms import draws
from rushlight.vision.transforms.arguments import pair_of_sizes
from rushlight.vision.transforms.color import factor_range, jitter
from rushlight.vision.transforms.v2 import functional as F
from rushlight.vision.transforms.v2.random_geometry import number_or_pair
from rushlight.vision.transforms.v2.transform import RandomApplyTransform, Transform, query_chw

CHANGES = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")


class Grayscale(Transform):
    """Gray, in one channel or three."""

    _v1_transform_cls = v1.Grayscale

    def __init__(self, num_output_channels: int = 1):
        super().__init__()
        self.num_output_channels = num_output_channels

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.rgb_to_grayscale, inpt, num_output_channels=self.num_output_channels)


class RandomGrayscale(RandomApplyTransform):
    """Gray with as many channels as before, with probability p."""

    _v1_transform_cls = v1.RandomGrayscale

    def __init__(self, p: float = 0.1):
        super().__init__(p=p)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"num_output_channels": query_chw(flat_inputs)[0]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.rgb_to_grayscale, inpt, **params)


class RGB(Transform):
    """Three channels of a gray picture."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.grayscale_to_rgb, inpt)


class _Changes(Transform):
    """Base of transforms that change brightness, contrast, saturation and hue."""

    def _changed(self, inpt: Any, which: int, factor: float | None) -> Any:
        functional = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)[which]
        return inpt if factor is None else self._call_kernel(functional, inpt, factor)


class ColorJitter(_Changes):
    """Brightness, contrast, saturation and hue changed by chance, in an order drawn by chance."""

    _v1_transform_cls = v1.ColorJitter

    def __init__(self, brightness: Any = None, contrast: Any = None, saturation: Any = None, hue: Any = None):
        super().__init__()
        ranges = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        self.brightness, self.contrast, self.saturation = (None if v is None else factor_range(v, name)
                                                           for name, v in ranges.items())
        self.hue = None if hue is None else factor_range(hue, "hue", center=0, bound=(-0.5, 0.5), clip=False)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        order, factors = jitter([self.brightness, self.contrast, self.saturation, self.hue])
        return {"fn_idx": order, **dict(zip(CHANGES, factors))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        for which in params["fn_idx"]:
            inpt = self._changed(inpt, which, params[CHANGES[which]])
        return inpt


class RandomPhotometricDistort(_Changes):
    """Each change with probability p, contrast before or after the others, then channels exchanged (as for training
    SSD)."""

    def __init__(self, brightness: tuple[float, float] = (0.875, 1.125), contrast: tuple[float, float] = (0.5, 1.5),
                 saturation: tuple[float, float] = (0.5, 1.5), hue: tuple[float, float] = (-0.05, 0.05),
                 p: float = 0.5):
        super().__init__()
        self.brightness, self.contrast, self.hue, self.saturation, self.p = brightness, contrast, hue, saturation, p

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        channels, _, _ = query_chw(flat_inputs)
        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        params: dict[str, Any] = {name: draws.between(*r) if draws.unit() < self.p else None
                                  for name, r in zip(CHANGES, ranges)}
        params["contrast_before"] = draws.unit() < 0.5
        params["channel_permutation"] = draws.permutation(channels) if draws.unit() < self.p else None
        return params

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        for which in (0, 1, 2, 3) if params["contrast_before"] else (0, 2, 3, 1):
            inpt = self._changed(inpt, which, params[CHANGES[which]])
        order = params["channel_permutation"]
        return inpt if order is None else self._call_kernel(F.permute_channels, inpt, permutation=order)


class RandomChannelPermutation(Transform):
    """Channels in an order drawn by chance."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"permutation": draws.permutation(query_chw(flat_inputs)[0])}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.permute_channels, inpt, params["permutation"])


class RandomEqualize(RandomApplyTransform):
    """Levels made equally frequent, with probability p."""

    _v1_transform_cls = v1.RandomEqualize

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.equalize, inpt)


class RandomInvert(RandomApplyTransform):
    """The negative, with probability p."""

    _v1_transform_cls = v1.RandomInvert

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.invert, inpt)


class RandomAutocontrast(RandomApplyTransform):
    """Levels stretched over the whole range, with probability p."""

    _v1_transform_cls = v1.RandomAutocontrast

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.autocontrast, inpt)


class RandomPosterize(RandomApplyTransform):
    """Only the highest bits kept, with probability p."""

    _v1_transform_cls = v1.RandomPosterize

    def __init__(self, bits: int, p: float = 0.5):
        super().__init__(p=p)
        self.bits = bits

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.posterize, inpt, bits=self.bits)


class RandomSolarize(RandomApplyTransform):
    """Pixels from a threshold on inverted, with probability p."""

    _v1_transform_cls = v1.RandomSolarize

    def __init__(self, threshold: float, p: float = 0.5):
        super().__init__(p=p)
        self.threshold = threshold

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.solarize, inpt, threshold=self.threshold)


class RandomAdjustSharpness(RandomApplyTransform):
    """Sharpened or blurred, with probability p."""

    _v1_transform_cls = v1.RandomAdjustSharpness

    def __init__(self, sharpness_factor: float, p: float = 0.5):
        super().__init__(p=p)
        self.sharpness_factor = sharpness_factor

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.adjust_sharpness, inpt, sharpness_factor=self.sharpness_factor)


class GaussianBlur(Transform):
    """Blurred with a sigma drawn from a range."""

    _v1_transform_cls = v1.GaussianBlur

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0)):
        super().__init__()
        self.kernel_size = pair_of_sizes(kernel_size, "Kernel size should be a tuple/list of two integers")
        if any(size <= 0 or size % 2 == 0 for size in self.kernel_size):
            raise ValueError("Kernel size value should be an odd and positive number.")
        self.sigma = number_or_pair(sigma, "sigma")
        if not 0.0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(f"sigma values should be positive and of the form (min, max). Got {self.sigma}")

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        sigma = draws.between(*self.sigma)
        return {"sigma": [sigma, sigma]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.gaussian_blur, inpt, self.kernel_size, **params)


class GaussianNoise(Transform):
    """Normal noise added; 1 is the whole range."""

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True):
        super().__init__()
        self.mean, self.sigma, self.clip = mean, sigma, clip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.gaussian_noise, inpt, mean=self.mean, sigma=self.sigma, clip=self.clip)
