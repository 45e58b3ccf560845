"""The class of compiled modules in PyTorch: `torch.compile` returns the
module itself here, so nothing is an instance."""

from __future__ import annotations


class OptimizedModule:
    """Never made; programs ask whether a model is one."""
