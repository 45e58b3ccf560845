"""Writes PyTorch's zip archives front to back: every record's data on a 64-byte boundary, with its checksum."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from rushlight.serialization.settings import get_crc32_options

ALIGNMENT = 64
WIDE = 0xFFFFFFFF  # sizes and places from here on take zip64 fields (a test lowers it)
ELSEWHERE = 0xFFFFFFFF  # what the ordinary field then says
CHUNK = 1 << 22
UTF8 = 0x800
FIRST_DAY = 0x21  # 1 January 1980: equal contents give equal files


class ZipWriter:
    """``target`` needs only ``write``; sizes are known beforehand, so nothing is ever rewritten."""

    def __init__(self, target: Any, prefix: str):
        self.target = target
        self.prefix = prefix
        self.at = 0
        self.directory: list[bytes] = []
        self.contents = 0  # of names and data, for the id of the archive

    def write(self, data: Any) -> None:
        view = memoryview(data)
        for start in range(0, len(view), CHUNK):
            part = view[start:start + CHUNK]
            while len(part):  # unbuffered files may take less than they are given
                taken = self.target.write(part)
                part = part[taken:] if isinstance(taken, int) else part[len(part):]
        self.at += len(view)

    def record(self, name: str, data: Any) -> None:
        """One record; ``data`` is bytes or contiguous memory of bytes."""
        full = (self.prefix + "/" + name).encode("utf-8")
        view = memoryview(data).cast("B") if len(data) else memoryview(b"")
        crc, header, size = (zlib.crc32(view) if get_crc32_options() else 0), self.at, len(view)
        self.contents = zlib.crc32(full, zlib.crc32(struct.pack("<IQ", crc, size), self.contents))
        wide = struct.pack("<2H2Q", 1, 16, size, size) if size >= WIDE else b""
        short = clipped(size)
        start = header + 30 + len(full) + len(wide) + 4
        padding = -start % ALIGNMENT
        extra = wide + b"FB" + struct.pack("<H", padding) + b"Z" * padding
        fields = (45 if wide else 20, UTF8, 0, 0, FIRST_DAY, crc, short, short, len(full), len(extra))
        self.write(struct.pack("<4s5H3I2H", b"PK\x03\x04", *fields) + full + extra)
        self.write(view)
        self.directory.append(self._central(full, crc, size, header))

    def _central(self, name: bytes, crc: int, size: int, header: int) -> bytes:
        values = [size] * 2 * (size >= WIDE) + [header] * (header >= WIDE)
        extra = struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values) if values else b""
        version = 45 if values else 20
        fields = (version, version, UTF8, 0, 0, FIRST_DAY, crc, clipped(size), clipped(size),
                  len(name), len(extra), 0, 0, 0, 0, clipped(header))
        return struct.pack("<4s6H3I5H2I", b"PK\x01\x02", *fields) + name + extra

    def finish(self) -> None:
        """The records that close a checkpoint, and the directory."""
        self.record("version", b"3\n")
        self.record(".data/serialization_id", f"{len(self.directory):020d}{self.contents:020d}".encode())
        count, start, data = len(self.directory), self.at, b"".join(self.directory)
        self.write(data)
        if count >= 0xFFFF or start >= WIDE or len(data) >= WIDE:
            place = self.at
            self.write(struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(data), start))
            self.write(struct.pack("<4sIQI", b"PK\x06\x07", 0, place, 1))
        few = min(count, 0xFFFF)
        self.write(struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, few, few, clipped(len(data)), clipped(start), 0))


def clipped(value: int) -> int:
    """A size or place as an ordinary field holds it."""
    return ELSEWHERE if value >= WIDE else value
