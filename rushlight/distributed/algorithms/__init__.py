"""Algorithms over several processes (torch.distributed.algorithms)."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name in ("ddp_comm_hooks", "join", "_checkpoint"):
        return importlib.import_module(f"rushlight.distributed.algorithms.{name}")
    if name in ("Join", "Joinable", "JoinHook"):
        return getattr(importlib.import_module("rushlight.distributed.algorithms.join"), name)
    raise AttributeError(f"module 'rushlight.distributed.algorithms' has no attribute {name!r}; "
                         f"rushlight does not provide torch.distributed.algorithms.{name}")
