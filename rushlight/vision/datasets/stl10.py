"""STL-10: photographs for learning from few labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from rushlight.vision.datasets.download import DownloadError
from rushlight.vision.datasets.in_memory import InMemoryDataset, array_of
from rushlight.vision.datasets.missing import CORRUPTED, Wanted, faults, instructions, not_found
from rushlight.vision.datasets.utils import download_and_extract_archive, verify_str_arg
from rushlight.vision.datasets.vision import Transform

PIXELS = 3 * 96 * 96


class STL10(InMemoryDataset):
    """Photographs in ten classes, 96×96 in colour, and 100,000 without labels, by Coates, Ng and Lee (2011).

    ``data`` is uint8 (N, 3, 96, 96), ``labels`` the class numbers from 0, -1 where there is none.

    Args:
        root: the files lie in ``root/stl10_binary``.
        split: "train" (5,000), "test" (8,000), "unlabeled" or "train+unlabeled".
        folds: one of the ten published choices (0 … 9) of 1,000 training images, None for all.
        transform: function of the PIL image.
        target_transform: function of the class number.
        download: fetch and unpack the archive where files are missing.
    """

    base_folder = "stl10_binary"
    url = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"
    filename = "stl10_binary.tar.gz"
    tgz_md5 = "91f7769df0f17e558f3565bffb0c7dfb"
    class_names_file = "class_names.txt"
    folds_list_file = "fold_indices.txt"
    train_list = [["train_X.bin", "918c2871b30a85fa023e0c44e0bee87f"],
                  ["train_y.bin", "5a34089d4802c674881badbb80307741"],
                  ["unlabeled_X.bin", "5242ba1fed5e4be9e1e742405eb56ca4"]]
    test_list = [["test_X.bin", "7f263ba9f9e0b06b93213547f721ac82"], ["test_y.bin", "36f9794fa4beb8a2c72628de14fa638e"]]
    splits = ("train", "train+unlabeled", "unlabeled", "test")

    def __init__(self, root: str | Path, split: str = "train", folds: int | None = None,
                 transform: Transform | None = None, target_transform: Transform | None = None, download: bool = False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.split = verify_str_arg(split, "split", self.splits)
        self.folds = _checked_folds(folds)
        if download:
            self.download()
        wrong = faults(self._folder, self._wanted())
        if wrong:
            raise not_found(CORRUPTED, self._folder, self._wanted(), f"they are in {self.url}", wrong)
        self.data, self.labels = self._load()
        names = os.path.join(self._folder, self.class_names_file)
        if os.path.isfile(names):
            self.classes = Path(names).read_text(encoding="utf8").splitlines()

    @property
    def _folder(self) -> str:
        return os.path.join(self.root or "", self.base_folder)

    def _wanted(self) -> list[Wanted]:
        return [Wanted(name, md5=md5) for name, md5 in [*self.train_list, *self.test_list]]

    def _load(self) -> tuple[np.ndarray, np.ndarray]:
        parts = []
        if self.split in ("train", "train+unlabeled"):
            images, labels = self._images("train_X.bin"), self._classes("train_y.bin")
            rows = slice(None) if self.folds is None else self._fold(self.folds)
            parts.append((images[rows], labels[rows]))
        if self.split == "test":
            parts.append((self._images("test_X.bin"), self._classes("test_y.bin")))
        if "unlabeled" in self.split:
            images = self._images("unlabeled_X.bin")
            parts.append((images, np.full(len(images), -1)))
        return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])

    def _images(self, name: str) -> np.ndarray:
        path = os.path.join(self._folder, name)
        pixels = np.fromfile(path, np.uint8)
        if pixels.size % PIXELS:
            raise ValueError(f"{path} has {pixels.size} bytes, "
                             f"which is no multiple of {PIXELS}. Delete it and fetch it again.")
        return pixels.reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)  # columns come first in the file

    def _classes(self, name: str) -> np.ndarray:
        return np.fromfile(os.path.join(self._folder, name), np.uint8) - np.uint8(1)

    def _fold(self, number: int) -> np.ndarray:
        path = Path(self._folder) / self.folds_list_file
        return np.array(path.read_text(encoding="utf8").splitlines()[number].split(), np.int64)

    def _pictures(self) -> np.ndarray:
        return array_of(self.data).transpose(0, 2, 3, 1)

    def _labels(self) -> Any:
        return array_of(self.labels)

    def _target(self, index: int) -> int:
        return int(self.labels[index])

    def download(self) -> None:
        """Fetch and unpack the archive (2.6 GB) unless all files are there."""
        if not faults(self._folder, self._wanted()):
            return
        try:
            download_and_extract_archive(self.url, self.root or ".", filename=self.filename, md5=self.tgz_md5)
        except DownloadError as e:
            advice = instructions(self._folder, self._wanted(), f"they are in {self.url}")
            raise RuntimeError(f"{e}\n{advice}") from None

    def extra_repr(self) -> str:
        return f"Split: {self.split}"


def _checked_folds(folds: Any) -> int | None:
    if folds is not None and not isinstance(folds, int):
        raise ValueError(f"Expected type None or int for argument folds, but got type {type(folds)}.")
    if folds is not None and folds not in range(10):
        raise ValueError(f"Value for argument folds should be in the range [0, 10), but got {folds}.")
    return folds
