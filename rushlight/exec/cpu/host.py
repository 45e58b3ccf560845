"""The processor as LLVM sees it: its name and what it can do.

Loading LLVM takes longer than anything else that a process does before its first kernel runs, and where all kernels are on disk
this was all that LLVM was asked. So the answer is kept, for the processor that Linux describes.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

from rushlight.exec.cpu import disk

CPUINFO = Path("/proc/cpuinfo")
ONE = 1 << 13  # characters that describe one processor; the system writes as much as is read, and there may be hundreds
# what describes a processor there, and not its state or which one of several it is
LASTING = frozenset(("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU implementer",
                     "CPU architecture", "CPU variant", "CPU part", "CPU revision"))


@cache
def available() -> bool:
    """Whether llvmlite can be loaded and generates code for this machine."""
    try:
        described()
    except Exception:  # noqa: BLE001 - whatever is wrong with it, plans run on NumPy
        return False
    return True


@cache
def described() -> tuple[str, str]:
    """The processor's name and features as LLVM writes them; an error where LLVM cannot make code for it."""
    import llvmlite
    folder, key = disk.root(), processor()
    name = f"host_{hashlib.sha256(f'{llvmlite.__version__} {key}'.encode()).hexdigest()[:24]}"
    kept = disk.read(folder, name) if key else None
    if kept is not None:
        found, able = json.loads(kept)
        return str(found), str(able)
    from rushlight.exec.cpu import compiler
    answer = compiler.host()
    if key:
        disk.keep(folder, name, json.dumps(answer).encode())
    return answer


def processor(source: Path = CPUINFO) -> str:
    """What Linux says about the first processor; empty where it says nothing."""
    try:
        with source.open(encoding="utf-8", errors="replace") as file:
            first = file.read(ONE).split("\n\n")[0]
    except OSError:
        return ""
    lines = [line.partition(":") for line in first.splitlines()]
    return "\n".join([f"{key.strip()}:{value.strip()}" for key, _, value in lines if key.strip() in LASTING])


@cache
def features() -> frozenset[str]:
    """What the processor can do, by LLVM's names."""
    return frozenset([f[1:] for f in described()[1].split(",") if f.startswith("+")])


@cache
def vector_bytes() -> int:
    """The width of the widest vector registers worth using."""
    return 64 if "avx512f" in features() else 32 if "avx2" in features() else 16
