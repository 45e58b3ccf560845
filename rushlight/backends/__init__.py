"""Switches of PyTorch's backends (torch.backends): programs set them; here they are remembered and change nothing."""

from __future__ import annotations

import importlib
from typing import Any

_PARTS = ("cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum", "quantized")


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; "
                         f"rushlight does not provide torch.backends.{name}")
