"""Errors of the ONNX exporter."""

from __future__ import annotations

from typing import Any


class OnnxExporterWarning(UserWarning):
    """Something that the exporter did otherwise than asked."""


class OnnxExporterError(RuntimeError):
    """A program cannot be exported."""


class UnsupportedOperatorError(OnnxExporterError):
    """An operation has no rule: ``operator`` names it, ``where`` the module that called it."""

    def __init__(self, operator: str, where: str = "", why: str = "", opset: int | None = None):
        self.operator, self.where = operator, where
        place = f" It is called in {where}." if where else ""
        version = f" to ONNX opset version {opset}" if opset is not None else ""
        reason = (
            why
            or "Support for this operator has not been written; see torch.onnx.register_custom_op_symbolic, or write "
            "it with operations that have a rule."
        )
        super().__init__(f"Exporting the operator '{operator}'{version} is not supported.{place} {reason}")


class SymbolicValueError(OnnxExporterError):
    """A value has no form in ONNX."""

    def __init__(self, msg: str, value: Any = None):
        super().__init__(msg if value is None else f"{msg}  [Caused by the value '{value}']")


__all__ = ["OnnxExporterError", "OnnxExporterWarning", "SymbolicValueError", "UnsupportedOperatorError"]
