"""Files kept between processes: whole, checked, private, and of bounded size."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path


def root(kind: str = "kernels") -> Path | None:
    """Where things of a kind are kept: $RUSHLIGHT_CACHE_DIR, else the user's cache folder; None when set to the empty string."""
    chosen = os.environ.get("RUSHLIGHT_CACHE_DIR")
    if chosen == "":
        return None
    above = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rushlight"
    return above / kind


def read(folder: Path | None, name: str) -> bytes | None:
    """A kept file; one that does not carry its own checksum is ignored."""
    if folder is None:
        return None
    try:
        data = (folder / name).read_bytes()
    except OSError:
        return None
    code, check = data[:-32], data[-32:]
    return code if hashlib.sha256(code).digest() == check else None


def keep(folder: Path | None, name: str, code: bytes) -> None:
    """Write a file whole or not at all; a folder that cannot be written is no error."""
    if folder is None:
        return
    try:
        _private(folder)
        stray = folder / f"{name}.{os.getpid()}.{threading.get_ident()}"
        with open(os.open(stray, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(code + hashlib.sha256(code).digest())
        stray.replace(folder / name)
        _bound(folder, len(code))
    except OSError:
        return


def _private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone."""
    if not folder.is_dir():
        _private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


MOST_BYTES = 256 << 20  # of the folder of a kind, all versions together
_written: dict[Path, int] = {}


def _bound(folder: Path, size: int) -> None:
    """Now and then delete the files that were written longest ago, while there is too much of a kind."""
    written = _written[folder.parent] = _written.get(folder.parent, 0) + size
    if written < MOST_BYTES // 64:
        return
    _written[folder.parent] = 0
    found = sorted((f.stat().st_mtime, f.stat().st_size, f) for f in folder.parent.rglob("*") if f.is_file())
    total = sum(size for _, size, _ in found)
    for _, size, file in found:
        if total <= MOST_BYTES:
            return
        file.unlink(missing_ok=True)
        total -= size
