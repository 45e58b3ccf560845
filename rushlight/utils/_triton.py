"""Whether Triton's compiler for GPUs can be used (torch.utils._triton)."""

from __future__ import annotations


def has_triton_package() -> bool:
    """Whether the package can be imported."""
    import importlib.util
    return importlib.util.find_spec("triton") is not None


def has_triton() -> bool:
    """False: there is no GPU here for it."""
    return False
