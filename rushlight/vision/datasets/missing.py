"""What to say when files of a data set are missing: the folder, the files, where each comes from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rushlight.vision.datasets.download import calculate_md5

NOT_FOUND = "Dataset not found. You can use download=True to download it."
CORRUPTED = "Dataset not found or corrupted. You can use download=True to download it."


class Wanted(NamedTuple):
    """A file by name, where it is published (or how it comes about), and its MD5 sum where known."""

    name: str
    source: str = ""
    md5: str | None = None


def instructions(folder: str | Path, files: Iterable[Wanted], hint: str = "") -> str:
    """How to get along without a network."""
    lines = "\n".join(f"    {f.name}{f'  ({f.source})' if f.source else ''}" for f in files)
    return f"Without a network, put these files into {os.path.abspath(folder)}{f' ({hint})' if hint else ''}:\n{lines}"


def faults(folder: str | Path, files: Iterable[Wanted]) -> list[str]:
    """What is wrong with each file that is not there as published."""
    found = []
    for file in files:
        path = os.path.join(folder, file.name)
        if not os.path.isfile(path):
            found.append(f"{path} is missing")
        elif file.md5 is not None and (md5 := calculate_md5(path)) != file.md5:
            found.append(f"{path} is damaged (MD5 {md5}, expected {file.md5}); delete it and fetch it again")
    return found


def not_found(first: str, folder: str | Path, files: Iterable[Wanted], hint: str = "",
              wrong: Iterable[str] = ()) -> RuntimeError:
    """The error about files that are missing or damaged."""
    return RuntimeError("\n".join([f"{first} {instructions(folder, files, hint)}", *wrong]))
