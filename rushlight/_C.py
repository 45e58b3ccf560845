"""The names of torch._C that programs use: those of the __torch_function__ protocol, and what torchmetrics calls."""

from __future__ import annotations

from rushlight.tensor.protocol import disabled as _disabled_torch_function_impl
from rushlight.tensor.protocol import without_any as DisableTorchFunction  # noqa: N812
from rushlight.tensor.protocol import without_subclasses as DisableTorchFunctionSubclass  # noqa: N812

__all__ = ["DisableTorchFunction", "DisableTorchFunctionSubclass", "_disabled_torch_function_impl"]


def _log_api_usage_once(event: str) -> None:
    """PyTorch counts here which of its parts programs use; nothing is counted."""
