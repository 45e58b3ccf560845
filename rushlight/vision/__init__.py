"""Data sets and transforms for pictures (torchvision)."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name in ("datasets", "transforms"):
        return importlib.import_module(f"rushlight.vision.{name}")
    raise AttributeError(f"module 'rushlight.vision' has no attribute {name!r}; rushlight does not provide torchvision.{name}")
