"""FakeData: noise, for trying out programs."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight import rng
from rushlight.tensor.core import wrap
from rushlight.tensor.creation import tensor
from rushlight.vision.datasets.vision import Transform, VisionDataset
from rushlight.vision.transforms.functional import to_pil_image


class FakeData(VisionDataset):
    """Normal noise as PIL images with class numbers drawn by chance; sample n is the same in every run.

    Args:
        size: how many samples.
        image_size: (channels, height, width).
        num_classes: how many classes.
        transform: function of the PIL image.
        target_transform: function of the class number, a tensor without dimensions.
        random_offset: another offset gives other samples.
    """

    def __init__(self, size: int = 1000, image_size: tuple[int, int, int] = (3, 224, 224), num_classes: int = 10,
                 transform: Transform | None = None, target_transform: Transform | None = None, random_offset: int = 0):
        super().__init__(transform=transform, target_transform=target_transform)
        self.size, self.num_classes, self.image_size, self.random_offset = size, num_classes, image_size, random_offset

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if index >= len(self):
            raise IndexError(f"{type(self).__name__} index out of range")
        stream = rng.Engine(index + self.random_offset)
        pixels = rng.normal(stream, int(np.prod(self.image_size)), 0.0, 1.0, np.float32).reshape(self.image_size)
        target: Any = tensor(int(rng.randint(stream, 1, 0, self.num_classes, np.int64)[0]))
        image = to_pil_image(wrap(pixels))
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target.item()

    def __len__(self) -> int:
        return self.size
