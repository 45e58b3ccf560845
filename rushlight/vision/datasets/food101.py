"""Food-101."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rushlight.vision.datasets.download import DownloadError
from rushlight.vision.datasets.folder import default_loader
from rushlight.vision.datasets.labelled_files import LabelledFiles
from rushlight.vision.datasets.missing import NOT_FOUND, Wanted, instructions, not_found
from rushlight.vision.datasets.utils import download_and_extract_archive, verify_str_arg
from rushlight.vision.datasets.vision import Transform


class Food101(LabelledFiles):
    """101,000 photographs of 101 dishes, by Bossard, Guillaumin and Van Gool (2014).

    Args:
        root: the files lie in ``root/food-101/images/<class>/<number>.jpg`` and ``root/food-101/meta``.
        split: "train" (750 per class) or "test" (250).
        transform: function of what the loader gives.
        target_transform: function of the class number.
        download: fetch and unpack the archive (4.7 GB) where it is missing.
        loader: makes a picture of a path.
    """

    _URL = "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz"
    _MD5 = "85eeb15f3717b99a5da872d97d918f87"

    def __init__(self, root: str | Path, split: str = "train", transform: Transform | None = None,
                 target_transform: Transform | None = None, download: bool = False,
                 loader: Callable[[Any], Any] = default_loader):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self._split = verify_str_arg(split, "split", ("train", "test"))
        self._base_folder = Path(self.root or ".") / "food-101"
        self._meta_folder, self._images_folder = self._base_folder / "meta", self._base_folder / "images"
        if download:
            self._download()
        if not self._check_exists():
            raise not_found(NOT_FOUND, self._base_folder, self._wanted())
        listing = json.loads((self._meta_folder / f"{split}.json").read_text(encoding="utf8"))
        self.classes = sorted(listing)
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        pairs = [(self.class_to_idx[name], self._images_folder / f"{path}.jpg")
                 for name, paths in listing.items() for path in paths]
        self._labels = [label for label, _ in pairs]
        self._image_files = [path for _, path in pairs]
        self.loader = loader

    def _wanted(self) -> list[Wanted]:
        return [Wanted(name, f"from {self._URL}")
                for name in ("meta/train.json", "meta/test.json", "images/<class>/<number>.jpg")]

    def _check_exists(self) -> bool:
        return self._meta_folder.is_dir() and self._images_folder.is_dir()

    def _download(self) -> None:
        if self._check_exists():
            return
        try:
            download_and_extract_archive(self._URL, self.root or ".", md5=self._MD5)
        except DownloadError as e:
            raise RuntimeError(f"{e}\n{instructions(self._base_folder, self._wanted())}") from None
