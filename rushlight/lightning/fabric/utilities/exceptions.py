"""The same as rushlight.lightning.utilities.exceptions."""

from __future__ import annotations

from rushlight.lightning.utilities.exceptions import MisconfigurationException

__all__ = ["MisconfigurationException"]
