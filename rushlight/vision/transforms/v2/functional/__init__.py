"""Transforms v2 as functions: of PIL images, tensors, and the kinds of tv_tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ir import dtype as _dtypes
from rushlight.tensor.core import Tensor
from rushlight.tensor.sequences import linspace
from rushlight.vision.transforms.functional import pil_to_tensor, to_pil_image, to_tensor
from rushlight.vision.transforms.functional.pixels import is_pil_image
from rushlight.vision.transforms.interpolation import InterpolationMode
from rushlight.vision.transforms.v2.functional import annotated as _annotated  # noqa: F401
from rushlight.vision.transforms.v2.functional import pictures as _pictures  # noqa: F401
from rushlight.vision.transforms.v2.functional.dispatch import PICTURES, STILL, dispatch, is_pure_tensor, kernel_for, register_kernel
from rushlight.vision.transforms.v2.functional.meta import (clamp_bounding_boxes, clamp_keypoints,
                                                            convert_bounding_box_format, get_dimensions,
                                                            get_num_channels, get_num_frames, get_size,
                                                            sanitize_bounding_boxes, sanitize_keypoints)
from rushlight.vision.tv_tensors.base import plain
from rushlight.vision.tv_tensors.base import wrap as as_kind
from rushlight.vision.tv_tensors.pictures import Image, Video

get_image_size = get_size


def horizontal_flip(inpt: Any) -> Any:
    """Left and right exchanged."""
    return dispatch("horizontal_flip", inpt)


def vertical_flip(inpt: Any) -> Any:
    """Top and bottom exchanged."""
    return dispatch("vertical_flip", inpt)


def resize(inpt: Any, size: Any, interpolation: Any = InterpolationMode.BILINEAR, max_size: int | None = None,
           antialias: bool | None = True) -> Any:
    """Another size: (height, width), the shorter edge, or with None the longer edge ``max_size``."""
    return dispatch("resize", inpt, size=size, interpolation=interpolation, max_size=max_size, antialias=antialias)


def affine(inpt: Any, angle: float, translate: Any, scale: float, shear: Any,
           interpolation: Any = InterpolationMode.NEAREST, fill: Any = None, center: Any = None) -> Any:
    """Rotated, sheared, scaled and moved."""
    return dispatch("affine", inpt, angle=angle, translate=translate, scale=scale, shear=shear,
                    interpolation=interpolation, fill=fill, center=center)


def rotate(inpt: Any, angle: float, interpolation: Any = InterpolationMode.NEAREST, expand: bool = False,
           center: Any = None, fill: Any = None) -> Any:
    """Turned by degrees against the clock."""
    return dispatch("rotate", inpt, angle=angle, interpolation=interpolation, expand=expand, center=center, fill=fill)


def pad(inpt: Any, padding: Any, fill: Any = None, padding_mode: str = "constant") -> Any:
    """Padded on the sides; the fill may have one number per channel."""
    return dispatch("pad", inpt, padding=padding, fill=fill, padding_mode=padding_mode)


def crop(inpt: Any, top: int, left: int, height: int, width: int) -> Any:
    """The window."""
    return dispatch("crop", inpt, top=top, left=left, height=height, width=width)


def center_crop(inpt: Any, output_size: Any) -> Any:
    """The window in the middle."""
    return dispatch("center_crop", inpt, output_size=output_size)


def resized_crop(inpt: Any, top: int, left: int, height: int, width: int, size: Any,
                 interpolation: Any = InterpolationMode.BILINEAR, antialias: bool | None = True) -> Any:
    """The window, resized."""
    return dispatch("resized_crop", inpt, top=top, left=left, height=height, width=width, size=size,
                    interpolation=interpolation, antialias=antialias)


def perspective(inpt: Any, startpoints: Any, endpoints: Any, interpolation: Any = InterpolationMode.BILINEAR,
                fill: Any = None, coefficients: Any = None) -> Any:
    """The projective map by four points, or by eight coefficients."""
    return dispatch("perspective", inpt, startpoints=startpoints, endpoints=endpoints, interpolation=interpolation,
                    fill=fill, coefficients=coefficients)


def elastic(inpt: Any, displacement: Any, interpolation: Any = InterpolationMode.BILINEAR, fill: Any = None) -> Any:
    """Every pixel taken from beside itself."""
    return dispatch("elastic", inpt, displacement=displacement, interpolation=interpolation, fill=fill)


def five_crop(inpt: Any, size: Any) -> Any:
    """Four corners and the middle."""
    return dispatch("five_crop", inpt, size)


def ten_crop(inpt: Any, size: Any, vertical_flip: bool = False) -> Any:
    """Five crops of the picture and of the flipped picture."""
    return dispatch("ten_crop", inpt, size, vertical_flip)


def rgb_to_grayscale(inpt: Any, num_output_channels: int = 1) -> Any:
    """Gray in one channel or three."""
    return dispatch("rgb_to_grayscale", inpt, num_output_channels=num_output_channels)


def grayscale_to_rgb(inpt: Any) -> Any:
    """Three channels of a gray picture; others stay."""
    return dispatch("grayscale_to_rgb", inpt)


def adjust_brightness(inpt: Any, brightness_factor: float) -> Any:
    """Pixels times a factor."""
    return dispatch("adjust_brightness", inpt, brightness_factor)


def adjust_contrast(inpt: Any, contrast_factor: float) -> Any:
    """Away from the mean brightness."""
    return dispatch("adjust_contrast", inpt, contrast_factor)


def adjust_saturation(inpt: Any, saturation_factor: float) -> Any:
    """Away from gray."""
    return dispatch("adjust_saturation", inpt, saturation_factor)


def adjust_hue(inpt: Any, hue_factor: float) -> Any:
    """Colours turned."""
    return dispatch("adjust_hue", inpt, hue_factor)


def adjust_gamma(inpt: Any, gamma: float, gain: float = 1) -> Any:
    """gain·v ** gamma."""
    return dispatch("adjust_gamma", inpt, gamma, gain)


def adjust_sharpness(inpt: Any, sharpness_factor: float) -> Any:
    """Away from a smoothed picture."""
    return dispatch("adjust_sharpness", inpt, sharpness_factor)


def invert(inpt: Any) -> Any:
    """The negative."""
    return dispatch("invert", inpt)


def posterize(inpt: Any, bits: int) -> Any:
    """Only the highest bits."""
    return dispatch("posterize", inpt, bits)


def solarize(inpt: Any, threshold: float) -> Any:
    """Bright pixels inverted."""
    return dispatch("solarize", inpt, threshold)


def autocontrast(inpt: Any) -> Any:
    """Levels stretched."""
    return dispatch("autocontrast", inpt)


def equalize(inpt: Any) -> Any:
    """Levels made equally frequent."""
    return dispatch("equalize", inpt)


def gaussian_blur(inpt: Any, kernel_size: Any, sigma: Any = None) -> Any:
    """Blurred with a Gaussian."""
    return dispatch("gaussian_blur", inpt, kernel_size, sigma)


def gaussian_noise(inpt: Any, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> Any:
    """Normal noise added, 1 being the whole range; ``clip`` keeps the range."""
    return dispatch("gaussian_noise", inpt, mean, sigma, clip)


def normalize(inpt: Any, mean: Any, std: Any, inplace: bool = False) -> Any:
    """(pixels - mean) / std per channel."""
    return dispatch("normalize", inpt, mean, std, inplace)


def permute_channels(inpt: Any, permutation: Any) -> Any:
    """Channels in another order."""
    return dispatch("permute_channels", inpt, permutation)


def jpeg(inpt: Any, quality: int) -> Any:
    """As it looks after JPEG compression."""
    return dispatch("jpeg", inpt, quality)


def erase(inpt: Any, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Any:
    """A window covered with ``v``."""
    return dispatch("erase", inpt, i, j, h, w, v, inplace)


def to_dtype(inpt: Any, dtype: Any = _dtypes.float32, scale: bool = False) -> Any:
    """Another number type, with ``scale`` so that the brightest value stays the brightest; boxes and masks are never
    scaled."""
    if kernel_for("to_dtype", inpt) is None and isinstance(inpt, Tensor):
        return inpt.to(dtype)  # type: ignore[attr-defined]
    return dispatch("to_dtype", inpt, dtype, scale)


def convert_image_dtype(image: Any, dtype: Any = _dtypes.float32) -> Any:
    """Any tensor in another number type, scaled; what it shows is forgotten unless both types are floats."""
    if isinstance(image, Tensor) and image.dtype.is_floating_point and dtype.is_floating_point:
        return image.to(dtype)  # type: ignore[attr-defined]
    return image if image.dtype is dtype else PICTURES["to_dtype"](plain(image) if isinstance(image, Tensor) else image, dtype, True)


def to_grayscale(inpt: Any, num_output_channels: int = 1) -> Any:
    """`rgb_to_grayscale`, by its older name."""
    return rgb_to_grayscale(inpt, num_output_channels)


def to_image(inpt: Any) -> Any:
    """A PIL image, an array (H, W, C) or a tensor as an Image."""
    if isinstance(inpt, np.ndarray):
        return Image(np.ascontiguousarray(np.moveaxis(np.atleast_3d(inpt), -1, 0)))
    if not (isinstance(inpt, Tensor) or is_pil_image(inpt)):
        raise TypeError(f"Input can either be a pure Tensor, a numpy array, or a PIL image, but got {type(inpt)} instead.")
    return Image(inpt)


def uniform_temporal_subsample(inpt: Any, num_samples: int) -> Any:
    """So many frames of a video (..., T, C, H, W), evenly from the first to the last.

    >>> import rushlight as rl
    >>> uniform_temporal_subsample(rl.arange(9.).reshape(9, 1, 1, 1), 3).flatten()
    tensor([0., 4., 8.])
    """
    if not (is_pure_tensor(inpt) or isinstance(inpt, Video)):
        raise TypeError(f"Functional F.uniform_temporal_subsample supports inputs of type Video and Tensor, but got {type(inpt)} instead.")
    frames = plain(inpt)
    places = linspace(0, frames.shape[-4] - 1, num_samples).long()  # type: ignore[attr-defined]
    out = frames.index_select(-4, places)  # type: ignore[attr-defined]
    return as_kind(out, like=inpt) if isinstance(inpt, Video) else out


# What the functions do to plain tensors that are known to be one kind: resize_image, crop_mask and so on.
globals().update({f"{name}_image": kernel for name, kernel in PICTURES.items()})
globals().update({f"{name}_video": kernel for name, kernel in PICTURES.items() if name not in STILL})
globals().update({f"{name}_mask": kernel for name, kernel in _annotated.MASKS.items()})
uniform_temporal_subsample_video = uniform_temporal_subsample
hflip, vflip, elastic_transform, get_image_num_channels = horizontal_flip, vertical_flip, elastic, get_num_channels

__all__ = ["InterpolationMode", "adjust_brightness", "adjust_contrast", "adjust_gamma", "adjust_hue",
           "adjust_saturation", "adjust_sharpness", "affine",
           "autocontrast", "center_crop", "clamp_bounding_boxes", "clamp_keypoints", "convert_bounding_box_format",
           "convert_image_dtype", "crop",
           "elastic", "elastic_transform", "equalize", "erase", "five_crop", "gaussian_blur", "gaussian_noise",
           "get_dimensions",
           "get_image_num_channels", "get_image_size", "get_num_channels", "get_num_frames", "get_size",
           "grayscale_to_rgb", "hflip",
           "horizontal_flip", "invert", "is_pure_tensor", "jpeg", "normalize", "pad", "permute_channels", "perspective",
           "pil_to_tensor", "posterize",
           "register_kernel", "resize", "resized_crop", "rgb_to_grayscale", "rotate", "sanitize_bounding_boxes",
           "sanitize_keypoints", "solarize",
           "ten_crop", "to_dtype", "to_grayscale", "to_image", "to_pil_image", "to_tensor", "uniform_temporal_subsample", "vertical_flip", "vflip"]
