"""torch.cuda.nvtx: marks for NVIDIA's profiler, which is not here."""

from __future__ import annotations

from typing import Any


def _missing(*args: Any, **kwargs: Any) -> Any:
    """RuntimeError: there is no CUDA."""
    raise RuntimeError("NVTX functions not installed. Are you sure you have a CUDA build?")


range_push = range_pop = mark = range = range_start = range_end = _missing
