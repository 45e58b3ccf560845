"""The OpenMP runtime that oneDNN and generated code share.

A libdnnl that was built with GCC calls ``GOMP_*`` functions and names libgomp.so.1 as its library. libgomp's threads do not
survive ``fork``: a child hangs in its first parallel region. Intel's libiomp5 has the same functions and starts new threads
in a child, so it is loaded first with RTLD_GLOBAL: the dynamic linker looks there before it looks at libgomp. Where a
runtime is already in the global scope (PyTorch puts its libgomp there), oneDNN binds to that one, and so must everybody else.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PROBE = "GOMP_parallel"
AT_FORK = "KMP_INIT_AT_FORK"  # whether libiomp5 registers what its threads need to start anew in a child


class OpenMP:
    """A loaded runtime: ``name`` (``"libiomp5"``, ``"libgomp"`` or ``"global"``), ``handle`` and whether children may use threads."""

    def __init__(self, name: str, handle: ctypes.CDLL):
        self.name = name
        self.handle = handle
        self.fork_safe = hasattr(handle, "kmp_set_blocktime")  # Intel's and LLVM's runtimes have it

    def address(self, name: str) -> int:
        """The address of a function for generated code, for example ``GOMP_parallel``."""
        return ctypes.cast(getattr(self.handle, name), ctypes.c_void_p).value or 0

    def set_threads(self, count: int) -> None:
        """How many threads the next regions use that this thread of the program starts."""
        self.handle.omp_set_num_threads(ctypes.c_int(count))

    def threads(self) -> int:
        """How many threads a region would use that this thread of the program starts."""
        return int(self.handle.omp_get_max_threads())

    def fix_teams(self) -> int:
        """Regions get the threads that they ask for, or as many as OMP_THREAD_LIMIT allows; gives that bound.

        A primitive that was made for more threads than its region has would leave work undone.
        """
        self.handle.omp_set_dynamic(ctypes.c_int(0))
        if self.handle.omp_get_max_active_levels() < 1:
            self.handle.omp_set_max_active_levels(ctypes.c_int(1))
        return int(self.handle.omp_get_thread_limit())

    def set_blocktime(self, milliseconds: int) -> None:
        """How long idle threads wait actively before they sleep (libiomp5 only; elsewhere nothing happens)."""
        if self.fork_safe:
            self.handle.kmp_set_blocktime(ctypes.c_int(milliseconds))


def installed(distribution: str, name: str) -> Iterator[str]:
    """The paths of a file of that name in an installed wheel, then in the interpreter's lib folder."""
    stem = distribution.replace("-", "_")  # as wheels write their names; importlib.metadata takes 25 ms to import
    for folder in dict.fromkeys(sys.path):
        for record in Path(folder).glob(f"{stem}-*.dist-info/RECORD"):
            for line in record.read_text("utf-8").splitlines():
                file = record.parent.parent / line.split(",")[0]
                if file.name == name and file.is_file():
                    yield str(file.resolve())
    for root in (sys.prefix, sys.base_prefix):
        if (path := Path(root, "lib", name)).is_file():
            yield str(path)


@cache
def runtime() -> OpenMP | None:
    """The OpenMP runtime of this process, loaded at the first call; None where there is none."""
    everywhere = ctypes.CDLL(None)
    if hasattr(everywhere, PROBE):
        found = OpenMP("global", everywhere)
        found.fork_safe = found.fork_safe and os.environ.get(AT_FORK, "").lower() not in ("false", "0", "off", "no", "f", "n")
        return _safe(found)
    for path in (*installed("intel-openmp", "libiomp5.so"), "libiomp5.so", "libomp.so.5", "libgomp.so.1"):
        with contextlib.suppress(OSError), _handlers():
            found = OpenMP(Path(path).name.split(".")[0], ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL))
            if hasattr(found.handle, PROBE):
                found.threads()  # the runtime reads its settings now
                return _safe(found)
    return None


@contextlib.contextmanager
def _handlers() -> Iterator[None]:
    """The runtime that starts in the block prepares for ``fork``, whatever the environment says (scikit-learn turns that off)."""
    before = os.environ.get(AT_FORK)
    os.environ[AT_FORK] = "TRUE"
    try:
        yield
    finally:
        if before is None:
            del os.environ[AT_FORK]
        else:
            os.environ[AT_FORK] = before


def _safe(found: OpenMP) -> OpenMP:
    """A runtime whose threads do not survive ``fork`` gets one thread in children, which needs no region."""
    def alone() -> None:
        from rushlight.exec import apart, realize, threads
        found.set_threads(1)
        threads.bound(1)
        apart.forget()
        realize._newest[0] = None
        realize._plans.clear()  # they were made for more threads; the lock may be held by a thread that is not here
    if not found.fork_safe:
        os.register_at_fork(after_in_child=alone)
    return found


def stand_in(name: str = "libgomp.so.1") -> None:
    """Loads an empty library of that name, for systems without libgomp: its functions come from libiomp5.

    A shared object of 64-bit little-endian ELF with nothing but a dynamic section that says its name, made in memory
    (System V ABI, chapters 4 and 5). OSError where memory files or such libraries do not exist.
    """
    if sys.platform != "linux" or struct.calcsize("P") != 8:
        raise OSError(f"{name} is not installed")
    file = os.memfd_create(name)
    try:
        os.write(file, _empty_library(name))
        ctypes.CDLL(f"/proc/self/fd/{file}", mode=ctypes.RTLD_GLOBAL)
    finally:
        os.close(file)


def _empty_library(name: str) -> bytes:
    with open(sys.executable, "rb") as program:
        machine = struct.unpack_from("<H", program.read(64), 18)[0]
    strings = b"\0" + name.encode() + b"\0"
    strings += b"\0" * (-len(strings) % 8)
    header, segment, entry, symbol = 64, 56, 16, 24
    at_dynamic = header + 2 * segment
    tags = 7
    at_strings = at_dynamic + tags * entry
    at_symbols = at_strings + len(strings)
    at_hash = at_symbols + symbol
    size = at_hash + 16
    dynamic = ((14, 1), (5, at_strings), (10, len(strings)), (6, at_symbols), (11, symbol), (4, at_hash), (0, 0))
    image = struct.pack("<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, 3, machine, 1, 0, header, 0, 0, header, segment, 2, 64, 0, 0)
    image += struct.pack("<IIQQQQQQ", 1, 6, 0, 0, 0, size, size, 0x1000)  # PT_LOAD: the whole file, read and write
    image += struct.pack("<IIQQQQQQ", 2, 6, at_dynamic, at_dynamic, at_dynamic, tags * entry, tags * entry, 8)
    image += b"".join(struct.pack("<QQ", *pair) for pair in dynamic)
    return image + strings + bytes(symbol) + struct.pack("<4I", 1, 1, 0, 0)


def threads() -> int:
    """How many threads the next regions of this thread use: what primitives are made for."""
    omp = runtime()
    return omp.threads() if omp is not None else 1


@contextlib.contextmanager
def limit(count: int) -> Iterator[None]:
    """Regions that this thread starts in the block use that many threads."""
    omp = runtime()
    before = omp.threads() if omp is not None else 0
    if omp is not None:
        omp.set_threads(count)
    try:
        yield
    finally:
        if omp is not None:
            omp.set_threads(before)
