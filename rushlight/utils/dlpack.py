"""Tensors shared with other libraries without a copy (torch.utils.dlpack)."""

from __future__ import annotations

from typing import Any


def to_dlpack(tensor: Any) -> Any:
    """A DLPack capsule of the tensor's memory; it can be used once.
    RuntimeError for a tensor that requires gradients."""
    return tensor.__dlpack__()


class _Capsule:
    """A bare capsule with the protocol's methods, for consumers that want them."""

    def __init__(self, capsule: Any):
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Any:
    """A tensor on the memory of an object with ``__dlpack__``, or of a capsule of main memory; with copy=True on memory
    of its own.

    >>> import numpy as np
    >>> from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    from rushlight.tensor import creation
    source = ext_tensor if hasattr(ext_tensor, "__dlpack__") else _Capsule(ext_tensor)
    return creation.from_dlpack(source, device=device, copy=copy)
