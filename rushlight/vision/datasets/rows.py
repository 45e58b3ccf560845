"""Pictures of files whose pixels are decoded later, as far down as they are needed."""

from __future__ import annotations

import io
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from rushlight.vision.datasets.image_files import damage_named, simplejpeg
from rushlight.vision.datasets.jpeg_frame import START, frame_of
from rushlight.vision.transforms.compiled.pillow_memory import address
from rushlight.vision.transforms.compiled.rooms import SPARE, address_of, room

END = b"\xff\xd9"  # of a whole JPEG


def _read(path: str | Path) -> bytearray:
    """A file's bytes, which may be written to, with as few calls as can be: hundreds of files are read a second."""
    with open(path, "rb", buffering=0) as file:
        raw = bytearray(os.fstat(file.fileno()).st_size)
        if file.readinto(raw) == len(raw) > 0:
            return raw
    return bytearray(Path(path).read_bytes())  # no plain file, or more than one call reads


class Pixels(NamedTuple):
    """Where the pixels of a picture lie, row after row, of how many bytes each is, and what keeps the memory.

    SPARE bytes behind pixels of three bytes may be read.
    """

    place: int
    size: int
    owner: Any


class Opened:
    """A picture whose header has been read: ``height`` and ``width`` are known.

    JPEGs are decoded by simplejpeg where it is installed, else by Pillow, and so is what simplejpeg does not know.
    """

    def __init__(self, path: str | Path):
        self.path = path
        self.raw = _read(path)
        self.frame = frame_of(self.raw)
        self.jpeg: Any = simplejpeg() if self.raw.startswith(START) else None
        if self.jpeg is not None:
            try:
                self.height, self.width, space, _ = self.jpeg.decode_jpeg_header(self.raw)
            except ValueError:
                space = None
            if space == "YCbCr":
                return
            self.jpeg = None
        if self.frame is not None and self.frame.components == 3:  # Pillow makes RGB of it, but takes longer to say so
            self.height, self.width = self.frame.height, self.frame.width
        else:
            self.width, self.height = self._open().size

    def _open(self) -> Any:
        """The picture as Pillow sees it."""
        from PIL import Image
        file = io.BytesIO(self.raw)
        with damage_named(self.path, file):
            return Image.open(file)

    def pixels(self, rows: int) -> Pixels | None:
        """The picture's memory with at least the first rows decoded, until the thread decodes the next; None where
        Pillow does not give it.

        Decoders have no notion of rows that nobody wants: a header that says less makes them stop there. A JPEG
        without its end is decoded as a whole, so that the damage is found wherever it is.
        """
        enough = self.height
        if rows < self.height and self.frame is not None and self.raw.endswith(END):
            enough = min(self.height, rows + self.frame.below)
        with nullcontext() if self.frame is None else self.frame.cut(self.raw, enough):
            if self.jpeg is not None:
                try:
                    return self._decoded(enough)
                except ValueError:  # Pillow knows more kinds of JPEG, and says what is wrong
                    pass
            image = self._open()
            with damage_named(self.path, image.fp):
                found = address(image if image.mode == "RGB" else image.convert("RGB"))
        return None if found is None else Pixels(found[0], 4, found[1])

    def _decoded(self, rows: int) -> Pixels:
        """So many rows by simplejpeg; to it what comes after the last row it knows of is damage."""
        size = 3 * rows * self.width
        memory = room("decoded", size + SPARE)
        self.jpeg.decode_jpeg(self.raw, "RGB", buffer=memory[:size], strict=rows == self.height)
        return Pixels(address_of(memory), 3, memory)
