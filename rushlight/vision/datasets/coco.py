"""MS COCO: photographs with objects, and with captions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rushlight.vision.datasets.coco_index import CocoIndex
from rushlight.vision.datasets.image_files import pil_loader
from rushlight.vision.datasets.vision import Transform, VisionDataset


def _index(path: str | Path) -> Any:
    """pycocotools' own class where it is installed, else ours for reading."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{os.path.abspath(path)} is not there; COCO's annotations are published at "
                                "http://images.cocodataset.org/annotations/annotations_trainval2017.zip, "
                                "the pictures at http://images.cocodataset.org/zips/train2017.zip and val2017.zip")
    try:
        from pycocotools.coco import COCO
    except ImportError:
        return CocoIndex(path)
    return COCO(path)


class CocoDetection(VisionDataset):
    """Photographs whose target is the list of their annotations, as in the file.

    ``coco`` is the index of the annotation file, ``ids`` the numbers of the images in order.

    Args:
        root: folder of the pictures.
        annFile: the JSON file of the annotations.
        transform, target_transform: functions of the image and of the target; or ``transforms``, of both.
    """

    def __init__(self, root: str | Path, annFile: str, transform: Transform | None = None,
                 target_transform: Transform | None = None,
                 transforms: Any = None):
        super().__init__(root, transforms, transform, target_transform)
        self.coco = _index(annFile)
        self.ids = sorted(self.coco.imgs)

    def _load_image(self, id: int) -> Any:
        return pil_loader(os.path.join(self.root or "", self.coco.loadImgs(id)[0]["file_name"]))

    def _load_target(self, id: int) -> list[Any]:
        found: list[Any] = self.coco.loadAnns(self.coco.getAnnIds(id))
        return found

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not isinstance(index, int):
            raise ValueError(f"Index must be of type integer, got {type(index)} instead.")
        image, target = self._load_image(self.ids[index]), self._load_target(self.ids[index])
        return (image, target) if self.transforms is None else self.transforms(image, target)

    def __len__(self) -> int:
        return len(self.ids)


class CocoCaptions(CocoDetection):
    """Photographs whose target is the list of their captions; arguments as for CocoDetection."""

    def _load_target(self, id: int) -> list[str]:
        return [annotation["caption"] for annotation in super()._load_target(id)]
