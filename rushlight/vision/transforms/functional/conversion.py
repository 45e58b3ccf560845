"""Between PIL images, arrays and tensors, and between number types."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.creation import from_numpy, tensor
from rushlight.tensor.settings import get_default_dtype
from rushlight.vision.transforms.arithmetic import bytes_to_unit, channels_first, normalized
from rushlight.vision.transforms.functional.pixels import is_pil_image

MODES = {"I": np.int32, "I;16": np.uint16, "I;16B": np.uint16, "F": np.float32}  # of PIL; the others hold bytes
SIGNED = {np.dtype(np.uint16): np.int16}  # to_tensor gives 16-bit pictures as torchvision does, the upper half negative

ONE_CHANNEL = {"uint8": "L", "int16": "I;16", "uint16": "I;16", "int32": "I", "float32": "F"}
SEVERAL_CHANNELS = {2: ["LA"], 3: ["RGB", "YCbCr", "HSV"], 4: ["RGBA", "CMYK", "RGBX"]}


def pil_array(pic: Any) -> np.ndarray:
    """A PIL image as a fresh array (H, W, C)."""
    pixels = np.array(pic, MODES.get(pic.mode, np.uint8))
    if pic.mode == "1":
        pixels *= np.uint8(255)
    return pixels.reshape(pic.height, pic.width, -1)


def to_tensor(pic: Any) -> Tensor:
    """A PIL image or an array (H, W) or (H, W, C) as a tensor (C, H, W); bytes become floats from 0 to 1.

    >>> to_tensor(np.array([[0, 255]], np.uint8))
    tensor([[[0., 1.]]])
    """
    if is_pil_image(pic):
        pixels = channels_first(pil_array(pic))
    elif not isinstance(pic, np.ndarray):
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    elif pic.ndim not in (2, 3):
        raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
    else:
        pixels = channels_first(pic if pic.ndim == 3 else pic[:, :, None])
    if pixels.dtype == np.uint8:
        return wrap(bytes_to_unit(pixels, get_default_dtype()))
    return from_numpy(pixels.view(SIGNED.get(pixels.dtype, pixels.dtype)) if is_pil_image(pic) else pixels)


def pil_to_tensor(pic: Any) -> Tensor:
    """A PIL image as a tensor (C, H, W) of the same numbers."""
    if not is_pil_image(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    pixels = channels_first(pil_array(pic))
    return wrap(pixels.astype(bool) if pic.mode == "1" else pixels)


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """A tensor (C, H, W) or an array (H, W, C), or (H, W) of either, as a PIL image.

    Floats are taken to run from 0 to 1 (mode "F" keeps them). ``mode`` chooses among PIL's modes of that many channels.
    TypeError and ValueError for other types, shapes and modes.

    >>> to_pil_image(np.zeros((2, 3), np.uint8)).size
    (3, 2)
    """
    pixels = _last_channels(pic)
    if pixels.dtype.kind == "f" and mode != "F":
        pixels = (pixels * 255).astype(np.uint8)
    mode = _pil_mode(pixels, mode)
    from PIL import Image
    height, width = pixels.shape[:2]
    return Image.frombytes(mode, (width, height), np.ascontiguousarray(pixels).tobytes())


def _last_channels(pic: Any) -> np.ndarray:
    if isinstance(pic, Tensor):
        pixels = unwrap(pic)
        pixels = np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels
    elif isinstance(pic, np.ndarray):
        pixels = pic
    else:
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    if pixels.ndim not in (2, 3):
        raise ValueError(f"pic should be 2/3 dimensional. Got {pixels.ndim} dimensions.")
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
    if pixels.shape[-1] > 4:
        raise ValueError(f"pic should not have > 4 channels. Got {pixels.shape[-1]} channels.")
    return pixels


def _pil_mode(pixels: np.ndarray, mode: str | None) -> str:
    channels, byte = pixels.shape[2], pixels.dtype == np.uint8
    if channels == 1:
        expected = ONE_CHANNEL.get(pixels.dtype.name)
        if mode is not None and mode != expected:
            raise ValueError(f"Incorrect mode ({mode}) supplied for input type {pixels.dtype}. Should be {expected}")
        mode = expected
    else:
        permitted = SEVERAL_CHANNELS[channels]
        if mode is not None and mode not in permitted:
            raise ValueError(f"Only modes {permitted} are supported for {channels}D inputs")
        mode = mode or (permitted[0] if byte else None)
    if mode is None or (channels > 1 and not byte):
        raise TypeError(f"Input type {pixels.dtype} is not supported")
    return mode


def normalize(tensor: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:  # noqa: A002
    """(tensor - mean) / std per channel of a float tensor (..., C, H, W).

    >>> normalize(to_tensor(np.array([[0, 255]], np.uint8)), (0.5,), (0.5,))
    tensor([[[-1.,  1.]]])
    """
    _check_float_image(tensor, std)
    fits = {np.size(_numbers(mean)), np.size(_numbers(std))} <= {1, tensor._spec.shape[-3]}  # else an error of tensors
    if fits and tensor.dtype in (dtypes.float32, dtypes.float64) and not inplace and not tensor.requires_grad:
        return wrap(normalized(unwrap(tensor), _numbers(mean), _numbers(std)))
    mean, std = _channel_tensor(mean, tensor.dtype), _channel_tensor(std, tensor.dtype)
    return tensor.sub_(mean).div_(std) if inplace else (tensor - mean) / std  # type: ignore[attr-defined, no-any-return]


def _check_float_image(image: Any, std: Any) -> None:
    if not isinstance(image, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(image)}")
    if not image.dtype.is_floating_point:
        raise TypeError(f"Input tensor should be a float tensor. Got {image.dtype}.")
    if len(image._spec.shape) < 3:
        raise ValueError(f"Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {image.size()}")  # type: ignore[attr-defined]
    if (np.asarray(_numbers(std), image.dtype.numpy) == 0).any():
        raise ValueError(f"std evaluated to zero after conversion to {image.dtype}, leading to division by zero.")


def _numbers(values: Any) -> Any:
    return unwrap(values) if isinstance(values, Tensor) else values


def _channel_tensor(values: Any, dtype: DType) -> Tensor:
    made = values.to(dtype) if isinstance(values, Tensor) else tensor(values, dtype=dtype)  # type: ignore[attr-defined]
    return made.view(-1, 1, 1) if made.dim() else made  # type: ignore[union-attr]


def convert_image_dtype(image: Tensor, dtype: DType = dtypes.float32) -> Tensor:
    """An image in another dtype, its values scaled so that the brightest value stays the brightest.

    Floats range over 0..1, integers over 0..their maximum. Float to integer multiplies by (maximum + 1 - 1e-3) and
    truncates; integer to smaller integer divides by the ratio of the ranges, to larger multiplies.
    """
    if not isinstance(image, Tensor):
        raise TypeError("Input img should be Tensor Image")
    source = image.dtype
    if source is dtype:
        return image
    if source.is_floating_point:
        return _from_float(image, dtype)
    top = _maximum(source)
    if dtype.is_floating_point:
        return image.to(dtype) / top  # type: ignore[attr-defined,no-any-return]
    wanted = _maximum(dtype)
    if top > wanted:
        return (image // ((top + 1) // (wanted + 1))).to(dtype)  # type: ignore[attr-defined, no-any-return, operator]
    return image.to(dtype) * ((wanted + 1) // (top + 1))  # type: ignore[attr-defined,no-any-return]


def _from_float(image: Any, dtype: DType) -> Tensor:
    if dtype.is_floating_point:
        return image.to(dtype)  # type: ignore[no-any-return]
    too_wide = {dtypes.float32: (dtypes.int32, dtypes.int64), dtypes.float64: (dtypes.int64,)}.get(image.dtype, ())
    if dtype in too_wide:
        raise RuntimeError(f"The cast from {image.dtype} to {dtype} cannot be performed safely.")
    return image.mul(_maximum(dtype) + 1 - 1e-3).to(dtype)  # type: ignore[no-any-return]


def _maximum(dtype: DType) -> int:
    return 1 if dtype is dtypes.bool_ else int(np.iinfo(dtype.numpy).max)
