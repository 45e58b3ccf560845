"""Colours and levels, blur and sharpness, of PIL images and tensors (..., C, H, W)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.vision.transforms import pillow
from rushlight.vision.transforms.functional.conversion import pil_to_tensor, to_pil_image
from rushlight.vision.transforms.functional.pixels import check_channels, check_tensor, is_pil_image, on_pixels
from rushlight.vision.transforms.kernels import blur, color, histogram
from rushlight.vision.transforms.kernels.ranges import maximum


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """Gray, 0.2989·r + 0.587·g + 0.114·b, in one channel or three equal ones; a gray tensor stays as it is."""
    if not isinstance(img, Tensor):
        return pillow.grayscale(img, num_output_channels)
    check_tensor(img, 3)
    channels = check_channels(img)
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    pixels = unwrap(img)
    gray = color.grayscale(pixels) if channels == 3 else pixels.copy()
    shape = (*pixels.shape[:-3], num_output_channels if channels == 3 else 1, *pixels.shape[-2:])
    return wrap(np.broadcast_to(gray, shape))


def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """A PIL image in gray, in one channel or three."""
    if not is_pil_image(img):
        raise TypeError("Input should be PIL Image")
    return pillow.grayscale(img, num_output_channels)


def _adjusted(img: Any, name: str, enhancer: str, factor: float,
              kernel: Callable[[np.ndarray, float], np.ndarray]) -> Any:
    if not isinstance(img, Tensor):
        return pillow.enhance(img, enhancer, factor)
    if factor < 0:
        raise ValueError(f"{name} ({factor}) is not non-negative.")
    check_tensor(img)
    check_channels(img)
    return on_pixels(kernel, img, float(factor), name=f"adjust_{name.removesuffix('_factor')}")


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """Pixels times a factor: 0 is black, 1 the picture."""
    return _adjusted(img, "brightness_factor", "Brightness", brightness_factor, lambda p, f: color.blend(p, 0.0, f))


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """Blended with its mean brightness: 0 is flat gray, 1 the picture."""
    return _adjusted(img, "contrast_factor", "Contrast", contrast_factor, _planar(color.contrast))


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """Blended with its gray version: 0 is gray, 1 the picture."""
    return _adjusted(img, "saturation_factor", "Color", saturation_factor, _planar(color.saturation))


def adjust_sharpness(img: Any, sharpness_factor: float) -> Any:
    """Blended with a smoothed version: 0 is blurred, 1 the picture, 2 sharper."""
    return _adjusted(img, "sharpness_factor", "Sharpness", sharpness_factor, blur.sharpness)


def _planar(kernel: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """A kernel of (..., C, H, W) for (H, W) as well."""
    def run(pixels: np.ndarray, *args: Any) -> np.ndarray:
        return kernel(pixels, *args) if pixels.ndim > 2 else kernel(pixels[None], *args)[0]
    return run


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """Colours turned by a part of the colour circle, -0.5 … 0.5."""
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    if not isinstance(img, Tensor):
        return pillow.hue(img, hue_factor)
    check_tensor(img)
    return img if check_channels(img) == 1 else on_pixels(color.hue, img, hue_factor, name="adjust_hue")


def adjust_gamma(img: Any, gamma: float, gain: float = 1) -> Any:
    """gain·v ** gamma, where v runs from 0 to 1; a gamma above 1 makes shadows darker."""
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    if not isinstance(img, Tensor):
        return pillow.gamma(img, gamma, gain)
    check_channels(img)
    return on_pixels(color.gamma, img, gamma, gain, name="adjust_gamma")


def _levels(img: Any, name: str, kernel: Callable[..., np.ndarray], *args: Any, bytes_only: bool = False) -> Any:
    """An operation that Pillow's ImageOps has under the same name."""
    if not isinstance(img, Tensor):
        return pillow.operation(img, name, *args)
    check_tensor(img, 3)
    if bytes_only and img.dtype.numpy != np.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {img.dtype}; use convert_image_dtype(image, torch.uint8)")
    check_channels(img)
    return on_pixels(kernel, img, *args, name=name)


def invert(img: Any) -> Any:
    """The negative: the brightest value minus each pixel."""
    return _levels(img, "invert", color.invert)


def posterize(img: Any, bits: int) -> Any:
    """Bytes with only their highest ``bits`` kept."""
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    return _levels(img, "posterize", color.posterize, bits, bytes_only=True)


def solarize(img: Any, threshold: float) -> Any:
    """Pixels from a threshold on inverted."""
    if isinstance(img, Tensor) and threshold > maximum(img.dtype.numpy):
        raise TypeError("Threshold should be less than bound of img.")
    return _levels(img, "solarize", color.solarize, threshold)


def autocontrast(img: Any) -> Any:
    """Each channel stretched over the whole range."""
    return _levels(img, "autocontrast", histogram.autocontrast)


def equalize(img: Any) -> Any:
    """Each channel of bytes with its levels made about equally frequent."""
    return _levels(img, "equalize", histogram.equalize, bytes_only=True)


def gaussian_blur(img: Any, kernel_size: Any, sigma: Any = None) -> Any:
    """Blurred with a Gaussian of odd size; sigma is 0.15·size + 0.35 unless given. Pairs are (horizontal, vertical)."""
    sizes, sigmas = gaussian_arguments(kernel_size, sigma)
    if isinstance(img, Tensor):
        check_tensor(img)
        return on_pixels(blur.gaussian_blur, img, sizes, sigmas)
    if not is_pil_image(img):
        raise TypeError(f"img should be PIL Image or Tensor. Got {type(img)}")
    return to_pil_image(wrap(blur.gaussian_blur(unwrap(pil_to_tensor(img)), sizes, sigmas)), mode=img.mode)


def gaussian_arguments(kernel_size: Any, sigma: Any) -> tuple[list[int], list[float]]:
    """Two sizes and two sigmas; TypeError and ValueError where they cannot be."""
    if not isinstance(kernel_size, (int, list, tuple)):
        raise TypeError(f"kernel_size should be int or a sequence of integers. Got {type(kernel_size)}")
    sizes = [kernel_size, kernel_size] if isinstance(kernel_size, int) else list(kernel_size)
    if len(sizes) != 2:
        raise ValueError(f"If kernel_size is a sequence its length should be 2. Got {len(sizes)}")
    if any(size % 2 == 0 or size < 0 for size in sizes):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {sizes}")
    if sigma is None:
        return sizes, [size * 0.15 + 0.35 for size in sizes]
    if not isinstance(sigma, (int, float, list, tuple)):
        raise TypeError(f"sigma should be either float or sequence of floats. Got {type(sigma)}")
    sigmas = [float(sigma)] * 2 if isinstance(sigma, (int, float)) else list(sigma) * (2 if len(sigma) == 1 else 1)
    if len(sigmas) != 2:
        raise ValueError(f"If sigma is a sequence, its length should be 2. Got {len(sigmas)}")
    if any(s <= 0.0 for s in sigmas):
        raise ValueError(f"sigma should have positive values. Got {sigmas}")
    return sizes, sigmas
