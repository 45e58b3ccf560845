"""Enlarging images by interpolation."""

from __future__ import annotations

from typing import Any

from rushlight.tensor.core import Tensor

from .. import functional as F
from .module import Module

__all__ = ["Upsample", "UpsamplingNearest2d", "UpsamplingBilinear2d"]


class Upsample(Module):
    """Resizes the spatial dimensions to ``size`` or by ``scale_factor``; see ``F.interpolate`` for the modes."""

    __constants__ = ["size", "scale_factor", "mode", "align_corners", "name", "recompute_scale_factor"]

    def __init__(
        self,
        size: int | tuple[Any, ...] | None = None,
        scale_factor: float | tuple[Any, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        if isinstance(scale_factor, tuple):
            self.scale_factor = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            recompute_scale_factor=self.recompute_scale_factor,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        state.setdefault("recompute_scale_factor", True)
        super().__setstate__(state)

    def extra_repr(self) -> str:
        given = ("size", self.size) if self.scale_factor is None else ("scale_factor", self.scale_factor)
        return f"{given[0]}={given[1]!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Upsample with mode ``nearest``."""

    def __init__(self, size: int | tuple[Any, ...] | None = None,
                 scale_factor: float | tuple[Any, ...] | None = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Upsample with mode ``bilinear`` and aligned corners."""

    def __init__(self, size: int | tuple[Any, ...] | None = None,
                 scale_factor: float | tuple[Any, ...] | None = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
