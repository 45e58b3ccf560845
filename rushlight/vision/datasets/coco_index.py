"""CocoIndex: the annotation file of a COCO data set, by images and categories."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]


class CocoIndex:
    """What pycocotools' class COCO gives for reading, under its names; masks and evaluation need pycocotools itself.

    ValueError names a file that is damaged or holds something else.
    """

    def __init__(self, annotation_file: str | Path | None = None):
        self.dataset: dict[str, Any] = {}
        if annotation_file is not None:
            try:
                self.dataset = json.loads(Path(annotation_file).read_text(encoding="utf8"))
                self.dataset["images"]
            except (ValueError, KeyError, TypeError) as e:
                raise ValueError(f"{annotation_file} is no annotation file of COCO (JSON with "
                                 f"'images' and 'annotations'): {e!r}") from e
        self.createIndex()

    def createIndex(self) -> None:
        """Sort images, annotations and categories by their numbers."""
        self.imgs = {image["id"]: image for image in self.dataset.get("images", [])}
        self.anns = {annotation["id"]: annotation for annotation in self.dataset.get("annotations", [])}
        self.cats = {category["id"]: category for category in self.dataset.get("categories", [])}
        self.imgToAnns, self.catToImgs = defaultdict(list), defaultdict(list)
        for annotation in self.dataset.get("annotations", []):
            self.imgToAnns[annotation["image_id"]].append(annotation)
            if "category_id" in annotation:
                self.catToImgs[annotation["category_id"]].append(annotation["image_id"])

    def getAnnIds(self, imgIds: Any = (), catIds: Any = (), areaRng: Any = (), iscrowd: Any = None) -> list[int]:
        """Numbers of the annotations of these images and categories, of an area in a range, crowds or not."""
        images, categories = _list(imgIds), set(_list(catIds))
        found = self.dataset.get("annotations", [])
        if images:
            found = [a for i in images for a in self.imgToAnns.get(i, [])]
        return [a["id"] for a in found if (not categories or a.get("category_id") in categories)
                and (len(areaRng) == 0 or areaRng[0] < a["area"] < areaRng[1])
                and (iscrowd is None or a.get("iscrowd") == iscrowd)]

    def getCatIds(self, catNms: Any = (), supNms: Any = (), catIds: Any = ()) -> list[int]:
        """Numbers of the categories with these names, names above them, and numbers."""
        names, above, numbers = set(_list(catNms)), set(_list(supNms)), set(_list(catIds))
        return [c["id"] for c in self.cats.values() if (not names or c["name"] in names)
                and (not above or c.get("supercategory") in above) and (not numbers or c["id"] in numbers)]

    def getImgIds(self, imgIds: Any = (), catIds: Any = ()) -> list[int]:
        """Numbers of the images, those that show all of these categories."""
        found = set(_list(imgIds)) or set(self.imgs)
        for category in _list(catIds):
            found &= set(self.catToImgs[category])
        return list(found)

    def loadAnns(self, ids: Any = ()) -> list[dict[str, Any]]:
        """The annotations of these numbers."""
        return [self.anns[i] for i in _list(ids)]

    def loadCats(self, ids: Any = ()) -> list[dict[str, Any]]:
        """The categories of these numbers."""
        return [self.cats[i] for i in _list(ids)]

    def loadImgs(self, ids: Any = ()) -> list[dict[str, Any]]:
        """The entries of the images of these numbers."""
        return [self.imgs[i] for i in _list(ids)]
