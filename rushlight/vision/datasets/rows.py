"""Pictures of files of which a window is decoded later."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rushlight.vision.datasets.image_files import damage_named
from rushlight.vision.jpeg import header
from rushlight.vision.jpeg.memory import Window
from rushlight.vision.transforms.compiled.pillow_memory import address


class Opened:
    """A picture whose header has been read: ``height`` and ``width`` are known.

    Ordinary JPEGs are decoded here, as far as the window reaches; others, and whatever is damaged, by Pillow.
    """

    def __init__(self, path: str | Path):
        self.path = path
        self.data = Path(path).read_bytes()
        self.header = header.parse(self.data)
        self.image: Any = None
        if self.header is not None:
            self.width, self.height = self.header.width, self.header.height
        else:
            self._open()
            self.width, self.height = self.image.size

    def window(self, top: int, left: int, height: int, width: int) -> Window | None:
        """The pixels of a part, until the thread decodes another picture; None where Pillow does not give its memory."""
        if self.header is not None:
            from rushlight.vision.jpeg.window import decode
            found = decode(self.data, self.header, top, left, height, width)
            if found is not None:
                return found
            self._open()
        with damage_named(self.path, self.file):
            self.image.load()
            memory = address(self.image if self.image.mode == "RGB" else self.image.convert("RGB"))
        stride = 4 * self.width
        return None if memory is None else Window(memory[0] + top * stride + 4 * left, stride, memory[1])

    def _open(self) -> None:
        from PIL import Image
        self.file = io.BytesIO(self.data)
        with damage_named(self.path, self.file):
            self.image = Image.open(self.file)
