"""Weight files from the network, kept in a folder of the user's: the part of torch.hub that models need."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

HASH_IN_NAME = re.compile(r"-([a-f0-9]*)\.")
_folder: str | None = None


def get_dir() -> str:
    """The folder that downloads are kept in: what ``set_dir`` said, else ``hub`` under $TORCH_HOME.

    Without $TORCH_HOME it is under ``$XDG_CACHE_HOME/torch``, and that is ``~/.cache/torch`` where nothing is set.
    """
    if _folder is not None:
        return _folder
    home = os.environ.get("TORCH_HOME", os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
    return os.path.join(os.path.expanduser(home), "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Keep downloads in this folder from now on."""
    global _folder
    _folder = os.path.expanduser(d)


def checkpoint_path(url: str, model_dir: str | os.PathLike[str] | None = None, file_name: str | None = None) -> Path:
    """Where the file of an address is kept.

    >>> checkpoint_path("https://example.org/net-0a1b2c3d.pth?x=1", "/tmp").name
    'net-0a1b2c3d.pth'
    """
    return Path(model_dir or os.path.join(get_dir(), "checkpoints")) / (file_name
                                                                        or os.path.basename(urlparse(url).path))


def download_url_to_file(url: str, dst: str | os.PathLike[str], hash_prefix: str | None = None,
                         progress: bool = True) -> None:
    """Download one file; it appears under its name only when its SHA-256 sum begins with ``hash_prefix``.

    RuntimeError where the sum is another or nothing could be downloaded;
    the text says where the file can be put by hand.
    """
    # not before it is needed: it brings all data sets
    from rushlight.vision.datasets.download import DownloadError, fetch
    target = Path(dst)
    arrived = target.with_name(target.name + ".unchecked")
    arrived.unlink(missing_ok=True)
    try:
        fetch([url], target.parent, arrived.name, progress=progress)
    except DownloadError as e:
        raise RuntimeError(f"{e}\nWithout a network: download {url} elsewhere and put it at {target}") from e
    if hash_prefix is not None:
        _check_hash(arrived, hash_prefix)
    os.replace(arrived, target)


def _check_hash(path: Path, prefix: str) -> None:
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(prefix):
        path.unlink()
        raise RuntimeError(f'invalid hash value (expected "{prefix}", got "{found}"): what arrived is damaged '
                           'or another file; ' "it was removed, so the next attempt downloads it again")


def load_state_dict_from_url(url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True,
                             check_hash: bool = False, file_name: str | None = None,
                             weights_only: bool = False) -> dict[str, Any]:
    """The object saved in the file at an address, downloaded unless it is in ``<hub folder>/checkpoints`` already.

    ``check_hash``: the name ends in the first digits of the file's SHA-256 sum (``net-0a1b2c3d.pth``), which what is
    downloaded must have. ``weights_only``: rushlight reads weight files without running code in any case.
    """
    path = checkpoint_path(url, model_dir, file_name)
    if not path.exists():
        if progress:
            print(f'Downloading: "{url}" to {path}', file=sys.stderr)
        digest = HASH_IN_NAME.search(path.name) if check_hash else None
        download_url_to_file(url, path, digest.group(1) if digest else None, progress)
    from rushlight.serialization import load as load_file
    return load_file(path, map_location=map_location, weights_only=True)


def _entry(folder: str, name: str) -> Callable[..., Any]:
    file = Path(folder) / "hubconf.py"
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist: a folder for torch.hub has its entry points in hubconf.py")
    spec = importlib.util.spec_from_file_location("hubconf", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    entry = getattr(module, name, None)
    if not callable(entry):
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return entry


def load(repo_or_dir: str, model: str, *args: Any, source: str = "github", trust_repo: Any = "check",
         force_reload: bool = False, verbose: bool = True, skip_validation: bool = False, **kwargs: Any) -> Any:
    """Call an entry point of a folder's ``hubconf.py``; only ``source="local"`` is provided.

    NotImplementedError for other sources: clone the repository and name its folder.
    """
    if source != "local":
        raise NotImplementedError(f"hub.load from {source!r} is not provided: clone {repo_or_dir} and call "
                                  f"hub.load(folder, {model!r}, source='local')")
    return _entry(repo_or_dir, model)(*args, **kwargs)


def _get_torch_home() -> str:
    """$TORCH_HOME, or the folder of caches that get_dir() is in without set_dir."""
    home = os.environ.get("TORCH_HOME", os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
    return os.path.expanduser(home)
