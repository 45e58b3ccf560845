"""LabelledFiles: data sets that are a list of pictures with a class number each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rushlight.vision.datasets.file_batches import collated
from rushlight.vision.datasets.image_files import pil_loader
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

    def _collated_batch(self, indices: Sequence[int], before: Callable[[int], None] | None = None) -> Any:
        """A whole batch at once; None where each sample has to be made by itself."""
        if type(self).__getitem__ is not LabelledFiles.__getitem__:
            return None
        if self.target_transform is not None or self.loader is not pil_loader:
            return None
        return collated(self.transform, [self._image_files[i] for i in indices],
                        [self._labels[i] for i in indices], before)

    def extra_repr(self) -> str:
        return f"split={self._split}"
