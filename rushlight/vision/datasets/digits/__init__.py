"""Digits: 1,797 scans of handwritten digits that come with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rushlight.tensor.core import wrap
from rushlight.vision.datasets.in_memory import InMemoryDataset
from rushlight.vision.datasets.vision import Transform

FILE = Path(__file__).with_name("digits.npz")
DEPTH = 16  # the scans count inked pixels in 4×4 blocks


class Digits(InMemoryDataset):
    """UCI's optical digits, 8×8 scans (CC BY 4.0; see ATTRIBUTION.md beside the data).

    ``data`` is uint8 (N, 8, 8) with ink from 0 to 255, ``targets`` int64 (N,). Every fifth scan, counted from the fifth,
    belongs to the test part: 1,438 scans train, 359 test.

    >>> len(Digits()), len(Digits(train=False))
    (1438, 359)
    """

    classes = [str(digit) for digit in range(10)]

    def __init__(self, train: bool = True, transform: Transform | None = None, target_transform: Transform | None = None):
        super().__init__(None, transform=transform, target_transform=target_transform)
        self.train = train
        with np.load(FILE, allow_pickle=False) as archive:
            images, labels = archive["images"], archive["labels"]
        held_out = np.arange(len(labels)) % 5 == 4
        chosen = ~held_out if train else held_out
        ink = np.rint(images[chosen] * (255.0 / DEPTH))
        self.data = wrap(ink.astype(np.uint8))
        self.targets = wrap(labels[chosen].astype(np.int64))

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"
