"""CIFAR-10 and CIFAR-100: 32×32 photographs in pickles, which are read without running any code of theirs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from rushlight.serialization.plain_pickles import load_plain
from rushlight.vision.datasets.download import DownloadError
from rushlight.vision.datasets.in_memory import InMemoryDataset
from rushlight.vision.datasets.missing import CORRUPTED, Wanted, faults, instructions, not_found
from rushlight.vision.datasets.utils import download_and_extract_archive
from rushlight.vision.datasets.vision import Transform


class CIFAR10(InMemoryDataset):
    """60,000 photographs in ten classes, 32×32 in colour, by Krizhevsky.

    ``data`` is uint8 (N, 32, 32, 3), ``targets`` a list of class numbers.

    Args:
        root: the files lie in ``root/cifar-10-batches-py``.
        train: the 50,000 training images, else the 10,000 test images.
        transform: function of the PIL image.
        target_transform: function of the class number.
        download: fetch and unpack the archive where files are missing.
    """

    base_folder = "cifar-10-batches-py"
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    filename = "cifar-10-python.tar.gz"
    tgz_md5 = "c58f30108f718f92721af3b95e74349a"
    train_list = [
        ["data_batch_1", "c99cafc152244af753f735de768cd75f"],
        ["data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"],
        ["data_batch_3", "54ebc095f3ab1f0389bbae665268c751"],
        ["data_batch_4", "634d18415352ddfa80567beed471001a"],
        ["data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"],
    ]
    test_list = [["test_batch", "40351d587109b95175f43aff81a1287e"]]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": "5ff9c542aee3614f3951f8cda6e48888"}

    def __init__(self, root: str | Path, train: bool = True, transform: Transform | None = None,
                 target_transform: Transform | None = None, download: bool = False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        if download:
            self.download()
        wrong = self._faults()
        if wrong:
            raise not_found(CORRUPTED, self._folder, self._wanted(), f"they are in {self.url}", wrong)
        parts = [self._batch(name) for name, _ in (self.train_list if train else self.test_list)]
        self.data = np.concatenate([images for images, _ in parts])
        self.targets = [label for _, labels in parts for label in labels]
        self.classes = self._class_names()
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}

    @property
    def _folder(self) -> str:
        return os.path.join(self.root or "", self.base_folder)

    def _wanted(self) -> list[Wanted]:
        return [Wanted(name, md5=md5)
                for name, md5 in [*self.train_list, *self.test_list, [self.meta["filename"], self.meta["md5"]]]]

    def _faults(self) -> list[str]:
        return faults(self._folder, self._wanted())

    def _batch(self, name: str) -> tuple[np.ndarray, list[int]]:
        """Images (N, 32, 32, 3) and labels of one file; ValueError where it holds something else."""
        path = os.path.join(self._folder, name)
        entry = load_plain(path)
        images = entry.get("data") if isinstance(entry, dict) else None
        labels = entry.get("labels", entry.get("fine_labels")) if isinstance(entry, dict) else None
        bytewise = isinstance(images, np.ndarray) and images.dtype == np.uint8
        numbered = isinstance(labels, list) and all(isinstance(n, int) for n in labels)
        if not bytewise or not numbered or not images.size == 3072 * len(images) == 3072 * len(labels):
            raise ValueError(f"{path} is no batch of {type(self).__name__}: it has no 'data' of 3,072 "
                             "bytes and one label for each image. Delete it and fetch it again.")
        return images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels

    def _class_names(self) -> list[str]:
        path = os.path.join(self._folder, self.meta["filename"])
        entry = load_plain(path)
        names = entry.get(self.meta["key"]) if isinstance(entry, dict) else None
        if not isinstance(names, list):
            raise ValueError(f"{path} has no list {self.meta['key']!r}. Delete it and fetch it again.")
        return names

    def download(self) -> None:
        """Fetch and unpack the archive unless all files are there."""
        if not self._faults():
            return
        try:
            download_and_extract_archive(self.url, self.root or ".", filename=self.filename, md5=self.tgz_md5)
        except DownloadError as e:
            advice = instructions(self._folder, self._wanted(), f"they are in {self.url}")
            raise RuntimeError(f"{e}\n{advice}") from None

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class CIFAR100(CIFAR10):
    """60,000 photographs in a hundred classes; arguments as for CIFAR10, files in ``root/cifar-100-python``."""

    base_folder = "cifar-100-python"
    url = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    filename = "cifar-100-python.tar.gz"
    tgz_md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    train_list = [["train", "16019d7e3df5f24257cddd939b257f8d"]]
    test_list = [["test", "f0ef6b0ae62326f3e7ffdfab6717acfc"]]
    meta = {"filename": "meta", "key": "fine_label_names", "md5": "7973b15100ade9c7d40fb424638fde48"}
