"""The old name of `rushlight.distributed.tensor` (torch.distributed._tensor)."""

from __future__ import annotations

from rushlight.distributed import tensor as _new
from rushlight.distributed.tensor import *  # noqa: F403
from rushlight.distributed.tensor import Partial as _Partial

__all__ = [*_new.__all__, "_Partial"]
