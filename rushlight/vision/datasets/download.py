"""Downloading a file: mirrors, resuming, checksum, progress."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rushlight.progress import Progress

CHUNK = 1 << 18
TIMEOUT = 20.0  # seconds without a byte
ATTEMPTS = 3  # per mirror
RANGE_NOT_SATISFIABLE = 416


class DownloadError(RuntimeError):
    """No mirror gave the file."""


def calculate_md5(fpath: str | Path, chunk_size: int = 1 << 20) -> str:
    """The MD5 sum of a file in hexadecimal."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(fpath, "rb") as file:
        while chunk := file.read(chunk_size):
            digest.update(chunk)
    return digest.hexdigest()


def check_integrity(fpath: str | Path, md5: str | None = None) -> bool:
    """Whether the file exists and, where a sum is given, has it."""
    return os.path.isfile(fpath) and (md5 is None or calculate_md5(fpath) == md5)


def fetch(urls: Sequence[str], folder: str | Path, filename: str, md5: str | None = None,
          progress: bool = True) -> Path:
    """Download one file from the first of several addresses that gives it whole, and return its path.

    What arrived before a connection broke is kept in ``filename.part`` and continued. The file appears under its name
    only when its MD5 sum is right. DownloadError lists what each address answered.
    """
    target = Path(folder) / filename
    if check_integrity(target, md5):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    failures = []
    for url in urls:
        try:
            _fetch_one(url, part, progress)
            _check(part, md5)
        except (OSError, http.client.HTTPException, DownloadError) as e:
            failures.append(f"  {url}: {_reason(e)}")
            continue
        os.replace(part, target)
        return target
    raise DownloadError(f"Could not download {filename}:\n" + "\n".join(failures))


def _fetch_one(url: str, part: Path, progress: bool) -> None:
    """Fill ``part`` from one address, going on where it ends; a broken connection is tried again."""
    for attempt in range(ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            return _continue(url, part, before, progress)
        except (OSError, http.client.HTTPException) as e:
            arrived = part.exists() and part.stat().st_size > before
            if attempt == ATTEMPTS - 1 or not (arrived or _may_pass(e)):
                raise
            time.sleep(0.2 * 2**attempt)


def _may_pass(e: Exception) -> bool:
    """Whether trying again may help: the server was there but broke off or was busy."""
    if isinstance(e, urllib.error.HTTPError):
        return e.code >= 500
    return isinstance(e, (http.client.HTTPException, ConnectionResetError))


def _continue(url: str, part: Path, have: int, progress: bool) -> None:
    headers = {"User-Agent": "rushlight", **({"Range": f"bytes={have}-"} if have else {})}
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as e:
        if e.code != RANGE_NOT_SATISFIABLE:
            raise
        return  # the part is whole already, or not of this file: its sum will tell
    with response:
        resumed = have > 0 and response.status == http.client.PARTIAL_CONTENT
        length = response.headers.get("Content-Length")
        total = None if length is None else int(length) + (have if resumed else 0)
        _receive(response, part, have if resumed else 0, total, progress)


def _receive(response: Any, part: Path, done: int, total: int | None, progress: bool) -> None:
    shown = Progress(part.name.removesuffix(".part"), total, unit="bytes") if progress else contextlib.nullcontext()
    with open(part, "ab" if done else "wb") as file, shown as bar:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            if bar is not None:
                bar.update(done)
    if total is not None and done < total:
        raise http.client.IncompleteRead(b"", total - done)


def _check(part: Path, md5: str | None) -> None:
    if md5 is not None:
        found = calculate_md5(part)
        if found != md5:
            part.unlink()
            raise DownloadError(f"what arrived has MD5 {found}, expected {md5}")


def _reason(e: Exception) -> str:
    if isinstance(e, http.client.IncompleteRead):
        return f"the connection broke {e.expected:,} bytes before the end"
    reason = getattr(e, "reason", None)
    return (str(reason) if isinstance(e, urllib.error.URLError)
            and not isinstance(e, urllib.error.HTTPError) else str(e) or type(e).__name__)
