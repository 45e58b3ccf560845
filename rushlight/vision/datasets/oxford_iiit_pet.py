"""Oxford-IIIT Pet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rushlight.vision.datasets.download import DownloadError
from rushlight.vision.datasets.image_files import open_picture, pil_loader
from rushlight.vision.datasets.missing import NOT_FOUND, Wanted, instructions, not_found
from rushlight.vision.datasets.utils import download_and_extract_archive, verify_str_arg
from rushlight.vision.datasets.vision import Transform, VisionDataset

PAGE = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"


class OxfordIIITPet(VisionDataset):
    """7,349 photographs of 37 breeds of cats and dogs with outlines, by Parkhi et al. (2012).

    Args:
        root: the files lie in ``root/oxford-iiit-pet/images`` and ``…/annotations``.
        split: "trainval" or "test".
        target_types: "category" (breed), "binary-category" (cat 0, dog 1), "segmentation" (PIL image: 1 pet,
            2 background, 3 border), or several of them, which make the target a tuple.
        transforms: function of (image, target); or ``transform`` and ``target_transform``.
        download: fetch and unpack what is missing (800 MB).
    """

    _RESOURCES = ((PAGE + "images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),
                  (PAGE + "annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f"))
    _VALID_TARGET_TYPES = ("category", "binary-category", "segmentation")

    def __init__(self, root: str | Path, split: str = "trainval", target_types: Sequence[str] | str = "category",
                 transforms: Any = None, transform: Transform | None = None, target_transform: Transform | None = None,
                 download: bool = False):
        self._split = verify_str_arg(split, "split", ("trainval", "test"))
        kinds = [target_types] if isinstance(target_types, str) else target_types
        self._target_types = [verify_str_arg(kind, "target_types", self._VALID_TARGET_TYPES) for kind in kinds]
        super().__init__(root, transforms=transforms, transform=transform, target_transform=target_transform)
        self._base_folder = Path(self.root or ".") / "oxford-iiit-pet"
        self._images_folder, self._anns_folder = self._base_folder / "images", self._base_folder / "annotations"
        self._segs_folder = self._anns_folder / "trimaps"
        if download:
            self._download()
        if not self._check_exists():
            raise not_found(NOT_FOUND, self._base_folder, self._wanted())
        listing = (self._anns_folder / f"{split}.txt").read_text(encoding="utf8")
        rows = [line.split() for line in listing.splitlines() if line.strip()]
        self._labels = [int(row[1]) - 1 for row in rows]
        self._bin_labels = [int(row[2]) - 1 for row in rows]
        self._images = [self._images_folder / f"{row[0]}.jpg" for row in rows]
        self._segs = [self._segs_folder / f"{row[0]}.png" for row in rows]
        self.bin_classes = ["Cat", "Dog"]
        breeds = {label: row[0].rsplit("_", 1)[0] for label, row in zip(self._labels, rows)}
        self.classes = [" ".join(part.title() for part in breeds[label].split("_")) for label in sorted(breeds)]
        self.bin_class_to_idx = {name: i for i, name in enumerate(self.bin_classes)}
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}

    def _wanted(self) -> list[Wanted]:
        return [Wanted("images/<breed>_<number>.jpg", f"from {self._RESOURCES[0][0]}"),
                Wanted("annotations/trainval.txt, test.txt, trimaps/<breed>_<number>.png",
                       f"from {self._RESOURCES[1][0]}")]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, idx: int) -> tuple[Any, Any]:
        image = pil_loader(self._images[idx])
        one = {"category": lambda: self._labels[idx], "binary-category": lambda: self._bin_labels[idx],
               "segmentation": lambda: open_picture(self._segs[idx])}
        found = [one[kind]() for kind in self._target_types]  # type: ignore[no-untyped-call]
        target: Any = None if not found else found[0] if len(found) == 1 else tuple(found)
        return (image, target) if self.transforms is None else self.transforms(image, target)

    def _check_exists(self) -> bool:
        return self._images_folder.is_dir() and self._anns_folder.is_dir()

    def _download(self) -> None:
        if self._check_exists():
            return
        try:
            for url, md5 in self._RESOURCES:
                download_and_extract_archive(url, self._base_folder, md5=md5)
        except DownloadError as e:
            raise RuntimeError(f"{e}\n{instructions(self._base_folder, self._wanted())}") from None
