"""Tensors shared with other libraries without a copy (torch.utils.dlpack)."""

from __future__ import annotations

from typing import Any

from rushlight.tensor.dlpack import from_dlpack


def to_dlpack(tensor: Any) -> Any:
    """A DLPack capsule of the tensor's memory; it can be used once.
    RuntimeError for a tensor that requires gradients."""
    return tensor.__dlpack__()


__all__ = ["from_dlpack", "to_dlpack"]
