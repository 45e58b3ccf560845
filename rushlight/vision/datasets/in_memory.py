"""InMemoryDataset: images and integer targets that lie in memory, fetched sample by sample or by the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.vision.datasets.vision import VisionDataset
from rushlight.vision.transforms import whole_batch
from rushlight.vision.transforms.compose import parts_of


def array_of(values: Any) -> np.ndarray:
    """A tensor or sequence as an array to read from."""
    return unwrap(values) if isinstance(values, Tensor) else np.asarray(values)


class InMemoryDataset(VisionDataset):
    """Base of data sets with ``data`` uint8 (N, H, W) or (N, H, W, 3) and ``targets`` int64 (N,) or a list.

    Both are ordinary attributes that may be replaced; what is read is what they are at that moment.
    """

    data: Any
    targets: Any

    def __len__(self) -> int:
        return len(self.data)

    def _pictures(self) -> np.ndarray:
        """The images as they are now, (N, H, W) or (N, H, W, 3)."""
        return array_of(self.data)

    def _labels(self) -> Any:
        """The targets as they are now: an array, or a list."""
        return self.targets if isinstance(self.targets, list) else array_of(self.targets)

    def _target(self, index: int) -> Any:
        return int(self.targets[index])

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """(image, class number); the image is a PIL image unless a transform makes something else of it."""
        image: Any = _picture(self._pictures()[index])
        target = self._target(index)
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def _collated_batch(self, indices: Sequence[int],
                        before: Callable[[int], None] | None = None) -> list[Tensor] | None:
        """What collating the samples one by one would give, at once; None where a transform has to see each sample."""
        if type(self).__getitem__ is not InMemoryDataset.__getitem__:
            return None
        if self.target_transform is not None or self.transform is None:
            return None
        data, targets = self._pictures(), self._labels()
        rows = np.asarray(indices, np.intp)
        if data.dtype != np.uint8 or rows.size == 0:
            return None
        if rows.min() < -len(data) or rows.max() >= min(len(data), len(targets)):
            return None
        labels = np.array([targets[i] for i in rows]) if isinstance(targets, list) else np.take(targets, rows, axis=0)
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            return None
        images = whole_batch.apply_by_chance(
            self.transform, whole_batch.Batch(np.take(data, rows, axis=0), pictures=True), parts_of, before)
        if images is None or images.pictures:
            return None
        return [wrap(images.values), wrap(labels.astype(np.int64))]


def _picture(pixels: np.ndarray) -> Any:
    try:
        from PIL import Image
    except ImportError as e:
        raise ImportError("samples of this data set are PIL images: pip install 'rushlight[vision]'") from e
    return Image.fromarray(np.ascontiguousarray(pixels))
