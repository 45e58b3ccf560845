"""Transforms v2 between kinds and number types, and functions of one's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType
from rushlight.tensor.core import Tensor
from rushlight.vision import transforms as v1
from rushlight.vision.transforms.functional.pixels import is_pil_image
from rushlight.vision.transforms.v2 import functional as F
from rushlight.vision.transforms.v2.functional.dispatch import is_pure_tensor
from rushlight.vision.transforms.v2.transform import Transform, has_any
from rushlight.vision.transforms.whitening import check_whitening, whitened
from rushlight.vision.tv_tensors.base import TVTensor, plain
from rushlight.vision.tv_tensors.base import wrap as as_kind
from rushlight.vision.tv_tensors.pictures import Image, Video


class PILToTensor(Transform):
    """A PIL image as a tensor of the same numbers."""

    _transformed_types = (is_pil_image,)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.pil_to_tensor(inpt)


class ToTensor(Transform):
    """A PIL image or array as floats from 0 to 1; ToImage and ToDtype(torch.float32, scale=True) do it in two steps."""

    _transformed_types = (is_pil_image, np.ndarray)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_tensor(inpt)


class ToImage(Transform):
    """A PIL image, an array (H, W, C) or a plain tensor as an Image, without scaling."""

    _transformed_types = (is_pure_tensor, is_pil_image, np.ndarray)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_image(inpt)


class ToPILImage(Transform):
    """A tensor or array as a PIL image."""

    _transformed_types = (is_pure_tensor, Image, np.ndarray)

    def __init__(self, mode: str | None = None):
        super().__init__()
        self.mode = mode

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_pil_image(inpt, mode=self.mode)


class ToPureTensor(Transform):
    """Tensors that know what they show as plain ones."""

    _transformed_types = (TVTensor,)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return plain(inpt)


class ToDtype(Transform):
    """Another number type for pictures, or by kind: {Image: torch.float32, Mask: torch.int64, "others": None}.

    ``scale`` keeps the brightest value of a picture the brightest.
    """

    def __init__(self, dtype: Any, scale: bool = False):
        super().__init__()
        if not isinstance(dtype, (dict, DType)):
            raise ValueError(f"dtype must be a dict or a torch.dtype, got {type(dtype)} instead")
        if isinstance(dtype, dict) and Tensor in dtype and (Image in dtype or Video in dtype):
            warnings.warn("Got `dtype` values for `torch.Tensor` and either `tv_tensors.Image` or `tv_tensors.Video`. Note that a plain `torch.Tensor` "
                          "will *not* be transformed by this (or any other transformation) in case a picture is present in the input.", stacklevel=2)
        self.dtype, self.scale = dtype, scale

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        picture = is_pure_tensor(inpt) or isinstance(inpt, (Image, Video))
        if isinstance(self.dtype, DType):
            return self._call_kernel(F.to_dtype, inpt, self.dtype, self.scale) if picture else inpt
        if type(inpt) not in self.dtype and "others" not in self.dtype:
            raise ValueError(f"No dtype was specified for type {type(inpt)}. If you only need to convert the dtype of images or videos, you can just pass "
                             "e.g. dtype=torch.float32; a dict may have the key \"others\" as a catch-all.")
        dtype = self.dtype.get(type(inpt), self.dtype.get("others"))
        if dtype is None:
            if self.scale and picture:
                warnings.warn("scale was set to True but no dtype was specified for images or videos: no scaling will be done.", stacklevel=2)
            return inpt
        return F.to_dtype(inpt, dtype, self.scale and picture)


class ConvertImageDtype(Transform):
    """Another number type for pictures, scaled."""

    _v1_transform_cls = v1.ConvertImageDtype

    def __init__(self, dtype: Any = dtypes.float32):
        super().__init__()
        self.dtype = dtype

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_dtype(inpt, self.dtype, True) if isinstance(inpt, Tensor) else inpt


class Normalize(Transform):
    """(pixels - mean) / std per channel."""

    _v1_transform_cls = v1.Normalize

    def __init__(self, mean: Any, std: Any, inplace: bool = False):
        super().__init__()
        self.mean, self.std, self.inplace = list(mean), list(std), inplace

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        if has_any(flat_inputs, is_pil_image):
            raise TypeError(f"{type(self).__name__}() does not support PIL images.")

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(F.normalize, inpt, self.mean, self.std, self.inplace)


class LinearTransformation(Transform):
    """(flattened picture - mean) · matrix."""

    _v1_transform_cls = v1.LinearTransformation
    _transformed_types = (is_pure_tensor, Image, Video)

    def __init__(self, transformation_matrix: Any, mean_vector: Any):
        super().__init__()
        check_whitening(transformation_matrix, mean_vector)
        self.transformation_matrix, self.mean_vector = transformation_matrix, mean_vector

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        if has_any(flat_inputs, is_pil_image):
            raise TypeError(f"{type(self).__name__}() does not support PIL images.")

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return as_kind(whitened(plain(inpt), self.transformation_matrix, self.mean_vector), like=inpt)


class Identity(Transform):
    """Nothing changed."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt


class Lambda(Transform):
    """A function of one's own, of every part of a sample or of those of some types."""

    _transformed_types = (object,)

    def __init__(self, lambd: Callable[[Any], Any], *types: type):
        super().__init__()
        self.lambd, self.types = lambd, types or (object,)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self.lambd(inpt) if isinstance(inpt, self.types) else inpt

    def _needs_transform_list(self, flat_inputs: list[Any]) -> list[bool]:
        return [need or not isinstance(value, Tensor)
                for value, need in zip(flat_inputs, super()._needs_transform_list(flat_inputs))]

    def extra_repr(self) -> str:
        name = getattr(self.lambd, "__name__", None)
        return ", ".join([*([name] if name else []), f"types={[kind.__name__ for kind in self.types]}"])
