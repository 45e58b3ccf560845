"""ToTensor, PILToTensor and ConvertImageDtype: from pictures to tensors, and between number types."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType
from rushlight.nn.modules.module import Module
from rushlight.tensor.core import Tensor
from rushlight.tensor.settings import get_default_dtype
from rushlight.vision.transforms import functional, whole_batch
from rushlight.vision.transforms.arithmetic import bytes_to_unit, channels_first


class ToTensor:
    """A PIL image or array (H, W, C) as a tensor (C, H, W); bytes become floats from 0 to 1."""

    def __call__(self, pic: Any) -> Tensor:
        return functional.to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class PILToTensor:
    """A PIL image as a tensor (C, H, W) of the same numbers."""

    def __call__(self, pic: Any) -> Tensor:
        return functional.pil_to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ToPILImage:
    """A tensor (C, H, W) or an array (H, W, C) as a PIL image; see `functional.to_pil_image`."""

    def __init__(self, mode: str | None = None):
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return functional.to_pil_image(pic, self.mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.mode is None else f'mode={self.mode}'})"


class ConvertImageDtype(Module):
    """An image tensor in another dtype, scaled to its range; see `functional.convert_image_dtype`."""

    def __init__(self, dtype: DType):
        super().__init__()
        if not isinstance(dtype, DType):
            raise TypeError("Input dtype should be of type torch.dtype")
        self.dtype = dtype

    def forward(self, image: Tensor) -> Tensor:
        return functional.convert_image_dtype(image, self.dtype)


def _planes(batch: whole_batch.Batch) -> np.ndarray | None:
    """Byte pictures as (B, C, H, W)."""
    values = batch.values
    if not batch.pictures or values.dtype != np.uint8 or values.ndim not in (3, 4):
        return None
    return channels_first(values) if values.ndim == 4 else values[:, None]


@whole_batch.rule(ToTensor)
def _to_tensor_batch(transform: ToTensor, batch: whole_batch.Batch) -> whole_batch.Batch | None:
    planes = _planes(batch)
    return None if planes is None else whole_batch.Batch(bytes_to_unit(planes, get_default_dtype()), pictures=False)


@whole_batch.rule(PILToTensor)
def _pil_to_tensor_batch(transform: PILToTensor, batch: whole_batch.Batch) -> whole_batch.Batch | None:
    planes = _planes(batch)
    return None if planes is None else whole_batch.Batch(planes, pictures=False)


@whole_batch.rule(ConvertImageDtype)
def _convert_batch(transform: ConvertImageDtype, batch: whole_batch.Batch) -> whole_batch.Batch | None:
    """Bytes to float32, the usual case."""
    if batch.pictures or batch.values.dtype != np.uint8 or transform.dtype is not dtypes.float32:
        return None
    return whole_batch.Batch(bytes_to_unit(batch.values, dtypes.float32), pictures=False)
