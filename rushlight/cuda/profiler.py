"""torch.cuda.profiler on a machine without CUDA."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rushlight.cuda import _raising

start, stop, init = map(_raising, ("start", "stop", "init"))


@contextlib.contextmanager
def profile() -> Iterator[None]:
    """AssertionError: there is no CUDA."""
    start()
    yield
