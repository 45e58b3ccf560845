"""Wrappers that run a module on several devices of one machine."""

from __future__ import annotations

from typing import Any

from .data_parallel import DataParallel as DataParallel
from .data_parallel import data_parallel as data_parallel

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]


def __getattr__(name: str) -> Any:
    if name == "DistributedDataParallel":
        try:
            from rushlight.distributed.data_parallel import DistributedDataParallel
        except ImportError:
            raise AttributeError(
                "DistributedDataParallel needs rushlight.distributed, which is not there yet"
            ) from None
        return DistributedDataParallel
    if name == "distributed":
        import importlib
        return importlib.import_module("rushlight.nn.parallel.distributed")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
