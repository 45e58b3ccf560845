"""torch.cpu: the one device that is always there, with the interface of the others."""

from __future__ import annotations

import contextlib
from typing import Any


def is_available() -> bool:
    """True."""
    return True


def device_count() -> int:
    """1."""
    return 1


def current_device() -> str:
    """ "cpu"."""
    return "cpu"


def synchronize(device: Any = None) -> None:
    """Run what is pending."""
    from rushlight.tensor.core import realize_pending
    realize_pending()


def set_device(device: Any) -> None:
    """Nothing: there is one device."""


def stream(stream: Any) -> Any:
    """A context that does nothing."""
    return contextlib.nullcontext()
