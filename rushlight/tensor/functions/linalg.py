"""Linear algebra (torch.linalg)."""

from __future__ import annotations

from rushlight.tensor.functions.reduction import vector_norm  # noqa: F401
