"""torch.return_types: the types of results with several parts."""

from __future__ import annotations

from typing import Any

from rushlight.tensor.result_types import FIELDS, result

__all__ = sorted(FIELDS)


def __getattr__(name: str) -> Any:
    if name in FIELDS:
        return result(name)
    if name.endswith("_out") and name.removesuffix("_out") in FIELDS:
        return result(name.removesuffix("_out"))
    raise AttributeError(f"module 'torch.return_types' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
