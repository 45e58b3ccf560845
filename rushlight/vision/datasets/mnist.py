"""MNIST and the data sets that share its files' format."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from rushlight.tensor.core import wrap
from rushlight.vision.datasets import idx
from rushlight.vision.datasets.download import DownloadError, check_integrity, fetch
from rushlight.vision.datasets.in_memory import InMemoryDataset
from rushlight.vision.datasets.vision import Transform


class MNIST(InMemoryDataset):
    """70,000 handwritten digits, 28×28, by LeCun, Cortes and Burges.

    Args:
        root: the files lie in ``root/MNIST/raw``, gzipped as published or unpacked.
        train: the 60,000 training images, else the 10,000 test images.
        transform: function of the PIL image.
        target_transform: function of the class number.
        download: fetch files that are missing.
    """

    mirrors = ["https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"]
    resources = [
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ]
    classes = ["0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six", "7 - seven",
               "8 - eight", "9 - nine"]

    def __init__(self, root: str | Path, train: bool = True, transform: Transform | None = None,
                 target_transform: Transform | None = None, download: bool = False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        if download:
            self.download()
        if not self._check_exists():
            raise RuntimeError("Dataset not found. You can use download=True to download it. " + self._what_to_do())
        self.data, self.targets = self._load_data()

    def _load_data(self) -> tuple[Any, Any]:
        part = "train" if self.train else "t10k"
        images = idx.read(self._file(f"{part}-images-idx3-ubyte.gz"))
        labels = idx.read(self._file(f"{part}-labels-idx1-ubyte.gz"))
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise ValueError(f"{self.raw_folder}: "
                             f"{part} holds images of shape {images.shape} but labels of shape {labels.shape}")
        return wrap(images), wrap(labels.astype(np.int64))

    def _file(self, name: str) -> str:
        """The unpacked file where there is one, else the gzipped."""
        plain = os.path.join(self.raw_folder, name.removesuffix(".gz"))
        return plain if os.path.isfile(plain) else plain + ".gz"

    def _check_exists(self) -> bool:
        return all(os.path.isfile(self._file(name)) for name, _ in self.resources)

    def _what_to_do(self) -> str:
        names = "\n".join(f"    {name}" for name, _ in self.resources)
        return (f"Without a network, put these files into {os.path.abspath(self.raw_folder)} (gzipped, "
                f"or unpacked without the .gz):\n{names}")

    def download(self) -> None:
        """Fetch what is missing or damaged, from the first mirror that has it."""
        for name, md5 in self.resources:
            plain = self._file(name)
            if not plain.endswith(".gz") or check_integrity(plain, md5):
                continue
            try:
                fetch([mirror + name for mirror in self.mirrors], self.raw_folder, name, md5)
            except DownloadError as e:
                raise RuntimeError(f"{e}\n{self._what_to_do()}") from None

    @property
    def raw_folder(self) -> str:
        """Where the published files lie."""
        return os.path.join(self.root or "", type(self).__name__, "raw")

    @property
    def processed_folder(self) -> str:
        """Where old versions of torchvision kept converted files."""
        return os.path.join(self.root or "", type(self).__name__, "processed")

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class numbers by name."""
        return {name: number for number, name in enumerate(self.classes)}

    @property
    def train_labels(self) -> Any:
        """The old name of ``targets``."""
        warnings.warn("train_labels has been renamed targets", stacklevel=2)
        return self.targets

    @property
    def test_labels(self) -> Any:
        """The old name of ``targets``."""
        warnings.warn("test_labels has been renamed targets", stacklevel=2)
        return self.targets

    @property
    def train_data(self) -> Any:
        """The old name of ``data``."""
        warnings.warn("train_data has been renamed data", stacklevel=2)
        return self.data

    @property
    def test_data(self) -> Any:
        """The old name of ``data``."""
        warnings.warn("test_data has been renamed data", stacklevel=2)
        return self.data

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class FashionMNIST(MNIST):
    """70,000 pictures of clothes, 28×28, by Zalando Research; arguments as for MNIST, files in
    ``root/FashionMNIST/raw``."""

    mirrors = ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"]
    resources = [
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ]
    classes = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
