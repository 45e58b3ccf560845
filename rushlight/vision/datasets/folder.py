"""Downloads: mirrors, checksums, resuming."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


def md5(path: Path) -> str:
    """The MD5 checksum of a file, in hexadecimal."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def download(mirrors: list[str], name: str, folder: Path, checksum: str) -> Path:
    """Fetch a file from the first mirror that has it, going on where an earlier try stopped; RuntimeError names folder and file."""
    target = folder / name
    if target.exists() and md5(target) == checksum:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / (name + ".part")
    problems = []
    for mirror in mirrors:
        try:
            _fetch(mirror + name, part)
            if md5(part) != checksum:
                part.unlink()
                raise OSError(f"the checksum of {mirror}{name} is wrong")
            os.replace(part, target)
            return target
        except (OSError, urllib.error.URLError) as e:
            problems.append(f"{mirror}: {e}")
    raise RuntimeError(f"Error downloading {name}: " + "; ".join(problems) + f". Without a network, put {name} into {folder} by hand.")


def _fetch(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "rushlight", **({"Range": f"bytes={have}-"} if have else {})})
    with urllib.request.urlopen(request, timeout=30) as reply, open(part, "ab" if have and reply.status == 206 else "wb") as f:
        total = int(reply.headers.get("Content-Length") or 0)
        for block in _progress(reply, total, url.rpartition("/")[2]):
            f.write(block)


def _progress(reply: Any, total: int, name: str) -> Any:
    from rich.progress import Progress
    with Progress(transient=True) as bar:
        task = bar.add_task(name, total=total or None)
        while block := reply.read(1 << 16):
            bar.advance(task, len(block))
            yield block
