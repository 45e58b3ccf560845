"""Comparisons and random tensors for tests (torch.testing)."""

from __future__ import annotations

from rushlight.testing.comparison import assert_allclose, assert_close
from rushlight.testing.random_tensors import make_tensor

__all__ = ["assert_allclose", "assert_close", "make_tensor"]
