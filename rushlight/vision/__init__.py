"""Data sets and image transforms with torchvision's names."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
_SUBMODULES = ("datasets", "transforms", "models", "ops", "utils", "io", "tv_tensors")


def get_image_backend() -> str:
    """What reads pictures: always "PIL"."""
    return "PIL"


def set_image_backend(backend: str) -> None:
    """Choose what reads pictures: "PIL" is the only choice, ValueError for anything else."""
    if backend != "PIL":
        raise ValueError(f"Invalid backend '{backend}'. Options are 'PIL'; "
                         "where simplejpeg is installed, JPEGs are read by it")


def disable_beta_transforms_warning() -> None:
    """Nothing: transforms.v2 warns of nothing here."""


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; "
                         f"rushlight does not provide torchvision.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})
