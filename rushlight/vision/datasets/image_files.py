"""Reading a picture from a file, with errors that name the file and the way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

DAMAGE = (OSError, SyntaxError, ValueError)  # what Pillow raises for files that are not whole


def pil_loader(path: str | Path) -> Any:
    """The picture in a file as a PIL image in RGB; see `open_picture` for errors."""
    return open_picture(path, "RGB")


def open_picture(path: str | Path, mode: str | None = None) -> Any:
    """The picture in a file, decoded, in a mode of Pillow's or in its own.

    PIL.UnidentifiedImageError where the file is no picture, OSError where it is damaged: both name it.
    """
    from PIL import Image
    with open(path, "rb") as file, damage_named(path, file):
        fast = simplejpeg() if mode == "RGB" and str(path).lower().endswith((".jpg", ".jpeg")) else None
        if fast is not None:
            try:
                return Image.fromarray(fast.decode_jpeg(file.read(), "RGB"))
            except DAMAGE:  # Pillow knows more kinds of JPEG, and says what is wrong
                file.seek(0)
        image = Image.open(file)
        image.load()
        return image.convert(mode) if mode is not None and image.mode != mode else image


@contextmanager
def damage_named(path: str | Path, file: BinaryIO) -> Iterator[None]:
    """Within, errors of Pillow about a file say which it is and what to do."""
    from PIL import Image, UnidentifiedImageError
    try:
        yield
    except UnidentifiedImageError:
        file.seek(0)
        begins = file.read(12)
        raise UnidentifiedImageError(f"cannot identify image file {str(path)!r}: "
                                     f"it begins with {begins!r}, as no format that Pillow knows does. "
                                     "Remove the file, or leave it out with is_valid_file=.") from None
    except (*DAMAGE, Image.DecompressionBombError) as e:
        raise OSError(f"{path}: {e}. The picture is damaged: fetch the file again or remove it "
                      "(PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True reads what is there).") from e


@cache
def simplejpeg() -> Any:
    """The module where it is installed: it decodes the same pixels a little faster."""
    try:
        import simplejpeg as module
    except ImportError:
        return None
    return module
