"""Pascal VOC: objects with outlines (segmentation) and with boxes (detection)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from rushlight.vision.datasets.download import DownloadError
from rushlight.vision.datasets.image_files import open_picture, pil_loader
from rushlight.vision.datasets.missing import CORRUPTED, Wanted, instructions, not_found
from rushlight.vision.datasets.utils import download_and_extract_archive, verify_str_arg
from rushlight.vision.datasets.vision import Transform, VisionDataset

PAGE = "https://thor.robots.ox.ac.uk/pascal/VOC/"


class Year(NamedTuple):
    """Where the archive of a year is published, its name, its sum, and the folder that it unpacks to."""

    url: str
    filename: str
    md5: str
    base_dir: str


def _year(path: str, md5: str, year: str, above: str = "") -> Year:
    return Year(PAGE + path, os.path.basename(path), md5, os.path.join(above, "VOCdevkit", f"VOC{year}"))


YEARS = {
    "2012": _year("voc2012/VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd", "2012"),
    "2011": _year("voc2011/VOCtrainval_25-May-2011.tar", "6c3384ef61512963050cb5d687e5bf1e", "2011", "TrainVal"),
    "2010": _year("voc2010/VOCtrainval_03-May-2010.tar", "da459979d0c395079b5c75ee67908abb", "2010"),
    "2009": _year("voc2009/VOCtrainval_11-May-2009.tar", "a3e00b113cfcfebf17e343f59da3caa1", "2009"),
    "2008": _year("voc2008/VOCtrainval_14-Jul-2008.tar", "2629fa636546599198acfcfbfcf1904a", "2008"),
    "2007": _year("voc2007/VOCtrainval_06-Nov-2007.tar", "c52e279531787c972589f7e41ab4ae64", "2007"),
    "2007-test": _year("voc2007/VOCtest_06-Nov-2007.tar", "b6e924de25625d8de591ea690078ad9f", "2007"),
}


class _VOC(VisionDataset):
    """What both tasks share.

    Args:
        root: the files lie in ``root/VOCdevkit/VOC<year>``.
        year: "2007" … "2012".
        image_set: "train", "val", "trainval", for 2007 also "test".
        download: fetch and unpack the archive.
        transform, target_transform: functions of the image and of the target; or ``transforms``, of both.
    """

    _SPLITS_DIR: str
    _TARGET_DIR: str
    _TARGET_FILE_EXT: str

    def __init__(self, root: str | Path, year: str = "2012", image_set: str = "train", download: bool = False,
                 transform: Transform | None = None, target_transform: Transform | None = None, transforms: Any = None):
        super().__init__(root, transforms, transform, target_transform)
        self.year = verify_str_arg(year, "year", [str(y) for y in range(2007, 2013)])
        sets = ["train", "trainval", "val"] + (["test"] if year == "2007" else [])
        self.image_set = verify_str_arg(image_set, "image_set", sets)
        entry = YEARS["2007-test" if (year, image_set) == ("2007", "test") else year]
        self.url, self.filename, self.md5 = entry.url, entry.filename, entry.md5
        folder = os.path.join(self.root or "", entry.base_dir)
        listing = os.path.join(folder, "ImageSets", self._SPLITS_DIR, f"{image_set}.txt")
        wanted = [Wanted(f"ImageSets/{self._SPLITS_DIR}/{image_set}.txt", f"in {self.url}"),
                  Wanted("JPEGImages/<name>.jpg"),
                  Wanted(f"{self._TARGET_DIR}/<name>{self._TARGET_FILE_EXT}")]
        if download:
            self._download(folder, wanted)
        if not os.path.isfile(listing):
            raise not_found(CORRUPTED, folder, wanted)
        names = [line.strip() for line in Path(listing).read_text(encoding="utf8").splitlines()]
        self.images = [os.path.join(folder, "JPEGImages", f"{name}.jpg") for name in names]
        self.targets = [os.path.join(folder, self._TARGET_DIR, name + self._TARGET_FILE_EXT) for name in names]

    def _download(self, folder: str, wanted: list[Wanted]) -> None:
        try:
            download_and_extract_archive(self.url, self.root or ".", filename=self.filename, md5=self.md5)
        except DownloadError as e:
            raise RuntimeError(f"{e}\n{instructions(folder, wanted)}") from None

    def _target(self, path: str) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, target = pil_loader(self.images[index]), self._target(self.targets[index])
        return (image, target) if self.transforms is None else self.transforms(image, target)


class VOCSegmentation(_VOC):
    __doc__ = (_VOC.__doc__ or "").replace(
        "What both tasks share.", "Photographs whose target is a PIL image of class numbers, 255 along borders.")

    _SPLITS_DIR = "Segmentation"
    _TARGET_DIR = "SegmentationClass"
    _TARGET_FILE_EXT = ".png"

    @property
    def masks(self) -> list[str]:
        """The files of the targets."""
        return self.targets

    def _target(self, path: str) -> Any:
        return open_picture(path)


class VOCDetection(_VOC):
    __doc__ = (_VOC.__doc__ or "").replace(
        "What both tasks share.", "Photographs whose target is the annotation's XML as nested dictionaries.")

    _SPLITS_DIR = "Main"
    _TARGET_DIR = "Annotations"
    _TARGET_FILE_EXT = ".xml"

    @property
    def annotations(self) -> list[str]:
        """The files of the targets."""
        return self.targets

    def _target(self, path: str) -> Any:
        raw = Path(path).read_bytes()
        if b"<!ENTITY" in raw:
            raise ValueError(f"{path} declares XML entities, which no annotation needs; "
                             "refused, as they can fill the memory")
        try:
            return self.parse_voc_xml(ElementTree.fromstring(raw))
        except ElementTree.ParseError as e:
            raise ValueError(f"{path} is no whole XML file: {e}. Unpack the archive again.") from e

    @staticmethod
    def parse_voc_xml(node: ElementTree.Element) -> dict[str, Any]:
        """An element as {tag: text}, or {tag: {tag of a child: …}}; children of one tag make a list, objects always."""
        children = list(node)
        if not children:
            return {node.tag: node.text.strip()} if node.text else {}
        grouped: dict[str, list[Any]] = {}
        for child in children:
            for tag, value in VOCDetection.parse_voc_xml(child).items():
                grouped.setdefault(tag, []).append(value)
        single = {tag: values[0] if len(values) == 1 else values for tag, values in grouped.items()}
        if node.tag == "annotation":
            single["object"] = grouped.get("object", [])
        return {node.tag: single}
