"""SVHN: house numbers from street photographs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from rushlight.vision.datasets.download import DownloadError
from rushlight.vision.datasets.in_memory import InMemoryDataset, array_of
from rushlight.vision.datasets.matlab import read_mat
from rushlight.vision.datasets.missing import CORRUPTED, Wanted, faults, instructions, not_found
from rushlight.vision.datasets.utils import download_url, verify_str_arg
from rushlight.vision.datasets.vision import Transform

PAGE = "http://ufldl.stanford.edu/housenumbers/"


class SVHN(InMemoryDataset):
    """Digits of house numbers, 32×32 in colour, by Netzer et al. (2011); needs SciPy for its Matlab files.

    ``data`` is uint8 (N, 3, 32, 32), ``labels`` int64 (N,), the digit zero as 0.

    Args:
        root: the folder with ``train_32x32.mat``, ``test_32x32.mat`` or ``extra_32x32.mat``.
        split: "train" (73,257 digits), "test" (26,032) or "extra" (531,131 easier ones).
        transform: function of the PIL image.
        target_transform: function of the digit.
        download: fetch the file where it is missing.
    """

    split_list = {
        "train": [PAGE + "train_32x32.mat", "train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"],
        "test": [PAGE + "test_32x32.mat", "test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"],
        "extra": [PAGE + "extra_32x32.mat", "extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7"],
    }

    def __init__(self, root: str | Path, split: str = "train", transform: Transform | None = None,
                 target_transform: Transform | None = None, download: bool = False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.split = verify_str_arg(split, "split", tuple(self.split_list))
        self.url, self.filename, self.file_md5 = self.split_list[split]
        wanted = [Wanted(self.filename, self.url, self.file_md5)]
        if download:
            self._download(wanted)
        wrong = faults(root, wanted)
        if wrong:
            raise not_found(CORRUPTED, root, wanted, wrong=wrong)
        found = read_mat(os.path.join(self.root or "", self.filename), "X", "y")
        self.data: np.ndarray = np.ascontiguousarray(found["X"].transpose(3, 2, 0, 1))
        self.labels = found["y"].astype(np.int64).reshape(-1)
        self.labels[self.labels == 10] = 0

    def _download(self, wanted: list[Wanted]) -> None:
        try:
            download_url(self.url, self.root or ".", self.filename, self.file_md5)
        except DownloadError as e:
            raise RuntimeError(f"{e}\n{instructions(self.root or '.', wanted)}") from None

    def _pictures(self) -> np.ndarray:
        return array_of(self.data).transpose(0, 2, 3, 1)

    def _labels(self) -> Any:
        return array_of(self.labels)

    def _target(self, index: int) -> int:
        return int(self.labels[index])

    def extra_repr(self) -> str:
        return f"Split: {self.split}"
