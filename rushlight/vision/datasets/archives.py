"""Unpacking archives and compressed files, known by the ends of their names."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMPRESSIONS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
SHORT = {".tgz": ".tar.gz", ".tbz": ".tar.bz2", ".tbz2": ".tar.bz2"}
ERRORS = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, EOFError)


def kind_of(path: str | Path) -> tuple[str, str, str]:
    """(end of the name, ".tar", ".zip" or "", compression or ""); RuntimeError for a name that says neither.

    >>> kind_of("a.tar.gz"), kind_of("b.zip"), kind_of("c.tgz"), kind_of("d.xz")
    (('.tar.gz', '.tar', '.gz'), ('.zip', '.zip', ''), ('.tgz', '.tar', '.gz'), ('.xz', '', '.xz'))
    """
    suffixes = Path(path).suffixes
    if not suffixes:
        raise RuntimeError(f"File '{path}' has no suffixes that could be used to detect "
                           "the archive type and compression.")
    last = suffixes[-1]
    if last in SHORT:
        return last, ".tar", SHORT[last].removeprefix(".tar")
    if last in (".tar", ".zip"):
        return last, last, ""
    if last in COMPRESSIONS:
        inner = suffixes[-2] if len(suffixes) > 1 and suffixes[-2] == ".tar" else ""
        return inner + last, inner, last
    raise RuntimeError(f"Unknown compression or archive type: '{last}'.\nKnown suffixes are: "
                       f"'{sorted({*SHORT, '.tar', '.zip', *COMPRESSIONS})}'.")


def extract_archive(from_path: str | Path, to_path: str | Path | None = None,
                    remove_finished: bool = False) -> str | Path:
    """Unpack a tar, zip or compressed file into a folder (its own by default) and return the folder or the file.

    What is unpacked appears in the folder only when all of it is there. RuntimeError names a damaged archive; members
    that would land outside the folder are refused.
    """
    folder = Path(to_path if to_path is not None else os.path.dirname(from_path) or ".")
    suffix, archive, compression = kind_of(from_path)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as place:
        try:
            if archive:
                _unpack(from_path, place, archive)
            else:
                unpacked = Path(place) / Path(from_path).name.removesuffix(suffix)
                with COMPRESSIONS[compression](from_path, "rb") as source, open(unpacked, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        except ERRORS as e:
            raise RuntimeError(f"{from_path} is no whole archive: {e}. Delete it and fetch it again.") from e
        result = folder if archive else folder / next(Path(place).iterdir()).name
        _move_into(Path(place), folder)
    if remove_finished:
        os.remove(from_path)
    return str(result) if isinstance(from_path, str) else result


def _unpack(path: str | Path, folder: str, archive: str) -> None:
    if archive == ".zip":
        with zipfile.ZipFile(path) as pack:
            pack.extractall(folder)
        return
    with tarfile.open(path, "r:*") as pack:
        if hasattr(tarfile, "data_filter"):
            pack.extractall(folder, filter="data")
            return
        members = [m for m in pack.getmembers() if m.isfile() or m.isdir()]
        root = os.path.realpath(folder) + os.sep
        for member in members:
            if not (os.path.realpath(os.path.join(folder, member.name)) + os.sep).startswith(root):
                raise tarfile.TarError(f"member {member.name!r} lies outside the folder")
        pack.extractall(folder, members)


def _move_into(source: Path, target: Path) -> None:
    """Everything in one folder into another; folders that both have are merged."""
    for entry in source.iterdir():
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            _move_into(entry, place)
        else:
            os.replace(entry, place)
