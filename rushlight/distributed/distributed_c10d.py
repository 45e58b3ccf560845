"""The module in which PyTorch keeps its collectives (torch.distributed.distributed_c10d)."""

from __future__ import annotations

from typing import Any

from rushlight.distributed import *  # noqa: F403
from rushlight.distributed.groups import member


def _get_default_group() -> Any:
    """The default group; ValueError before init_process_group."""
    return member()
