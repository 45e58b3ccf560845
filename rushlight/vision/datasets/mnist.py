"""MNIST and FashionMNIST, in memory, with torchvision's folders."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rushlight.data.dataset import Dataset
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.vision.datasets.folder import download
from rushlight.vision.transforms import whole_batch

TYPES = {8: np.uint8, 9: np.int8, 11: np.dtype(">i2"), 12: np.dtype(">i4"), 13: np.dtype(">f4"), 14: np.dtype(">f8")}


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file, compressed or not. ValueError for a file that is none, or cut short."""
    raw = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
    if len(raw) < 4 or raw[0] or raw[1] or raw[2] not in TYPES:
        raise ValueError(f"{path} is no IDX file")
    dims = raw[3]
    shape = tuple(int.from_bytes(raw[4 + 4 * i:8 + 4 * i], "big") for i in range(dims))
    data = np.frombuffer(raw, TYPES[raw[2]], offset=4 + 4 * dims)
    if data.size != int(np.prod(shape)):
        raise ValueError(f"{path} holds {data.size} numbers, its header promises {list(shape)}")
    return data.reshape(shape).astype(data.dtype.newbyteorder("="))


class InMemory(Dataset[Any]):
    """Pictures (n, h, w) and labels in memory; transforms apply to whole batches where all of them can."""

    data: Tensor
    targets: Tensor
    transform: Callable[..., Any] | None
    target_transform: Callable[..., Any] | None

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        from PIL import Image
        img: Any = Image.fromarray(unwrap(self.data)[index])
        target: Any = int(unwrap(self.targets)[index])
        return (img if self.transform is None else self.transform(img),
                target if self.target_transform is None else self.target_transform(target))

    def _collated_batch(self, indices: Sequence[int]) -> Any:
        if self.transform is None or self.target_transform is not None:
            return None
        rows = np.asarray(indices, np.int64)
        images = whole_batch(self.transform, np.take(unwrap(self.data), rows, axis=0))
        return None if images is None else [wrap(images), wrap(np.take(unwrap(self.targets), rows))]


class MNIST(InMemory):
    """60,000 training and 10,000 test pictures of handwritten digits, 28×28."""

    mirrors = ["https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"]
    resources = [("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"), ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
                 ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"), ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c")]
    classes = ["0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine"]

    def __init__(self, root: str | Path, train: bool = True, transform: Callable[..., Any] | None = None, target_transform: Callable[..., Any] | None = None,
                 download: bool = False):
        self.root, self.train, self.transform, self.target_transform = Path(root), train, transform, target_transform
        if download:
            self.download()
        kind = "train" if train else "t10k"
        self.data = wrap(read_idx(self._file(f"{kind}-images-idx3-ubyte")))
        self.targets = wrap(read_idx(self._file(f"{kind}-labels-idx1-ubyte")).astype(np.int64))

    @property
    def raw_folder(self) -> str:
        """Where the files lie: root/MNIST/raw."""
        return str(self.root / type(self).__name__ / "raw")

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Names of classes to their numbers."""
        return {name: i for i, name in enumerate(self.classes)}

    def _file(self, name: str) -> Path:
        for path in (Path(self.raw_folder) / name, Path(self.raw_folder) / (name + ".gz")):
            if path.exists():
                return path
        files = ", ".join(n for n, _ in self.resources)
        raise RuntimeError(f"Dataset not found. You can use download=True to download it. Or put these files into {self.raw_folder}: {files}")

    def _check_exists(self) -> bool:
        return all((Path(self.raw_folder) / n).exists() or (Path(self.raw_folder) / n.removesuffix(".gz")).exists() for n, _ in self.resources)

    def download(self) -> None:
        """Fetch what is missing; nothing where all files are there."""
        if self._check_exists():
            return
        for name, checksum in self.resources:
            download(self.mirrors, name, Path(self.raw_folder), checksum)

    def __repr__(self) -> str:
        return (f"Dataset {type(self).__name__}\n    Number of datapoints: {len(self)}\n    Root location: {self.root}\n"
                f"    Split: {'Train' if self.train else 'Test'}")


class FashionMNIST(MNIST):
    """60,000 training and 10,000 test pictures of clothes, 28×28."""

    mirrors = ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"]
    resources = [("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"), ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
                 ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"), ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310")]
    classes = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


class Digits(InMemory):
    """1,797 real pictures of handwritten digits, 8×8, which come with the package: 1,437 for training, 360 for testing."""

    classes = [str(i) for i in range(10)]

    def __init__(self, train: bool = True, transform: Callable[..., Any] | None = None, target_transform: Callable[..., Any] | None = None):
        self.train, self.transform, self.target_transform = train, transform, target_transform
        with gzip.open(Path(__file__).parent / "digits" / "digits.csv.gz", "rt") as f:
            rows = np.loadtxt(f, delimiter=",", dtype=np.uint8)
        order = np.random.Generator(np.random.Philox(key=8)).permutation(len(rows))
        rows = rows[order[:1437] if train else order[1437:]]
        self.data = wrap(np.minimum(rows[:, :64].astype(np.uint16) * 16, 255).astype(np.uint8).reshape(-1, 8, 8))
        self.targets = wrap(rows[:, 64].astype(np.int64))
