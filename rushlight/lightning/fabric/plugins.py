"""Precisions for Fabric (lightning.fabric.plugins)."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.trainer.precision import DoublePrecision, HalfPrecision, MixedPrecision, Precision
from rushlight.lightning.utilities.exceptions import MisconfigurationException

__all__ = ["BitsandbytesPrecision", "DoublePrecision", "HalfPrecision", "MixedPrecision", "Precision"]


class BitsandbytesPrecision(Precision):
    """Weights of 8 or 4 bits by the bitsandbytes library, which needs a GPU: MisconfigurationException."""

    def __init__(self, mode: str, *args: Any, **kwargs: Any):
        raise MisconfigurationException(f"BitsandbytesPrecision({mode!r}) needs bitsandbytes and a GPU; use"
                                        " precision='bf16-true'")
