"""torch.ao.nn.quantized: layers on quantized tensors."""

from __future__ import annotations

import importlib
from typing import Any

from rushlight.ao.nn.quantized.functional_modules import FloatFunctional, FXFloatFunctional, QFunctional
from rushlight.ao.nn.quantized.layers import Conv1d, Conv2d, Conv3d, Linear
from rushlight.ao.nn.quantized.small import (ELU, BatchNorm2d, BatchNorm3d, DeQuantize, Dropout, Embedding, GroupNorm,
                                             Hardswish, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, LayerNorm,
                                             LeakyReLU, MaxPool2d, PReLU, Quantize, ReLU6, Sigmoid, Softmax)

__all__ = ["ELU", "BatchNorm2d", "BatchNorm3d", "Conv1d", "Conv2d", "Conv3d", "DeQuantize", "Dropout", "Embedding",
           "FXFloatFunctional", "FloatFunctional",
           "GroupNorm", "Hardswish", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LayerNorm", "LeakyReLU",
           "Linear", "MaxPool2d", "PReLU",
           "QFunctional", "Quantize", "ReLU6", "Sigmoid", "Softmax"]


def __getattr__(name: str) -> Any:
    if name in ("dynamic", "functional"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
