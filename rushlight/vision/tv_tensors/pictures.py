"""Image, Video and Mask."""

from __future__ import annotations

from typing import Any

from rushlight.vision.transforms.functional.conversion import pil_to_tensor
from rushlight.vision.transforms.functional.pixels import is_pil_image
from rushlight.vision.tv_tensors.base import TVTensor, alias


class _Picture(TVTensor):
    """What pictures share: PIL images become tensors, too few dimensions are refused."""

    _least = 2

    def __new__(cls, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool | None = None) -> Any:
        tensor: Any = cls._made(pil_to_tensor(data) if is_pil_image(data) else data, dtype, device, requires_grad)
        if tensor.dim() < cls._least:
            raise ValueError(f"Tensor must be {cls._least}D or higher, got {tensor.dim()}D tensor.")
        return alias(cls, cls._shaped(tensor))

    @classmethod
    def _shaped(cls, tensor: Any) -> Any:
        return tensor


class Image(_Picture):
    """A picture (..., C, H, W); (H, W) becomes (1, H, W)."""

    @classmethod
    def _shaped(cls, tensor: Any) -> Any:
        return tensor.unsqueeze(0) if tensor.dim() == 2 else tensor


class Video(_Picture):
    """Frames (..., T, C, H, W)."""

    _least = 4
    _shows_facts = False


class Mask(_Picture):
    """Class numbers (H, W), or one mask per object (N, H, W)."""

    _least = 0
    _shows_facts = False
