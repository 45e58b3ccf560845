"""DatasetFolder and ImageFolder: one folder per class."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rushlight.vision.datasets.file_batches import collated
from rushlight.vision.datasets.image_files import pil_loader
from rushlight.vision.datasets.vision import Transform, VisionDataset

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

default_loader = pil_loader


def has_file_allowed_extension(filename: str, extensions: str | tuple[str, ...]) -> bool:
    """Whether a name ends in one of the extensions, capitals or not."""
    return filename.lower().endswith(extensions if isinstance(extensions, str) else tuple(extensions))


def is_image_file(filename: str) -> bool:
    """Whether a name is that of a picture."""
    return has_file_allowed_extension(filename, IMG_EXTENSIONS)


def find_classes(directory: str | Path) -> tuple[list[str], dict[str, int]]:
    """The names of the folders in a folder in order, and their numbers; FileNotFoundError where there is none."""
    classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    if not classes:
        raise FileNotFoundError(f"Couldn't find any class folder in {directory}. Put the pictures of each class into a folder of its own there.")
    return classes, {name: i for i, name in enumerate(classes)}


def make_dataset(directory: str | Path, class_to_idx: dict[str, int] | None = None,
                 extensions: str | tuple[str, ...] | None = None, is_valid_file: Callable[[str], bool] | None = None,
                 allow_empty: bool = False) -> list[tuple[str, int]]:
    """(path, class number) of every file in the folders of the classes and below them, in order.

    Either ``extensions`` or ``is_valid_file`` says which files count. FileNotFoundError where a class has none, unless
    ``allow_empty``.
    """
    directory = os.path.expanduser(directory)
    if class_to_idx is None:
        _, class_to_idx = find_classes(directory)
    elif not class_to_idx:
        raise ValueError("'class_to_index' must have at least one entry to collect any samples.")
    if (extensions is None) == (is_valid_file is None):
        raise ValueError("Both extensions and is_valid_file cannot be None or not None at the same time")
    valid = is_valid_file or (lambda path: has_file_allowed_extension(path, extensions or ()))
    found: list[tuple[str, int]] = []
    empty: list[str] = []
    for name in sorted(class_to_idx):
        before = len(found)
        for folder, _, files in sorted(os.walk(os.path.join(directory, name), followlinks=True)):
            found += [(path, class_to_idx[name]) for file in sorted(files) if valid(path := os.path.join(folder, file))]
        if len(found) == before:
            empty.append(name)
    if empty and not allow_empty:
        raise FileNotFoundError(_about_empty(str(directory), empty, extensions))
    return found


def _about_empty(directory: str, empty: list[str], extensions: str | tuple[str, ...] | None) -> str:
    text = f"Found no valid file for the classes {', '.join(empty)}. "
    if extensions is not None:
        text += f"Supported extensions are: {extensions if isinstance(extensions, str) else ', '.join(extensions)}. "
    folders = ", ".join(os.path.join(directory, name) for name in empty[:5])
    return f"{text}Remove the empty folder or fill it ({folders}), or pass allow_empty=True."


class DatasetFolder(VisionDataset):
    """Files in one folder per class, read by a function of one's own.

    ``samples`` is a list of (path, class number), ``targets`` of the numbers.

    Args:
        root: the folder of the folders.
        loader: makes a sample of a path.
        extensions: which files count; or ``is_valid_file``, a function of the path.
        transform: function of the sample.
        target_transform: function of the class number.
        allow_empty: whether a class may have no files.
    """

    def __init__(self, root: str | Path, loader: Callable[[str], Any], extensions: tuple[str, ...] | None = None,
                 transform: Transform | None = None, target_transform: Transform | None = None,
                 is_valid_file: Callable[[str], bool] | None = None, allow_empty: bool = False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        classes, class_to_idx = self.find_classes(self.root)  # type: ignore[arg-type]
        self.samples = self.make_dataset(self.root, class_to_idx, extensions, is_valid_file, allow_empty)  # type: ignore[arg-type]
        self.loader, self.extensions = loader, extensions
        self.classes, self.class_to_idx = classes, class_to_idx
        self.targets = [target for _, target in self.samples]

    @staticmethod
    def make_dataset(directory: str | Path, class_to_idx: dict[str, int], extensions: tuple[str, ...] | None = None,
                     is_valid_file: Callable[[str], bool] | None = None,
                     allow_empty: bool = False) -> list[tuple[str, int]]:
        """The samples; a subclass may find them otherwise."""
        if class_to_idx is None:
            raise ValueError("The class_to_idx parameter cannot be None.")
        return make_dataset(directory, class_to_idx, extensions, is_valid_file, allow_empty)

    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        """The classes; a subclass may choose others."""
        return find_classes(directory)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        sample = self.loader(path)
        if self.transform is not None:
            sample = self.transform(sample)
        return sample, target if self.target_transform is None else self.target_transform(target)

    def _collated_batch(self, indices: Sequence[int], before: Callable[[int], None] | None = None) -> Any:
        """A whole batch at once; None where each sample has to be made by itself."""
        if type(self).__getitem__ is not DatasetFolder.__getitem__ or self.target_transform is not None or self.loader is not pil_loader:
            return None
        chosen = [self.samples[i] for i in indices]
        return collated(self.transform, [path for path, _ in chosen], [target for _, target in chosen], before)

    def __len__(self) -> int:
        return len(self.samples)


class ImageFolder(DatasetFolder):
    """Pictures in one folder per class: ``root/dog/1.png``, ``root/cat/a/2.jpg`` and so on.

    Arguments as for DatasetFolder; ``loader`` by default gives PIL images in RGB.
    """

    def __init__(self, root: str | Path, transform: Transform | None = None, target_transform: Transform | None = None,
                 loader: Callable[[str], Any] = default_loader, is_valid_file: Callable[[str], bool] | None = None,
                 allow_empty: bool = False):
        super().__init__(root, loader, IMG_EXTENSIONS if is_valid_file is None else None, transform, target_transform,
                         is_valid_file, allow_empty)
        self.imgs = self.samples
