"""Helpers around the Trainer (pytorch_lightning.utilities)."""

from __future__ import annotations

from enum import Enum
from typing import Any

from rushlight.lightning.utilities.data import apply_to_collection, move_data_to_device
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import (
    rank_zero_debug,
    rank_zero_deprecation,
    rank_zero_info,
    rank_zero_only,
    rank_zero_warn,
)

__all__ = ["CombinedLoader", "GradClipAlgorithmType", "AttributeDict", "MisconfigurationException",
           "apply_to_collection", "grad_norm", "measure_flops", "move_data_to_device", "rank_zero_debug",
           "rank_zero_deprecation", "rank_zero_info", "rank_zero_only", "rank_zero_warn"]


class GradClipAlgorithmType(str, Enum):  # noqa: UP042 - a str subclass, as users compare it with one
    """How gradients are clipped."""

    VALUE = "value"
    NORM = "norm"

    @staticmethod
    def supported_types() -> list[str]:
        """The names."""
        return [kind.value for kind in GradClipAlgorithmType]

    @staticmethod
    def supported_type(value: str) -> bool:
        """Whether this is one of the names."""
        return value in GradClipAlgorithmType.supported_types()


_HOMES = {"CombinedLoader": "combined_loader", "AttributeDict": "parsing", "grad_norm": "grads",
          "measure_flops": "throughput", "seed_everything": "seed"}


def __getattr__(name: str) -> Any:
    import importlib
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
