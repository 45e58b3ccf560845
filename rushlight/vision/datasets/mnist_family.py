"""KMNIST, EMNIST and QMNIST: data sets with MNIST's file format."""

from __future__ import annotations

import os
import shutil
import string
from pathlib import Path
from typing import Any

import numpy as np

from rushlight.tensor.core import wrap
from rushlight.vision.datasets import idx
from rushlight.vision.datasets.archives import extract_archive
from rushlight.vision.datasets.download import DownloadError, fetch
from rushlight.vision.datasets.missing import Wanted, instructions
from rushlight.vision.datasets.mnist import MNIST
from rushlight.vision.datasets.utils import download_and_extract_archive, verify_str_arg


class KMNIST(MNIST):
    """70,000 characters of cursive Japanese, 28×28, ten classes;
    arguments as for MNIST, files in ``root/KMNIST/raw``."""

    mirrors = ["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"]
    resources = [
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    ]
    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


MERGED = set("cijklmopsuvwxyz")  # lower-case letters that look like their capitals
ALL = set(string.digits + string.ascii_letters)


class EMNIST(MNIST):
    """Handwritten letters and digits, 28×28 (transposed, as published).

    Args:
        root: the files lie in ``root/EMNIST/raw``.
        split: "byclass" (62 classes), "bymerge" and "balanced" (47),
            "letters" (26, numbered from 1), "digits", "mnist".
        kwargs: as for MNIST.
    """

    url = "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip"
    md5 = "58c8d27c78d21e728a6bc7b3cc06412e"
    splits = ("byclass", "bymerge", "balanced", "letters", "digits", "mnist")
    classes_split_dict = {
        "byclass": sorted(ALL), "bymerge": sorted(ALL - MERGED), "balanced": sorted(ALL - MERGED),
        "letters": ["N/A", *string.ascii_lowercase], "digits": list(string.digits), "mnist": list(string.digits),
    }

    def __init__(self, root: str | Path, split: str, **kwargs: Any):
        self.split = verify_str_arg(split, "split", self.splits)
        self.train = kwargs.get("train", True)
        super().__init__(root, **kwargs)
        self.classes = self.classes_split_dict[split]

    def _names(self) -> tuple[str, str]:
        prefix = f"emnist-{self.split}-{'train' if self.train else 'test'}"
        return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"

    @property
    def images_file(self) -> str:
        """The file of the images, unpacked or gzipped."""
        return self._file(self._names()[0])

    @property
    def labels_file(self) -> str:
        """The file of the labels, unpacked or gzipped."""
        return self._file(self._names()[1])

    def _load_data(self) -> tuple[Any, Any]:
        return _checked(self.raw_folder, idx.read(self.images_file), idx.read(self.labels_file), 1)

    def _check_exists(self) -> bool:
        return os.path.isfile(self.images_file) and os.path.isfile(self.labels_file)

    def _what_to_do(self) -> str:
        files = [Wanted(f"{name}.gz", f"in {self.url}") for name in self._names()]
        return instructions(self.raw_folder, files, "or unpacked, without the .gz")

    def download(self) -> None:
        """Fetch the archive of all splits (560 MB) and unpack it."""
        if self._check_exists():
            return
        try:
            download_and_extract_archive(self.url, self.raw_folder, md5=self.md5)
        except DownloadError as e:
            raise RuntimeError(f"{e}\n{self._what_to_do()}") from None
        packed = Path(self.raw_folder) / "gzip"
        for file in sorted(packed.glob("*.gz")):
            extract_archive(file, self.raw_folder)
        shutil.rmtree(packed)


def _checked(folder: str, images: np.ndarray, labels: np.ndarray, dimensions: int) -> tuple[Any, Any]:
    if images.dtype != np.uint8 or images.ndim != 3 or labels.ndim != dimensions or len(labels) != len(images):
        raise ValueError(f"{folder} holds images of shape {images.shape} and type {images.dtype} but labels of "
                         f"shape {labels.shape}; files of another data set? Delete them and fetch them again.")
    return wrap(images), wrap(labels.astype(np.int64))


QMNIST_PAGE = "https://raw.githubusercontent.com/facebookresearch/qmnist/master/"


class QMNIST(MNIST):
    """MNIST rebuilt from NIST's forms, with all 60,000 test digits and where each comes from.

    Args:
        root: the files lie in ``root/QMNIST/raw``.
        what: "train", "test", "test10k" (the digits of MNIST's test),
            "test50k" (those it dropped) or "nist" (all 402,953).
        compat: a target is the digit; else the row of eight numbers about it.
        train: chooses between "train" and "test" where ``what`` is None.
        kwargs: as for MNIST.
    """

    subsets = {"train": "train", "test": "test", "test10k": "test", "test50k": "test", "nist": "nist"}
    resources: Any = {
        "train": [(QMNIST_PAGE + "qmnist-train-images-idx3-ubyte.gz", "ed72d4157d28c017586c42bc6afe6370"),
                  (QMNIST_PAGE + "qmnist-train-labels-idx2-int.gz", "0058f8dd561b90ffdd0f734c6a30e5e4")],
        "test": [(QMNIST_PAGE + "qmnist-test-images-idx3-ubyte.gz", "1394631089c404de565df7b7aeaf9412"),
                 (QMNIST_PAGE + "qmnist-test-labels-idx2-int.gz", "5b5b05890a5e13444e108efe57b788aa")],
        "nist": [(QMNIST_PAGE + "xnist-images-idx3-ubyte.xz", "7f124b3b8ab81486c9d8c2749c17f834"),
                 (QMNIST_PAGE + "xnist-labels-idx2-int.xz", "5ed0e788978e45d4a8bd4b7caec3d79d")],
    }
    part = {"test10k": slice(10_000), "test50k": slice(10_000, None)}

    def __init__(self, root: str | Path, what: str | None = None, compat: bool = True,
                 train: bool = True, **kwargs: Any):
        if what is None:
            self.what = verify_str_arg("train" if train else "test", "what")
        else:
            self.what = verify_str_arg(what, "what", tuple(self.subsets))
        self.compat = compat
        super().__init__(root, train, **kwargs)

    def _paths(self) -> list[str]:
        """The two files, unpacked where they are, else packed."""
        packed = [os.path.join(self.raw_folder, os.path.basename(url))
                  for url, _ in self.resources[self.subsets[self.what]]]
        return [plain if os.path.isfile(plain := os.path.splitext(path)[0]) else path for path in packed]

    @property
    def images_file(self) -> str:
        """The file of the images."""
        return self._paths()[0]

    @property
    def labels_file(self) -> str:
        """The file of the labels."""
        return self._paths()[1]

    def _check_exists(self) -> bool:
        return all(map(os.path.isfile, self._paths()))

    def _load_data(self) -> tuple[Any, Any]:
        images, labels = map(idx.read, self._paths())
        part = self.part.get(self.what, slice(None))
        return _checked(self.raw_folder, images[part], labels[part], 2)

    def _what_to_do(self) -> str:
        return instructions(self.raw_folder,
                            [Wanted(os.path.basename(url), url, md5)
                             for url, md5 in self.resources[self.subsets[self.what]]])

    def download(self) -> None:
        """Fetch the two files of the subset."""
        if self._check_exists():
            return
        for url, md5 in self.resources[self.subsets[self.what]]:
            try:
                fetch([url], self.raw_folder, os.path.basename(url), md5)
            except DownloadError as e:
                raise RuntimeError(f"{e}\n{self._what_to_do()}") from None

    def _target(self, index: int) -> Any:
        return int(self.targets[index][0]) if self.compat else self.targets[index]

    def _labels(self) -> Any:
        return super()._labels()[:, 0] if self.compat else super()._labels()

    def extra_repr(self) -> str:
        return f"Split: {self.what}"
