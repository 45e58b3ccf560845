"""The two kinds of pictures: what they are, how large, and how NumPy kernels are applied to tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.autograd.grad_mode import is_grad_enabled
from rushlight.tensor.core import Tensor, unwrap, wrap


def is_pil_image(img: Any) -> bool:
    """Whether img is a PIL image, without importing Pillow for the question."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(img).__mro__)


def follows_gradient(img: Tensor) -> bool:
    """Whether what is done to the tensor has to be recorded for backward."""
    return img.requires_grad and is_grad_enabled()


def on_pixels(kernel: Callable[..., np.ndarray], img: Tensor, *args: Any, name: str = "") -> Tensor:
    """kernel(array, *args) as a tensor that shares no memory with the picture.

    NotImplementedError where a gradient would have to pass: kernels work on plain arrays.
    """
    if follows_gradient(img):
        raise NotImplementedError(f"{name or kernel.__name__} of a tensor that requires gradients is not provided: pass image.detach(), "
                                  "or compose it from operations of tensors")
    pixels = unwrap(img)
    result = kernel(pixels, *args)
    if result is pixels:
        return img
    return wrap(result.copy() if np.may_share_memory(result, pixels) else result)


def _no_picture(img: Any) -> TypeError:
    return TypeError(f"Unexpected type {type(img)}; pass a PIL image or a tensor (..., C, H, W)")


def check_tensor(img: Tensor, least: int = 2) -> None:
    """TypeError for tensors of too few dimensions to be a picture."""
    n = len(img._spec.shape)
    if n < 2:
        raise TypeError(f"Tensor is not a torch image. Got {n} dimensions, expected (..., C, H, W).")
    if n < least:
        raise TypeError(f"Input image tensor should have at least {least} dimensions, but found {n}")


def check_channels(img: Tensor, permitted: tuple[int, ...] = (1, 3)) -> int:
    """The number of channels; TypeError where an operation does not permit it."""
    channels = get_dimensions(img)[0]
    if channels not in permitted:
        raise TypeError(f"Input image tensor permitted channel values are {list(permitted)}, but found {channels}")
    return channels


def get_dimensions(img: Any) -> list[int]:
    """[channels, height, width] of a PIL image or a tensor.

    >>> import rushlight as rl
    >>> get_dimensions(rl.zeros(2, 3, 4, 5))
    [3, 4, 5]
    """
    if isinstance(img, Tensor):
        check_tensor(img)
        shape = img._spec.shape
        return [1 if len(shape) == 2 else shape[-3], shape[-2], shape[-1]]
    if is_pil_image(img):
        return [len(img.getbands()), img.height, img.width]
    raise _no_picture(img)


def get_image_size(img: Any) -> list[int]:
    """[width, height]."""
    return get_dimensions(img)[:0:-1]


def get_image_num_channels(img: Any) -> int:
    """How many channels."""
    return get_dimensions(img)[0]
