"""Utilities (torch.utils). Its modules are imported when they are first asked for."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "swap_tensors":
        return importlib.import_module("rushlight.tensor.checks").swap_tensors
    if not name.startswith("__"):
        try:
            return importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as e:
            if e.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; "
                         f"rushlight does not provide torch.utils.{name}")
