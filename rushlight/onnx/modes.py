"""In which mode models are exported, and whether one is just now."""

from __future__ import annotations

import enum


class TrainingMode(enum.IntEnum):
    """The mode in which a model is exported."""

    EVAL = 0
    PRESERVE = 1
    TRAINING = 2


class OperatorExportTypes(enum.IntEnum):
    """How operations without a rule are treated; ONNX (an error) is the one that exists here."""

    ONNX = 0
    ONNX_ATEN = 1
    ONNX_ATEN_FALLBACK = 2
    ONNX_FALLTHROUGH = 3


exporting = [False]


def is_in_onnx_export() -> bool:
    """Whether `export` is running the model.

    >>> is_in_onnx_export()
    False
    """
    return exporting[0]
