"""torch.backends.mkldnn: oneDNN."""

from __future__ import annotations

import sys
from typing import Any

from rushlight.backends.flags import flags_of

enabled, deterministic, allow_tf32 = True, False, True


def is_available() -> bool:
    """Whether a usable oneDNN was found."""
    from rushlight.exec.cpu.onednn import library
    return library.available()


def flags(enabled: bool | None = False, deterministic: bool | None = False, allow_tf32: bool | None = True) -> Any:
    """A context with these switches, which are remembered."""
    return flags_of(sys.modules[__name__], enabled=enabled, deterministic=deterministic, allow_tf32=allow_tf32)
