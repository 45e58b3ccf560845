"""The names of torch._C that programs use: those of the __torch_function__ protocol, and what torchmetrics calls."""

from __future__ import annotations

from rushlight.tensor.protocol import disabled as _disabled_torch_function_impl
from rushlight.tensor.protocol import without_any as DisableTorchFunction
from rushlight.tensor.protocol import without_subclasses as DisableTorchFunctionSubclass

__all__ = ["DisableTorchFunction", "DisableTorchFunctionSubclass", "_disabled_torch_function_impl"]


def _log_api_usage_once(event: str) -> None:
    """PyTorch counts here which of its parts programs use; nothing is counted."""
