"""KeyPoints."""

from __future__ import annotations

from typing import Any

from rushlight.vision.tv_tensors.base import TVTensor, alias


class KeyPoints(TVTensor):
    """Points (..., 2) of (x, y) on a canvas (height, width)."""

    _facts = ("canvas_size",)
    canvas_size: tuple[int, int]

    def __new__(cls, data: Any, *, canvas_size: tuple[int, int], dtype: Any = None, device: Any = None,
                requires_grad: bool | None = None) -> Any:
        tensor: Any = cls._made(data, dtype, device, requires_grad)
        if tensor.dim() == 1:
            tensor = tensor.unsqueeze(0)
        elif tensor.shape[-1] != 2:
            raise ValueError(f"Expected a tensor of shape (..., 2), not {tensor.shape}")
        made = alias(cls, tensor)
        made.canvas_size = canvas_size
        return made
