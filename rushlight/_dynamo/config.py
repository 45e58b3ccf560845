"""Settings of PyTorch's tracer: programs set them; they are remembered and change nothing here."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

cache_size_limit = recompile_limit = 8
accumulated_cache_size_limit = 256
suppress_errors = verbose = capture_scalar_outputs = capture_dynamic_output_shape_ops = dynamic_shapes = False
automatic_dynamic_shapes = assume_static_by_default = optimize_ddp = inline_inbuilt_nn_modules = True


@contextlib.contextmanager
def patch(arg1: str | dict[str, Any] | None = None, arg2: Any = None, **kwargs: Any) -> Iterator[None]:
    """In the block (or the decorated function) settings have other values; AttributeError for unknown ones."""
    module = sys.modules[__name__]
    changes = {arg1: arg2} if isinstance(arg1, str) else dict(arg1 or {}, **kwargs)
    before = {k: getattr(module, k) for k in changes}
    try:
        vars(module).update(changes)
        yield
    finally:
        vars(module).update(before)
