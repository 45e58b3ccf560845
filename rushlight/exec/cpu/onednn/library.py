"""Finding and loading oneDNN, and one engine and one stream on it.

Everything is lazy: nothing is searched or loaded before the first call. ``RUSHLIGHT_ONEDNN`` names a library to use instead
of the wheel's, or is ``off``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from functools import cache, cached_property
from typing import Any

from rushlight.exec.cpu.onednn import names, openmp
from rushlight.exec.cpu.onednn.openmp import OpenMP

NAME = "libdnnl.so.3"
ABSENT = "oneDNN is not installed (pip install onednn-cpu-gomp intel-openmp), or RUSHLIGHT_ONEDNN names no usable library: {}"


class OneDNNError(RuntimeError):
    """A call of oneDNN that failed: ``status`` is the library's word for why, ``call`` the C function."""

    def __init__(self, status: str, call: str):
        super().__init__(f"{call}: {status}")
        self.status = status
        self.call = call


class Unsupported(OneDNNError):
    """oneDNN has no implementation of this combination; something else must compute it."""


class Library:
    """A loaded libdnnl with typed functions, a CPU engine and an in-order stream."""

    def __init__(self, path: str):
        self.path = path
        self.dll = ctypes.CDLL(path)
        for name, letters in names.SIGNATURES.items():
            self._declare(name, ctypes.c_int, letters)
        for name, (result, letters) in names.OTHERS.items():
            self._declare(name, result, letters)
        major, minor, patch = (ctypes.c_int * 3).from_address(self.dll.dnnl_version())
        self.version = (major, minor, patch)
        if major != 3:
            raise OSError(f"{path} is oneDNN {major}.{minor}; version 3 is needed")

    def _declare(self, name: str, result: Any, letters: str) -> None:
        function = getattr(self.dll, f"dnnl_{name}")
        function.restype = result
        function.argtypes = [names.LETTERS[letter] for letter in letters]

    def call(self, name: str, *args: Any) -> None:
        """Calls ``dnnl_<name>``; OneDNNError unless it succeeds, Unsupported where there is no implementation."""
        status = getattr(self.dll, f"dnnl_{name}")(*args)
        if status:
            word = names.STATUS[status] if status < len(names.STATUS) else f"status {status}"
            error = Unsupported if word in ("unimplemented", "last_impl_reached") else OneDNNError
            raise error(word, f"dnnl_{name}")

    def make(self, name: str, *args: Any) -> int:
        """Calls a function whose first parameter takes the object that it makes; that object."""
        made = ctypes.c_void_p()
        self.call(name, ctypes.byref(made), *args)
        return made.value or 0

    @cached_property
    def engine(self) -> int:
        return self.make("engine_create", names.CPU, 0)

    @cached_property
    def stream(self) -> int:
        return self.make("stream_create", self.engine, names.IN_ORDER)


def candidates() -> Iterator[str]:
    """Where a libdnnl may be, best first."""
    chosen = os.environ.get("RUSHLIGHT_ONEDNN", "")
    if chosen:
        if chosen.lower() not in ("off", "0"):
            yield chosen
        return
    yield from openmp.installed("onednn-cpu-gomp", NAME)
    yield NAME


def _load(path: str) -> Library:
    try:
        return Library(path)
    except OSError as error:
        if "libgomp.so.1: cannot open" not in str(error) or openmp.runtime() is None:
            raise
        openmp.stand_in("libgomp.so.1")
        return Library(path)


@cache
def _found() -> Library | str:
    """The library, or why there is none."""
    openmp.runtime()  # first: oneDNN must bind to it
    failures = []
    for path in candidates():
        try:
            return _load(path)
        except (OSError, AttributeError) as error:
            failures.append(str(error))
    return "; ".join(failures) or "switched off"


def available() -> bool:
    """Whether a usable oneDNN was found; loads it."""
    return isinstance(_found(), Library)


def library() -> Library:
    """The loaded oneDNN; OneDNNError with the reasons where there is none."""
    found = _found()
    if isinstance(found, str):
        raise OneDNNError(ABSENT.format(found), "load")
    return found


def omp() -> OpenMP:
    """The OpenMP runtime that oneDNN uses; OneDNNError where there is none."""
    found = openmp.runtime()
    if found is None:
        raise OneDNNError("no OpenMP runtime was found", "load")
    return found


def set_threads(count: int) -> None:
    """Regions that this thread of the program starts use so many threads from now on.

    OpenMP keeps the number per thread of the program: whoever runs plans from several threads calls this (or
    ``omp_set_num_threads`` natively, 20 ns) in each. Primitives fix how they split their work when they are made.
    """
    if count < 1:
        raise ValueError(f"a number of threads must be positive, got {count}")
    with contextlib.suppress(OneDNNError):
        omp().set_threads(count)


def address(name: str) -> int:
    """The address of a C function of oneDNN for generated code: ``address("dnnl_primitive_execute")``."""
    return ctypes.cast(getattr(library().dll, name), ctypes.c_void_p).value or 0
