"""Reading a picture from a file, with errors that name the file and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def pil_loader(path: str | Path) -> Any:
    """The picture in a file as a PIL image in RGB; see `open_picture` for errors."""
    return open_picture(path, "RGB")


def open_picture(path: str | Path, mode: str | None = None) -> Any:
    """The picture in a file, decoded, in a mode of Pillow's or in its own.

    PIL.UnidentifiedImageError where the file is no picture, OSError where it is damaged: both name it.
    """
    from PIL import Image, UnidentifiedImageError
    fast = _simplejpeg() if mode == "RGB" and str(path).lower().endswith((".jpg", ".jpeg")) else None
    with open(path, "rb") as file:
        try:
            if fast is not None:
                return Image.fromarray(fast.decode_jpeg(file.read(), "RGB"))
            image = Image.open(file)
            image.load()
            return image.convert(mode) if mode is not None and image.mode != mode else image
        except UnidentifiedImageError:
            file.seek(0)
            begins = file.read(12)
            raise UnidentifiedImageError(f"cannot identify image file {str(path)!r}: it begins with {begins!r}, as no format that Pillow knows does. "
                                         "Remove the file, or leave it out with is_valid_file=.") from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
            if fast is not None:
                return _by_pillow(path, mode)
            raise OSError(f"{path}: {e}. The picture is damaged: fetch the file again or remove it "
                          "(PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True reads what is there).") from e


def _by_pillow(path: str | Path, mode: str | None) -> Any:
    """The same once more by Pillow alone, which knows more kinds of JPEG and says what is wrong."""
    global _fast
    kept, _fast = _fast, None
    try:
        return open_picture(path, mode)
    finally:
        _fast = kept


_fast: Any = False


def _simplejpeg() -> Any:
    """The module where it is installed: it decodes the same pixels a little faster."""
    global _fast
    if _fast is False:
        try:
            import simplejpeg
            _fast = simplejpeg
        except ImportError:
            _fast = None
    return _fast
