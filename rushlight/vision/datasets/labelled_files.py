"""LabelledFiles: data sets that are a list of pictures with a class number each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rushlight.vision.datasets.vision import VisionDataset


class LabelledFiles(VisionDataset):
    """Base: a subclass fills ``_image_files`` and ``_labels`` and sets ``loader``."""

    _image_files: list[Path]
    _labels: list[int]
    _split: str
    loader: Callable[[Any], Any]

    def __len__(self) -> int:
        return len(self._image_files)

    def __getitem__(self, idx: int) -> tuple[Any, Any]:
        """(picture, class number), each through its transform."""
        image: Any = self.loader(self._image_files[idx])
        label: Any = self._labels[idx]
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label

    def extra_repr(self) -> str:
        return f"split={self._split}"
