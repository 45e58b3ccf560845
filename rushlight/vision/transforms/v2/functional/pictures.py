"""What each transform does to pictures: the functions of v1, where v2 does the same, and those that are new."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from rushlight.ir.dtype import DType
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.drawing import randn_like
from rushlight.vision.transforms import draws
from rushlight.vision.transforms import functional as F1
from rushlight.vision.transforms.functional.geometry import check_max_size, resize_to
from rushlight.vision.transforms.functional.pixels import on_pixels
from rushlight.vision.transforms.functional.warps import perspective_by
from rushlight.vision.transforms.interpolation import InterpolationMode
from rushlight.vision.transforms.kernels.ranges import maximum
from rushlight.vision.transforms.v2.functional import levels
from rushlight.vision.transforms.v2.functional.dispatch import PICTURES, mode_from
from rushlight.vision.transforms.v2.functional.projection import coefficients_of


def _resize(inpt: Any, size: Any, interpolation: Any = "bilinear", max_size: int | None = None,
            antialias: bool | None = True) -> Any:
    check_max_size(size, max_size)
    if isinstance(inpt, Tensor) and mode_from(interpolation) is InterpolationMode.LANCZOS and not antialias:
        raise ValueError("InterpolationMode.LANCZOS requires antialias=True")
    return resize_to(inpt, [size] if isinstance(size, int) else size, mode_from(interpolation), max_size,
                     antialias if isinstance(inpt, Tensor) else True, bytes_between=True)


def _affine(inpt: Any, *args: Any, interpolation: Any = "nearest", **kwargs: Any) -> Any:
    return F1.affine(inpt, *args, interpolation=mode_from(interpolation), **kwargs)  # type: ignore[misc]


def _rotate(inpt: Any, angle: float, interpolation: Any = "nearest", **kwargs: Any) -> Any:
    turns = angle % 360 / 90
    if isinstance(inpt, Tensor) and kwargs.get("center") is None and turns in (0, 1, 2, 3):  # exact, whatever the interpolation
        height, width = inpt._spec.shape[-2:]
        if turns in (0, 2) or height == width or kwargs.get("expand"):
            return on_pixels(np.rot90, inpt, int(turns), (-2, -1), name="rotate")
    return F1.rotate(inpt, angle, interpolation=mode_from(interpolation), **kwargs)


def _perspective(inpt: Any, startpoints: Any, endpoints: Any, interpolation: Any = "bilinear", fill: Any = None,
                 coefficients: Any = None) -> Any:
    return perspective_by(inpt, coefficients_of(startpoints, endpoints, coefficients), mode_from(interpolation), fill)


def _elastic(inpt: Any, displacement: Any, interpolation: Any = "bilinear", fill: Any = None) -> Any:
    return F1.elastic_transform(inpt, displacement, mode_from(interpolation), fill)


def _resized_crop(inpt: Any, top: int, left: int, height: int, width: int, size: Any, interpolation: Any = "bilinear",
                  antialias: bool | None = True) -> Any:
    return _resize(F1.crop(inpt, top, left, height, width), size, interpolation, antialias=antialias)


def _pad(inpt: Any, padding: Any, fill: Any = None, padding_mode: str = "constant") -> Any:
    if isinstance(inpt, Tensor) and padding_mode in ("edge", "reflect", "symmetric") and isinstance(fill, (tuple, list)) and len(fill) > 1:
        raise ValueError(f"Padding mode '{padding_mode}' is not supported if fill is not scalar")
    return F1.pad(inpt, padding, 0 if fill is None else fill, padding_mode)


def _grayscale_to_rgb(inpt: Any) -> Any:
    channels = F1.get_dimensions(inpt)[0]
    if not isinstance(inpt, Tensor):
        return inpt.convert("RGB") if inpt.mode != "RGB" else inpt
    if channels >= 3:
        return inpt
    return wrap(np.repeat(unwrap(inpt), 3, -3))


def _gaussian_noise(inpt: Any, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> Any:
    if not isinstance(inpt, Tensor):
        raise ValueError("Gaussian Noise is not implemented for PIL images.")
    if sigma < 0:
        raise ValueError(f"sigma shouldn't be negative. Got {sigma}")
    if inpt.dtype.is_floating_point:  # numbers of the picture's own type, as PyTorch draws them
        noisy_floats: Any = inpt + (mean + randn_like(inpt) * sigma)
        return noisy_floats.clamp(0, 1) if clip else noisy_floats
    pixels = unwrap(inpt)
    if pixels.dtype != np.uint8:
        raise ValueError(f"Input tensor must be float or uint8, got {inpt.dtype}")
    noise = (np.float32(mean * 255) + draws.normals(*pixels.shape) * np.float32(sigma * 255)).astype(np.int16)
    noisy = pixels.astype(np.int16) + noise
    return wrap((np.clip(noisy, 0, 255) if clip else noisy).astype(np.uint8))


def _permute_channels(inpt: Any, permutation: Sequence[int]) -> Any:
    order = [int(i) for i in permutation]
    channels = F1.get_dimensions(inpt)[0]
    if len(order) != channels:
        raise ValueError(f"Length of permutation does not match number of channels: {len(order)} != {channels}")
    if isinstance(inpt, Tensor):
        return wrap(unwrap(inpt)[..., order, :, :])
    from PIL import Image
    bands = inpt.split()
    return Image.merge(inpt.mode, [bands[i] for i in order])


def _jpeg(inpt: Any, quality: int) -> Any:
    from PIL import Image
    if isinstance(inpt, Tensor):
        pixels = unwrap(inpt)
        flat = pixels.reshape(-1, *pixels.shape[-3:])
        done = [np.asarray(_jpeg(F1.to_pil_image(wrap(p.copy())), quality)) for p in flat]
        return wrap(np.stack([np.moveaxis(np.atleast_3d(p), -1, 0) for p in done]).reshape(pixels.shape))
    target = io.BytesIO()
    inpt.save(target, format="JPEG", quality=quality)
    image = Image.open(target)
    image.load()
    return image


def _to_dtype(inpt: Any, dtype: DType, scale: bool = False) -> Any:
    if not isinstance(inpt, Tensor):
        raise TypeError(f"to_dtype is for tensors, got {type(inpt)}; to_image makes one of a PIL image")
    kinds = [t for t in (inpt.dtype, dtype) if not t.is_floating_point]
    if scale and inpt.dtype is not dtype and len(kinds) == 2 and "bool" in (kinds[0].name, kinds[1].name):
        raise TypeError("Number of value bits is only defined for integer dtypes, but got torch.bool.")
    if scale and kinds == [inpt.dtype]:  # times one over the brightest value, where v1 divides: the last bit is another
        return inpt.to(dtype).mul_(1.0 / maximum(inpt.dtype.numpy))  # type: ignore[attr-defined]
    return F1.convert_image_dtype(inpt, dtype) if scale else inpt.to(dtype)  # type: ignore[attr-defined]


PICTURES.update({
    "horizontal_flip": F1.hflip, "vertical_flip": F1.vflip, "resize": _resize, "affine": _affine, "rotate": _rotate,
    "pad": _pad, "crop": F1.crop,
    "perspective": _perspective, "elastic": _elastic, "center_crop": F1.center_crop, "resized_crop": _resized_crop,
    "five_crop": F1.five_crop,
    "ten_crop": F1.ten_crop, "rgb_to_grayscale": levels.rgb_to_grayscale, "grayscale_to_rgb": _grayscale_to_rgb,
    "adjust_brightness": F1.adjust_brightness, "adjust_contrast": levels.adjust_contrast,
    "adjust_saturation": levels.adjust_saturation,
    "adjust_hue": levels.adjust_hue, "adjust_gamma": levels.adjust_gamma, "adjust_sharpness": levels.adjust_sharpness,
    "invert": levels.invert,
    "posterize": levels.posterize, "solarize": levels.solarize, "autocontrast": levels.autocontrast,
    "equalize": levels.equalize,
    "gaussian_blur": F1.gaussian_blur, "gaussian_noise": _gaussian_noise, "normalize": F1.normalize,
    "permute_channels": _permute_channels,
    "jpeg": _jpeg, "to_dtype": _to_dtype,
    "erase": lambda inpt, i, j, h, w, v, inplace=False: _erase(inpt, i, j, h, w, v, inplace),
})


def _erase(inpt: Any, i: int, j: int, h: int, w: int, v: Any, inplace: bool) -> Any:
    """PIL images too, by way of a tensor."""
    if isinstance(inpt, Tensor):
        return F1.erase(inpt, i, j, h, w, v, inplace)
    return F1.to_pil_image(F1.erase(F1.pil_to_tensor(inpt), i, j, h, w, v), mode=inpt.mode)
