"""torch.onnx: programs as ONNX models."""

from __future__ import annotations

from rushlight.onnx import errors, operators
from rushlight.onnx.errors import OnnxExporterError
from rushlight.onnx.exporting import (
    OperatorExportTypes,
    TrainingMode,
    export,
    is_in_onnx_export,
    register_custom_op_symbolic,
    select_model_mode_for_export,
    unregister_custom_op_symbolic,
)
from rushlight.onnx.program import ONNXProgram

producer_name = "rushlight"

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
