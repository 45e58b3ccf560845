"""Pictures of files whose pixels are decoded later, as far down as they are needed."""

from __future__ import annotations

import ctypes
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np

from rushlight.vision.datasets.image_files import damage_named, simplejpeg
from rushlight.vision.transforms.compiled.pillow_memory import address, address_of_core

CHUNK = 4096  # bytes of a JPEG between two looks at how far its rows have come
START = b"\xff\xd8"  # of a JPEG
END = b"\xff\xd9"  # of a whole JPEG


class _Enough(Exception):
    """The rows that are wanted have been decoded."""


_rooms = threading.local()


def _room(size: int) -> np.ndarray:
    """Memory for one decoded picture, the same for each picture of a thread: fresh pages would cost a tenth of the
    decoding."""
    room: np.ndarray | None = getattr(_rooms, "array", None)
    if room is None or room.size < size:
        room = _rooms.array = np.empty(size, np.uint8)
    return room[:size]


class Opened:
    """A picture whose header has been read: ``height`` and ``width`` are known.

    JPEGs are decoded by simplejpeg where it is installed, else by Pillow, and so is what simplejpeg does not know.
    """

    def __init__(self, path: str | Path):
        self.path = path
        self.raw = Path(path).read_bytes()
        self.jpeg = simplejpeg() if self.raw[:2] == START else None
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

    def pixels(self, rows: int) -> tuple[int, Any] | None:
        """(address of four bytes per pixel, what keeps the memory) with at least the first rows decoded; None where
        Pillow does not give it.

        A JPEG without its end is decoded as a whole, so that the damage is found wherever it is.
        """
        if self.jpeg is not None:
            try:
                whole = self.jpeg.decode_jpeg(self.raw, "RGBX", buffer=_room(4 * self.height * self.width))
                return whole.ctypes.data, whole
            except ValueError:  # Pillow knows more kinds of JPEG, and says what is wrong
                self._open()
        image = self.image
        with damage_named(self.path, self.file):
            if rows < self.height and image.format == "JPEG" and image.mode == "RGB" and self.file.getbuffer()[-2:] == END:
                found = self._upper(rows)
                if found is not None:
                    return found
            image.load()
            return address(image if image.mode == "RGB" else image.convert("RGB"))

    def _upper(self, rows: int) -> tuple[int, Any] | None:
        """Feed the decoder piece by piece until the last row that is wanted is there; None where the end came first.

        A row is there when the fourth byte of its last pixel, of which Pillow makes no use, has become 255.
        """
        image, memory, sign = self.image, None, None

        def read(_: int) -> bytes:
            nonlocal memory, sign
            if sign is None:
                memory = address_of_core(image.im, self.width * self.height)
                sign = ctypes.c_ubyte(0) if memory is None else ctypes.c_ubyte.from_address(memory[0] + 4 * rows * self.width - 1)
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
