"""Helpers of data sets under torchvision's names."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from rushlight.vision.datasets.archives import extract_archive
from rushlight.vision.datasets.download import calculate_md5, check_integrity, fetch

__all__ = ["calculate_md5", "check_integrity", "check_md5", "download_and_extract_archive", "download_url",
           "extract_archive", "list_dir",
           "list_files", "verify_str_arg"]


def check_md5(fpath: str | Path, md5: str) -> bool:
    """Whether the file has this MD5 sum."""
    return calculate_md5(fpath) == md5


def download_url(url: str, root: str | Path, filename: str | Path | None = None, md5: str | None = None,
                 max_redirect_hops: int = 3) -> None:
    """Download a file into a folder unless it is there with the right sum;
    urllib follows up to ten redirects itself."""
    if max_redirect_hops > 10:
        raise NotImplementedError("download_url: max_redirect_hops above 10")
    fetch([url], os.path.expanduser(root), str(filename or os.path.basename(url)), md5)


def download_and_extract_archive(url: str, download_root: str | Path, extract_root: str | Path | None = None,
                                 filename: str | Path | None = None, md5: str | None = None,
                                 remove_finished: bool = False) -> None:
    """`download_url`, then `extract_archive` into ``extract_root``, by default the same folder."""
    folder, name = os.path.expanduser(download_root), str(filename or os.path.basename(url))
    download_url(url, folder, name, md5)
    extract_archive(os.path.join(folder, name), extract_root or folder, remove_finished)


def list_dir(root: str | Path, prefix: bool = False) -> list[str]:
    """Folders in a folder, with the folder's own path in front where ``prefix``."""
    root = os.path.expanduser(root)
    return [os.path.join(root, d) if prefix else d for d in os.listdir(root) if os.path.isdir(os.path.join(root, d))]


def list_files(root: str | Path, suffix: str, prefix: bool = False) -> list[str]:
    """Files in a folder whose names end so."""
    root = os.path.expanduser(root)
    return [os.path.join(root, f) if prefix else f
            for f in os.listdir(root) if f.endswith(suffix) and os.path.isfile(os.path.join(root, f))]


def verify_str_arg(value: Any, arg: str | None = None, valid_values: Collection[str] | None = None,
                   custom_msg: str | None = None) -> Any:
    """The value if it is one of the strings; ValueError otherwise."""
    if not isinstance(value, str):
        raise ValueError(f"Expected type str{f' for argument {arg}' if arg else ''}, but got type {type(value)}.")
    if valid_values is not None and value not in valid_values:
        listed = '"' + '", "'.join(valid_values) + '"' if valid_values else ""
        raise ValueError(custom_msg or f"Unknown value '{value}' for argument {arg}. Valid values are {{{listed}}}.")
    return value
