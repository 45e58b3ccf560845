"""torch.backends.cudnn: not there; its switches are remembered."""

from __future__ import annotations

import sys
from typing import Any

from rushlight.backends.flags import flags_of

enabled, benchmark, deterministic, allow_tf32, benchmark_limit = True, False, False, True, 10


def is_available() -> bool:
    """False: there is no cuDNN."""
    return False


def version() -> None:
    """None: there is no cuDNN."""


def is_acceptable(tensor: Any) -> bool:
    """False: no tensor lies on a GPU."""
    return False


def set_flags(_enabled: bool | None = None, _benchmark: bool | None = None, _benchmark_limit: int | None = None,
              _deterministic: bool | None = None, _allow_tf32: bool | None = None) -> tuple[Any, ...]:
    """Set the switches that are not None; all their values before."""
    module = sys.modules[__name__]
    names = ("enabled", "benchmark", "benchmark_limit", "deterministic", "allow_tf32")
    before = tuple(getattr(module, name) for name in names)
    for name, value in zip(names, (_enabled, _benchmark, _benchmark_limit, _deterministic, _allow_tf32), strict=True):
        if value is not None:
            setattr(module, name, value)
    return before


def flags(enabled: bool | None = False, benchmark: bool | None = False, benchmark_limit: int | None = 10,
          deterministic: bool | None = False, allow_tf32: bool | None = True) -> Any:
    """A context with these switches."""
    return flags_of(sys.modules[__name__], enabled=enabled, benchmark=benchmark, benchmark_limit=benchmark_limit,
                    deterministic=deterministic, allow_tf32=allow_tf32)
