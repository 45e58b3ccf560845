"""Pictures of files whose pixels are decoded later, as far down as they are needed."""

from __future__ import annotations

import ctypes
import io
import os
from pathlib import Path
from typing import Any, NamedTuple

from rushlight.vision.datasets.image_files import damage_named, simplejpeg
from rushlight.vision.datasets.jpeg_frame import frame_of
from rushlight.vision.transforms.compiled.pillow_memory import address, address_of_core
from rushlight.vision.transforms.compiled.rooms import SPARE, address_of, room

CHUNK = 4096  # bytes of a JPEG between two looks at how far its rows have come
START = b"\xff\xd8"  # of a JPEG
END = b"\xff\xd9"  # of a whole JPEG


class _Enough(Exception):
    """The rows that are wanted have been decoded."""


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


def _of_pillow(found: tuple[int, Any] | None) -> Pixels | None:
    return None if found is None else Pixels(found[0], 4, found[1])


class Opened:
    """A picture whose header has been read: ``height`` and ``width`` are known.

    JPEGs are decoded by simplejpeg where it is installed, else by Pillow, and so is what simplejpeg does not know.
    """

    def __init__(self, path: str | Path):
        self.path = path
        self.raw = _read(path)
        self.jpeg = simplejpeg() if self.raw.startswith(START) else None
        if self.jpeg is not None:
            try:
                self.height, self.width, space, _ = self.jpeg.decode_jpeg_header(self.raw)
            except ValueError:
                space = None
            if space == "YCbCr":
                return
        self._open()

    def _open(self) -> None:
        """Read the header with Pillow."""
        from PIL import Image
        self.jpeg = None
        self.file = io.BytesIO(self.raw)
        with damage_named(self.path, self.file):
            self.image: Any = Image.open(self.file)
        self.width, self.height = self.image.size

    def pixels(self, rows: int) -> Pixels | None:
        """The picture's memory with at least the first rows decoded, until the thread decodes the next; None where
        Pillow does not give it.

        A JPEG without its end is decoded as a whole, so that the damage is found wherever it is.
        """
        if self.jpeg is not None:
            try:
                return self._decoded(rows)
            except ValueError:  # Pillow knows more kinds of JPEG, and says what is wrong
                self._open()
        image = self.image
        with damage_named(self.path, self.file):
            if rows < self.height and image.format == "JPEG" and image.mode == "RGB" and self.file.getbuffer()[-2:] == END:
                found = _of_pillow(self._upper(rows))
                if found is not None:
                    return found
            image.load()
            return _of_pillow(address(image if image.mode == "RGB" else image.convert("RGB")))

    def _decoded(self, rows: int) -> Pixels:
        """`pixels` of simplejpeg, which has no notion of rows that nobody wants:
        a header that says less makes it stop there."""
        frame = frame_of(self.raw) if rows < self.height and self.raw.endswith(END) else None
        enough = self.height if frame is None else min(self.height, rows + frame.below)
        size = 3 * enough * self.width
        memory = room("decoded", size + SPARE)
        if frame is None or enough == self.height:
            self.jpeg.decode_jpeg(self.raw, "RGB", buffer=memory[:size])
        else:
            frame.say(self.raw, enough)
            try:  # what comes after the last row it knows of is no damage
                self.jpeg.decode_jpeg(self.raw, "RGB", buffer=memory[:size], strict=False)
            finally:
                frame.say(self.raw, self.height)
        return Pixels(address_of(memory), 3, memory)

    def _upper(self, rows: int) -> tuple[int, Any] | None:
        """Feed the decoder piece by piece until the last row that is wanted is there; None where the end came first.

        A row is there when the fourth byte of its last pixel, of which Pillow makes no use, has become 255.
        """
        image, memory, sign = self.image, None, None

        def read(_: int) -> bytes:
            nonlocal memory, sign
            if sign is None:
                memory = address_of_core(image.im, self.width * self.height)
                sign = ctypes.c_ubyte(0) if memory is None else ctypes.c_ubyte.from_address(
                    memory[0] + 4 * rows * self.width - 1)
                sign.value = 0
            elif sign.value == 255:
                raise _Enough
            return original(CHUNK)
        original = image.load_read
        image.load_read = read
        try:
            image.load()
        except _Enough:
            image.tile = []
            return memory
        finally:
            del image.load_read
        return None
