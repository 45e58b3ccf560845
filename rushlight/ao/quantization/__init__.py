"""torch.ao.quantization: networks with weights and activations of 8 bits.

Static: fuse, `prepare`, run data, `convert`. Dynamic: `quantize_dynamic`. Training: `prepare_qat`, train, `convert`.
By tracing, without stubs in the network: `quantize_fx.prepare_fx`, `convert_fx`.
"""

# ruff: noqa: F401
from __future__ import annotations

import importlib
import types
from typing import Any

from rushlight.ao.quantization.fake_quantize import *  # noqa: F403
from rushlight.ao.quantization.fuse_modules import fuse_known_modules, fuse_modules, fuse_modules_qat
from rushlight.ao.quantization.observer import *  # noqa: F403
from rushlight.ao.quantization.qconfig import *  # noqa: F403
from rushlight.ao.quantization.qconfig_mapping import (QConfigMapping, get_default_qat_qconfig_mapping,
                                                       get_default_qconfig_mapping)
from rushlight.ao.quantization.quantization_mappings import *  # noqa: F403
from rushlight.ao.quantization.quantize import (add_quant_dequant, convert, default_eval_fn,
                                                prepare, prepare_qat, propagate_qconfig_, quantize,
                                                quantize_dynamic, quantize_qat, swap_module)
from rushlight.ao.quantization.stubs import DeQuantStub, QuantStub, QuantWrapper

_OTHERS = ("annotations", "Any", "ABC", "OrderedDict", "namedtuple", "abstractmethod")
__all__ = [name for name, value in globals().items() if name[0] != "_" and name not in _OTHERS
           and not isinstance(value, types.ModuleType)]
_PARTS = ("quantize_fx", "histogram")


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
