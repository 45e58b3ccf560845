"""Transforms as functions, under the names of torchvision.transforms.functional."""

from __future__ import annotations

from rushlight.vision.transforms.functional.color import (adjust_brightness, adjust_contrast, adjust_gamma, adjust_hue,
                                                          adjust_saturation, adjust_sharpness, autocontrast, equalize,
                                                          gaussian_blur, invert, posterize, rgb_to_grayscale, solarize,
                                                          to_grayscale)
from rushlight.vision.transforms.functional.conversion import convert_image_dtype, normalize, pil_to_tensor, to_pil_image, to_tensor
from rushlight.vision.transforms.functional.geometry import (center_crop, crop, erase, five_crop, hflip, pad, resize,
                                                             resized_crop, ten_crop, vflip)
from rushlight.vision.transforms.functional.pixels import get_dimensions, get_image_num_channels, get_image_size, is_pil_image
from rushlight.vision.transforms.functional.warps import affine, elastic_transform, perspective, rotate
from rushlight.vision.transforms.interpolation import InterpolationMode

__all__ = ["InterpolationMode", "adjust_brightness", "adjust_contrast", "adjust_gamma", "adjust_hue",
           "adjust_saturation",
           "adjust_sharpness", "affine", "autocontrast", "center_crop", "convert_image_dtype", "crop",
           "elastic_transform", "equalize",
           "erase", "five_crop", "gaussian_blur", "get_dimensions", "get_image_num_channels", "get_image_size", "hflip",
           "invert",
           "is_pil_image", "normalize", "pad", "perspective", "pil_to_tensor", "posterize", "resize", "resized_crop",
           "rgb_to_grayscale",
           "rotate", "solarize", "ten_crop", "to_grayscale", "to_pil_image", "to_tensor", "vflip"]
