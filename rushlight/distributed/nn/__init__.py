"""Collectives with gradients, and modules in other processes (torch.distributed.nn)."""

from __future__ import annotations

import importlib
from typing import Any

from rushlight.distributed.nn.functional import (
    all_gather,
    all_reduce,
    all_to_all,
    all_to_all_single,
    broadcast,
    gather,
    reduce,
    reduce_scatter,
    scatter,
)


def __getattr__(name: str) -> Any:
    if name == "RemoteModule":
        return importlib.import_module("rushlight.distributed.nn.api.remote_module").RemoteModule
    if name in ("functional", "api"):
        return importlib.import_module(f"rushlight.distributed.nn.{name}")
    raise AttributeError(
        f"module 'rushlight.distributed.nn' has no attribute {name!r}; rushlight does not provide "
        f"torch.distributed.nn.{name}"
    )


__all__ = [
    "RemoteModule",
    "all_gather",
    "all_reduce",
    "all_to_all",
    "all_to_all_single",
    "broadcast",
    "gather",
    "reduce",
    "reduce_scatter",
    "scatter",
]
