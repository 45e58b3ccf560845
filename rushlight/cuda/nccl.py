"""torch.cuda.nccl on a machine without CUDA."""

from __future__ import annotations

from typing import Any

from rushlight.cuda import _raising

version = _raising("version")


def is_available(tensors: Any) -> bool:
    """False."""
    return False
