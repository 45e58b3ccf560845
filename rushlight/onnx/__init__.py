"""torch.onnx: programs as ONNX models."""

from __future__ import annotations

import importlib
from typing import Any

from rushlight.onnx import errors, operators
from rushlight.onnx.errors import OnnxExporterError
from rushlight.onnx.modes import OperatorExportTypes, TrainingMode, is_in_onnx_export

producer_name = "rushlight"
# imported when they are used: capturing programs switches the __torch_function__ protocol on
_LATER = {
    **dict.fromkeys(
        ("export", "register_custom_op_symbolic", "unregister_custom_op_symbolic", "select_model_mode_for_export"),
        "exporting",
    ),
    "ONNXProgram": "program",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(f"rushlight.onnx.{_LATER[name]}"), name)
    raise AttributeError(
        f"module 'rushlight.onnx' has no attribute {name!r}; rushlight does not provide torch.onnx.{name}"
    )


__all__ = [
    "ONNXProgram",
    "OnnxExporterError",
    "OperatorExportTypes",
    "TrainingMode",
    "errors",
    "export",
    "is_in_onnx_export",
    "operators",
    "producer_name",
    "register_custom_op_symbolic",
    "select_model_mode_for_export",
    "unregister_custom_op_symbolic",
]
