"""Errors of PyTorch's tracer that torch.export raises."""

from __future__ import annotations

import enum
from typing import Any


class TorchDynamoException(RuntimeError):
    """The base of these errors."""


class UserErrorType(enum.Enum):
    """What kind of mistake a program has made."""

    DYNAMIC_CONTROL_FLOW = enum.auto()
    ANTI_PATTERN = enum.auto()
    STANDARD_LIBRARY = enum.auto()
    CONSTRAINT_VIOLATION = enum.auto()
    DYNAMIC_DIM = enum.auto()
    INVALID_INPUT = enum.auto()
    INVALID_OUTPUT = enum.auto()
    UNSUPPORTED_ALIASED_MUTATED_DYNAMIC_INPUTS = enum.auto()


class Unsupported(TorchDynamoException):
    """A program does what graphs cannot hold."""


class UserError(Unsupported):
    """A program asks for something impossible; ``error_type`` says what kind."""

    def __init__(self, error_type: UserErrorType, msg: str, case_name: Any = None):
        super().__init__(msg)
        self.error_type, self.message = error_type, msg
