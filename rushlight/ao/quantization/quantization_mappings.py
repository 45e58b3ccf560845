"""Which class takes the place of which."""

from __future__ import annotations

import copy
from typing import Any

from rushlight import nn
from rushlight.ao.nn import intrinsic as nni
from rushlight.ao.nn import qat as nnqat
from rushlight.ao.nn import quantized as nnq
from rushlight.ao.nn.intrinsic import qat as nniqat
from rushlight.ao.nn.intrinsic import quantized as nniq
from rushlight.ao.nn.quantized import dynamic as nnqd
from rushlight.ao.quantization.stubs import DeQuantStub, QuantStub

_DIMS = (1, 2, 3)
DEFAULT_STATIC_QUANT_MODULE_MAPPINGS: dict[Any, Any] = {
    QuantStub: nnq.Quantize, DeQuantStub: nnq.DeQuantize, nn.Linear: nnq.Linear, nni.LinearReLU: nniq.LinearReLU,
    nnqat.Linear: nnq.Linear,
    nniqat.LinearReLU: nniq.LinearReLU, nnq.FloatFunctional: nnq.QFunctional, nn.Embedding: nnq.Embedding,
    nnqat.Embedding: nnq.Embedding,
    nni.BNReLU2d: nniq.BNReLU2d, nn.Dropout: nnq.Dropout,
    **{getattr(nn, n): getattr(nnq, n)
       for n in ("BatchNorm2d", "BatchNorm3d", "ELU", "GroupNorm", "Hardswish", "InstanceNorm1d", "InstanceNorm2d",
                 "InstanceNorm3d", "LayerNorm", "LeakyReLU", "PReLU", "ReLU6", "Softmax")},
    **{getattr(nn, f"Conv{n}d"): getattr(nnq, f"Conv{n}d") for n in _DIMS},
    **{getattr(nnqat, f"Conv{n}d"): getattr(nnq, f"Conv{n}d") for n in _DIMS},
    **{getattr(nni, f"ConvReLU{n}d"): getattr(nniq, f"ConvReLU{n}d") for n in _DIMS},
    **{getattr(nniqat, f"ConvReLU{n}d"): getattr(nniq, f"ConvReLU{n}d") for n in _DIMS},
    **{getattr(nniqat, f"ConvBnReLU{n}d"): getattr(nniq, f"ConvReLU{n}d") for n in _DIMS},
    **{getattr(nniqat, f"ConvBn{n}d"): getattr(nnq, f"Conv{n}d") for n in _DIMS},
}
DEFAULT_QAT_MODULE_MAPPINGS: dict[Any, Any] = {
    nn.Linear: nnqat.Linear, nni.LinearReLU: nniqat.LinearReLU, nn.Embedding: nnqat.Embedding,
    **{getattr(nn, f"Conv{n}d"): getattr(nnqat, f"Conv{n}d") for n in _DIMS},
    **{getattr(nni, f"{k}{n}d"): getattr(nniqat, f"{k}{n}d") for n in _DIMS
       for k in ("ConvBn", "ConvBnReLU", "ConvReLU")},
}
DEFAULT_DYNAMIC_QUANT_MODULE_MAPPINGS: dict[Any, Any] = {
    nn.Linear: nnqd.Linear, nni.LinearReLU: nnqd.LinearReLU, nn.LSTM: nnqd.LSTM, nn.GRU: nnqd.GRU,
    nn.Embedding: nnq.Embedding}
NO_OBSERVER_AFTER = (DeQuantStub, nn.Dropout, nn.ReLU6, nn.Embedding)


def get_default_static_quant_module_mappings() -> dict[Any, Any]:
    """Float (and QAT) classes to quantized ones."""
    return copy.copy(DEFAULT_STATIC_QUANT_MODULE_MAPPINGS)


def get_default_qat_module_mappings() -> dict[Any, Any]:
    """Float classes to those that train with fake quantization."""
    return copy.copy(DEFAULT_QAT_MODULE_MAPPINGS)


def get_default_dynamic_quant_module_mappings() -> dict[Any, Any]:
    """Float classes to dynamically quantized ones."""
    return copy.copy(DEFAULT_DYNAMIC_QUANT_MODULE_MAPPINGS)


def get_default_qconfig_propagation_list() -> set[Any]:
    """Classes that take a qconfig."""
    return {*DEFAULT_STATIC_QUANT_MODULE_MAPPINGS, *DEFAULT_QAT_MODULE_MAPPINGS, *DEFAULT_DYNAMIC_QUANT_MODULE_MAPPINGS}


def get_static_quant_module_class(float_module_class: Any, additional_static_quant_mapping: Any = None,
                                  is_reference: bool = False) -> Any:
    """The quantized class of a float one; AssertionError where there is none."""
    found = {**DEFAULT_STATIC_QUANT_MODULE_MAPPINGS, **(additional_static_quant_mapping or {})}.get(float_module_class)
    if found is None:
        raise AssertionError(f"Floating point module class {float_module_class} does not "
                             "have a corresponding quantized module class")
    return found


def get_dynamic_quant_module_class(float_module_class: Any, additional_dynamic_quant_mapping: Any = None) -> Any:
    """The dynamically quantized class of a float one; AssertionError where there is none."""
    found = {**DEFAULT_DYNAMIC_QUANT_MODULE_MAPPINGS,
             **(additional_dynamic_quant_mapping or {})}.get(float_module_class)
    if found is None:
        raise AssertionError(f"Floating point module class {float_module_class} does not "
                             "have a corresponding quantized module class")
    return found
