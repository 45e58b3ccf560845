"""torch.ao.nn.intrinsic.qat: fused layers that train with rounded weights."""

from __future__ import annotations

from typing import Any

from rushlight.ao.nn import qat

ConvBn1d, ConvBn2d, ConvBn3d = (qat.conv_class(f"ConvBn{n}d", n, True, False, __name__) for n in (1, 2, 3))
ConvBnReLU1d, ConvBnReLU2d, ConvBnReLU3d = (
    qat.conv_class(f"ConvBnReLU{n}d", n, True, True, __name__) for n in (1, 2, 3))
ConvReLU1d, ConvReLU2d, ConvReLU3d = (qat.conv_class(f"ConvReLU{n}d", n, False, True, __name__) for n in (1, 2, 3))
WITH_NORM = (ConvBn1d, ConvBn2d, ConvBn3d, ConvBnReLU1d, ConvBnReLU2d, ConvBnReLU3d)


class LinearReLU(qat.Linear):
    """qat.Linear, then relu."""

    _relu = True


def update_bn_stats(mod: Any) -> None:
    """For `model.apply`: batch norms of fused layers learn their statistics."""
    if isinstance(mod, WITH_NORM):
        mod.update_bn_stats()


def freeze_bn_stats(mod: Any) -> None:
    """For `model.apply`: batch norms of fused layers keep their statistics from now on."""
    if isinstance(mod, WITH_NORM):
        mod.freeze_bn_stats()


__all__ = ["ConvBn1d", "ConvBn2d", "ConvBn3d", "ConvBnReLU1d", "ConvBnReLU2d", "ConvBnReLU3d", "ConvReLU1d",
           "ConvReLU2d", "ConvReLU3d", "LinearReLU",
           "freeze_bn_stats", "update_bn_stats"]
