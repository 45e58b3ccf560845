"""Data sets and image transforms with torchvision's names."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
_SUBMODULES = ("datasets", "transforms", "models", "ops", "utils", "io", "tv_tensors")


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; rushlight does not provide torchvision.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})
