"""Oxford Flowers 102."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rushlight.vision.datasets.download import DownloadError, check_integrity
from rushlight.vision.datasets.flower_names import NAMES
from rushlight.vision.datasets.folder import default_loader
from rushlight.vision.datasets.labelled_files import LabelledFiles
from rushlight.vision.datasets.matlab import read_mat
from rushlight.vision.datasets.missing import CORRUPTED, Wanted, faults, instructions, not_found
from rushlight.vision.datasets.utils import download_and_extract_archive, download_url, verify_str_arg
from rushlight.vision.datasets.vision import Transform


class Flowers102(LabelledFiles):
    """8,189 photographs of 102 kinds of flowers, by Nilsback and Zisserman (2008); needs SciPy for its Matlab files.

    Args:
        root: the files lie in ``root/flowers-102``, the pictures in its folder ``jpg``.
        split: "train" (1,020), "val" (1,020) or "test" (6,149).
        transform: function of what the loader gives.
        target_transform: function of the class number.
        download: fetch what is missing (345 MB).
        loader: makes a picture of a path.
    """

    classes = NAMES
    _download_url_prefix = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    _file_dict = {
        "image": ("102flowers.tgz", "52808999861908f626f3c1f4e79d11fa"),
        "label": ("imagelabels.mat", "e0620be6f572b9609742df49c70aed4d"),
        "setid": ("setid.mat", "a5357ecc9cb78c4bef273ce3793fc85c"),
    }
    _splits_map = {"train": "trnid", "val": "valid", "test": "tstid"}

    def __init__(self, root: str | Path, split: str = "train", transform: Transform | None = None,
                 target_transform: Transform | None = None, download: bool = False,
                 loader: Callable[[Any], Any] = default_loader):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self._split = verify_str_arg(split, "split", ("train", "val", "test"))
        self._base_folder = Path(self.root or ".") / "flowers-102"
        self._images_folder = self._base_folder / "jpg"
        if download:
            self.download()
        if not self._check_integrity():
            raise not_found(CORRUPTED, self._base_folder, self._wanted(),
                            "the pictures in its folder jpg", self._faults())
        def numbers(file: str, name: str) -> list[int]:
            return read_mat(self._base_folder / self._file_dict[file][0], name)[name].reshape(-1).tolist()

        ids, labels = numbers("setid", self._splits_map[split]), numbers("label", "labels")
        self._labels = [labels[number - 1] - 1 for number in ids]
        self._image_files = [self._images_folder / f"image_{number:05d}.jpg" for number in ids]
        self.loader = loader

    def _wanted(self) -> list[Wanted]:
        files = [Wanted(name, self._download_url_prefix + name, md5)
                 for name, md5 in (self._file_dict["label"], self._file_dict["setid"])]
        return [*files, Wanted("jpg/image_00001.jpg …", f"in {self._download_url_prefix}{self._file_dict['image'][0]}")]

    def _faults(self) -> list[str]:
        return [] if self._check_integrity() else [*faults(self._base_folder, self._wanted()[:2]),
                                                   *([] if self._images_folder.is_dir()
                                                     else [f"{self._images_folder} is missing"])]

    def _check_integrity(self) -> bool:
        named = (self._file_dict[part] for part in ("label", "setid"))
        return self._images_folder.is_dir() and all(check_integrity(self._base_folder / name, md5)
                                                    for name, md5 in named)

    def download(self) -> None:
        """Fetch and unpack what is missing."""
        if self._check_integrity():
            return
        try:
            name, md5 = self._file_dict["image"]
            download_and_extract_archive(self._download_url_prefix + name, self._base_folder, md5=md5)
            for name, md5 in (self._file_dict["label"], self._file_dict["setid"]):
                download_url(self._download_url_prefix + name, self._base_folder, md5=md5)
        except DownloadError as e:
            raise RuntimeError(f"{e}\n{instructions(self._base_folder, self._wanted())}") from None
