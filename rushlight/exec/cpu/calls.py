"""Compiled kernels ``void kernel(i64* slots)`` as Python's functions. What they are compiled from is asked for when it is needed only:
with kernels from disk, llvmlite is not imported."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

from rushlight.exec.cpu.jit import COMPILED


@cache
def function(key: str, write: Callable[[str], str]) -> Callable[[list[int]], None]:
    """A compiled kernel as a function of its slots; it runs without Python's lock. It is compiled when first called."""
    kernel: Any = None

    def call(slots: list[int]) -> None:
        nonlocal kernel
        if kernel is None:
            kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(COMPILED.address(key, write))
        kernel(_words(len(slots))(*slots))
    return call


@cache
def _words(count: int) -> Any:
    return ctypes.c_int64 * count
