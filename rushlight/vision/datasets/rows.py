"""Pictures of files whose pixels are decoded later, as far down as they are needed."""

from __future__ import annotations

import ctypes
import io
from pathlib import Path
from typing import Any

from rushlight.vision.datasets.image_files import damage_named
from rushlight.vision.transforms.compiled.pillow_memory import address, address_of_core

CHUNK = 4096  # bytes of a JPEG between two looks at how far its rows have come
END = b"\xff\xd9"  # of a whole JPEG


class _Enough(Exception):
    """The rows that are wanted have been decoded."""


class Opened:
    """A picture whose header has been read: ``height`` and ``width`` are known."""

    def __init__(self, path: str | Path):
        from PIL import Image
        self.path = path
        self.file = io.BytesIO(Path(path).read_bytes())
        with damage_named(path, self.file):
            self.image: Any = Image.open(self.file)
        self.width, self.height = self.image.size

    def pixels(self, rows: int) -> tuple[int, Any] | None:
        """(address of four bytes per pixel, what keeps the memory) with at least the first rows decoded; None where Pillow does not give it.

        A JPEG without its end is decoded as a whole, so that the damage is found wherever it is.
        """
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
