"""Digits: 1,797 scans of handwritten digits that come with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rushlight.tensor.core import wrap
from rushlight.vision.datasets.in_memory import InMemoryDataset
from rushlight.vision.datasets.vision import Transform

FILE = Path(__file__).with_name("digits.npz")
DEPTH = 16  # the scans count inked pixels in 4×4 blocks
TRAINING = 1437  # scans, four fifths


class Digits(InMemoryDataset):
    """UCI's optical digits, 8×8 scans (CC BY 4.0; see ATTRIBUTION.md beside the data).

    ``data`` is uint8 (N, 8, 8) with ink from 0 to 255, ``targets`` int64 (N,). In the order of the file the first 1,437
    scans train, the last 360 test: scans of one writer follow each other, so that most test digits are of other hands.

    >>> len(Digits()), len(Digits(train=False))
    (1437, 360)
    """

    classes = [str(digit) for digit in range(10)]

    def __init__(self, train: bool = True, transform: Transform | None = None,
                 target_transform: Transform | None = None):
        super().__init__(None, transform=transform, target_transform=target_transform)
        self.train = train
        with np.load(FILE, allow_pickle=False) as archive:
            images, labels = archive["images"], archive["labels"]
        chosen = slice(None, TRAINING) if train else slice(TRAINING, None)
        ink = np.rint(images[chosen] * (255.0 / DEPTH))
        self.data = wrap(ink.astype(np.uint8))
        self.targets = wrap(labels[chosen].astype(np.int64))

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"
