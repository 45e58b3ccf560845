"""Downloading helpers under torchvision's names."""

from __future__ import annotations

import os
from pathlib import Path

from rushlight.vision.datasets.download import calculate_md5, check_integrity, fetch

__all__ = ["calculate_md5", "check_integrity", "check_md5", "download_url"]


def check_md5(fpath: str | Path, md5: str) -> bool:
    """Whether the file has this MD5 sum."""
    return calculate_md5(fpath) == md5


def download_url(url: str, root: str | Path, filename: str | Path | None = None, md5: str | None = None, max_redirect_hops: int = 3) -> None:
    """Download a file into a folder unless it is there with the right sum; urllib follows up to ten redirects itself."""
    if max_redirect_hops > 10:
        raise NotImplementedError("download_url: max_redirect_hops above 10")
    fetch([url], os.path.expanduser(root), str(filename or os.path.basename(url)), md5)
