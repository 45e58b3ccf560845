"""Random access to a path or an open file."""

from __future__ import annotations

import io
import os
from typing import Any

from rushlight.serialization.errors import Fault

NOT_SEEKABLE = (
    ". You can only torch.load from a file that is seekable. Please pre-load the data into a buffer like io.BytesIO "
    "and try to load from it instead."
)


class Source:
    """The bytes from the present position of ``file`` to its end, addressed from 0."""

    def __init__(self, f: Any):
        self.path: str | None = None
        if isinstance(f, (str, os.PathLike)):
            self.path = os.fspath(f)
            self.file: Any = open(self.path, "rb")
            self.name = str(self.path)
        else:
            self.file = f
            self.name = str(getattr(f, "name", None) or f"<{type(f).__name__}>")
        try:
            self.base = self.file.tell()
            self.size = self.file.seek(0, os.SEEK_END) - self.base
            self.file.seek(self.base)
            nothing = self.file.read(0)
        except (io.UnsupportedOperation, AttributeError) as e:
            raise type(e)(str(e) + NOT_SEEKABLE) from None
        if not isinstance(nothing, (bytes, bytearray)):
            raise TypeError(f"torch.load needs a file opened in binary mode, but reading gave {type(nothing).__name__}")
        self.readinto = getattr(self.file, "readinto", None)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.path is not None:
            self.file.close()

    def seek(self, offset: int) -> None:
        self.file.seek(self.base + offset)

    def tell(self) -> int:
        at: int = self.file.tell() - self.base
        return at

    def read_at(self, offset: int, count: int) -> bytes:
        """Exactly that many bytes; Fault where the file is shorter."""
        if offset < 0 or count < 0 or offset + count > self.size:
            raise Fault(f"bytes {offset} to {offset + count} are wanted of a file of {self.size} bytes")
        self.seek(offset)
        data = self.file.read(count)
        if len(data) != count:
            raise Fault(f"the file ended at byte {offset + len(data)}, {count - len(data)} bytes too early")
        return bytes(data)

    def fill(self, target: memoryview) -> None:
        """Fill the memory from the present position on."""
        done = 0
        while done < len(target):
            if self.readinto is not None:
                got = self.readinto(target[done:]) or 0
            else:
                data = self.file.read(len(target) - done)
                got = len(data)
                target[done:done + got] = data
            if not got:
                raise Fault(f"the file ended {len(target) - done} bytes too early")
            done += got
