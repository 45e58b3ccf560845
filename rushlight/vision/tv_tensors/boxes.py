"""BoundingBoxes and their formats."""

from __future__ import annotations

from enum import Enum
from typing import Any

from rushlight.tensor.core import Tensor
from rushlight.vision.tv_tensors.base import TVTensor, alias, plain


class BoundingBoxFormat(Enum):
    """How a box is written: two corners, corner and size, centre and size; R: turned; four corners."""

    XYXY = "XYXY"
    XYWH = "XYWH"
    CXCYWH = "CXCYWH"
    XYWHR = "XYWHR"
    CXCYWHR = "CXCYWHR"
    XYXYXYXY = "XYXYXYXY"


ROTATED = (BoundingBoxFormat.XYWHR, BoundingBoxFormat.CXCYWHR, BoundingBoxFormat.XYXYXYXY)


def format_of(value: Any) -> BoundingBoxFormat:
    """The format that a BoundingBoxFormat or its name in any letters gives."""
    return BoundingBoxFormat[value.upper()] if isinstance(value, str) else BoundingBoxFormat(value)


def is_rotated_bounding_format(format: BoundingBoxFormat | str) -> bool:
    """Whether boxes of the format may be turned."""
    if not isinstance(format, (BoundingBoxFormat, str)):
        raise ValueError(f"format should be str or BoundingBoxFormat, got {type(format)}")
    return format in ROTATED or format in [f.value for f in ROTATED]


class BoundingBoxes(TVTensor):
    """Boxes (N, 4) in a format on a canvas (height, width).

    ``clamping_mode`` "soft" or "hard" keeps boxes within the canvas, None lets them reach beyond.
    """

    _facts = ("format", "canvas_size", "clamping_mode")
    format: BoundingBoxFormat
    canvas_size: tuple[int, int]
    clamping_mode: str | None

    def __new__(cls, data: Any, *, format: BoundingBoxFormat | str, canvas_size: tuple[int, int],
                clamping_mode: str | None = "soft",
                dtype: Any = None, device: Any = None, requires_grad: bool | None = None) -> Any:
        tensor: Any = cls._made(data, dtype, device, requires_grad)
        if not tensor.is_floating_point() and is_rotated_bounding_format(format):
            raise ValueError(f"Rotated bounding boxes should be floating point tensors, got {tensor.dtype}.")
        if tensor.dim() == 1:
            tensor = tensor.unsqueeze(0)
        elif tensor.dim() != 2:
            raise ValueError(f"Expected a 1D or 2D tensor, got {tensor.dim()}D")
        if clamping_mode not in (None, "hard", "soft"):
            raise ValueError(f"clamping_mode must be None, hard or soft, got {clamping_mode}.")
        made = alias(cls, tensor)
        made.format, made.canvas_size, made.clamping_mode = format_of(format), canvas_size, clamping_mode
        return made

    @classmethod
    def wrap(cls, tensor: Tensor, like: Any, **facts: Any) -> Any:
        """Boxes like others, in one dimension made two."""
        base: Any = plain(tensor)
        return super().wrap(base.unsqueeze(0) if base.dim() == 1 else base, like, **facts)
