"""Counters and comparisons of PyTorch's tracer."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

counters: defaultdict[str, Counter[str]] = defaultdict(Counter)


def same(a: Any, b: Any, tol: float = 1e-4, equal_nan: bool = False) -> bool:
    """Whether two nests of tensors agree within a tolerance."""
    from rushlight.testing import assert_close
    try:
        assert_close(a, b, rtol=tol, atol=tol, equal_nan=equal_nan, check_dtype=False)
    except AssertionError:
        return False
    return True
