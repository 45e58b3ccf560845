"""Layers that quantization treats as one: a convolution or linear layer with the batch norm and activation after it."""

from __future__ import annotations

import importlib
from typing import Any

from rushlight import nn

__all__ = ["BNReLU2d", "BNReLU3d", "ConvBn1d", "ConvBn2d", "ConvBn3d", "ConvBnReLU1d", "ConvBnReLU2d", "ConvBnReLU3d",
           "ConvReLU1d", "ConvReLU2d",
           "ConvReLU3d", "LinearBn1d", "LinearReLU"]


class _FusedModule(nn.Sequential):
    """The parts in order; observed as one."""


def _fused(name: str, *kinds: type) -> type:
    """A fused module of those parts. TypeError for parts of other types."""
    def __init__(self: Any, *parts: Any) -> None:
        if len(parts) != len(kinds) or not all(isinstance(p, k) for p, k in zip(parts, kinds)):
            wanted = " and ".join(k.__name__ for k in kinds)
            raise AssertionError(f"Incorrect types for input modules: {name} takes {wanted}, "
                                 f"got {', '.join(type(p).__name__ for p in parts)}")
        _FusedModule.__init__(self, *parts)
    doc = f"{', then '.join(k.__name__ for k in kinds)}, as one."
    return type(name, (_FusedModule,),
                {"__init__": __init__, "__module__": __name__, "__doc__": doc, "__qualname__": name})


ConvReLU1d, ConvReLU2d, ConvReLU3d = (_fused(f"ConvReLU{n}d", getattr(nn, f"Conv{n}d"), nn.ReLU) for n in (1, 2, 3))
ConvBn1d, ConvBn2d, ConvBn3d = (
    _fused(f"ConvBn{n}d", getattr(nn, f"Conv{n}d"), getattr(nn, f"BatchNorm{n}d")) for n in (1, 2, 3))
ConvBnReLU1d, ConvBnReLU2d, ConvBnReLU3d = (
    _fused(f"ConvBnReLU{n}d", getattr(nn, f"Conv{n}d"), getattr(nn, f"BatchNorm{n}d"), nn.ReLU) for n in (1, 2, 3))
BNReLU2d, BNReLU3d = (_fused(f"BNReLU{n}d", getattr(nn, f"BatchNorm{n}d"), nn.ReLU) for n in (2, 3))
LinearReLU = _fused("LinearReLU", nn.Linear, nn.ReLU)
LinearBn1d = _fused("LinearBn1d", nn.Linear, nn.BatchNorm1d)


def __getattr__(name: str) -> Any:
    if name in ("qat", "quantized"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
