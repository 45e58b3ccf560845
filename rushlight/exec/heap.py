"""How the C library treats memory that NumPy frees."""

from __future__ import annotations

import os
import sys
from functools import cache

KEPT = 64 << 20  # bytes at the end of the heap that are not given back to the system
MAPPED = 32 << 20  # bytes, from which on a block is a mapping of its own: the most that glibc takes
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")


@cache
def keep_freed_memory() -> bool:
    """Let freed memory stay with the process, once; whether that was done.

    glibc gives the end of its heap back whenever some megabytes are free there, and each page that comes anew costs a
    microsecond: arrays of one or two megabytes, made and freed by an operation, took longer to get than to fill. What the
    user has chosen in the environment stays.
    """
    if sys.platform != "linux" or any(name in os.environ for name in SETTINGS):
        return False
    import ctypes
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(M_MMAP_THRESHOLD, MAPPED) and mallopt(M_TRIM_THRESHOLD, KEPT))
