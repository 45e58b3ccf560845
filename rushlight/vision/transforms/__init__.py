"""Transforms of pictures. A transform with ``batch(array)`` applies to all pictures of a batch at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rushlight.ir.dtype import float32
from rushlight.tensor.core import Tensor, wrap

Array = np.ndarray[Any, Any]


class Compose:
    """Several transforms one after the other."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]):
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        for t in self.transforms:
            img = t(img)
        return img

    def __repr__(self) -> str:
        return "\n".join([type(self).__name__ + "(", *(f"    {t}" for t in self.transforms), ")"])


class ToTensor:
    """A PIL picture or array (h, w, c) of uint8 as a float tensor (c, h, w) in [0, 1]."""

    def __call__(self, pic: Any) -> Tensor:
        array = np.asarray(pic)
        if array.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {array.ndim} dimensions.")
        array = array[:, :, None] if array.ndim == 2 else array
        array = np.ascontiguousarray(array.transpose(2, 0, 1))
        if array.dtype == bool:
            array = array.astype(np.uint8) * 255
        return wrap(array.astype(np.float32) / np.float32(255) if array.dtype == np.uint8 else np.array(array))

    def batch(self, images: Array) -> Array:
        """uint8 (n, h, w) or (n, h, w, c) → float32 (n, c, h, w)."""
        images = images[:, None] if images.ndim == 3 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        return images.astype(np.float32) / np.float32(255)

    def __repr__(self) -> str:
        return "ToTensor()"


class Normalize:
    """(x - mean) / std per channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False):
        self.mean, self.std, self.inplace = mean, std, inplace
        if any(s == 0 for s in std):
            raise ValueError(f"std evaluated to zero after conversion to {float32}, leading to division by zero.")

    def __call__(self, tensor: Any) -> Tensor:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
        if not tensor.is_floating_point():
            raise TypeError(f"Input tensor should be a float tensor. Got {tensor.dtype}.")
        if tensor.ndim < 3:
            raise ValueError(f"Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {tensor.size()}")
        mean, std = (wrap(np.array(v, tensor.dtype.numpy).reshape(-1, 1, 1)) for v in (self.mean, self.std))
        if self.inplace:
            return tensor.sub_(mean).div_(std)
        return (tensor - mean) / std

    def batch(self, images: Array) -> Array:
        """Float (n, c, h, w), normalised."""
        mean, std = (np.array(v, images.dtype).reshape(-1, 1, 1) for v in (self.mean, self.std))
        images = images - mean
        images /= std
        return images

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mean={self.mean}, std={self.std})"


class Lambda:
    """Any function as a transform."""

    def __init__(self, lambd: Callable[[Any], Any]):
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__}")
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class PILToTensor:
    """A PIL picture as a uint8 tensor (c, h, w)."""

    def __call__(self, pic: Any) -> Tensor:
        array = np.asarray(pic)
        array = array[:, :, None] if array.ndim == 2 else array
        return wrap(np.array(array.transpose(2, 0, 1), order="C"))

    def __repr__(self) -> str:
        return "PILToTensor()"


def whole_batch(transform: Any, images: Array) -> Array | None:
    """The transform applied to all pictures at once, None where some part of it can't."""
    steps = transform.transforms if type(transform) is Compose else [transform]
    if not steps or type(steps[0]) is not ToTensor or any(type(s) not in (ToTensor, Normalize) for s in steps):
        return None
    for s in steps:
        images = s.batch(images)
    return images
