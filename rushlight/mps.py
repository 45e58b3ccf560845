"""torch.mps: Apple's GPUs, which are not used."""

from __future__ import annotations


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """Nothing: there is no such generator."""


def synchronize() -> None:
    """RuntimeError."""
    raise RuntimeError("Cannot execute deviceSynchronize() without MPS backend.")


def empty_cache() -> None:
    """RuntimeError."""
    raise RuntimeError("Cannot execute emptyCache() without MPS backend.")


def current_allocated_memory() -> int:
    """RuntimeError."""
    raise RuntimeError("Cannot execute getCurrentAllocatedMemory() without MPS backend.")


def driver_allocated_memory() -> int:
    """RuntimeError."""
    raise RuntimeError("Cannot execute getDriverAllocatedMemory() without MPS backend.")
