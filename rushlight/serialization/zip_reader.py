"""PyTorch's zip archives: records stored as they are, at places and sizes that are checked against the file."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from rushlight.serialization.budget import Budget
from rushlight.serialization.errors import Direct, Fault
from rushlight.serialization.source import Source

END = struct.Struct("<4s4H2IH")
LOCATOR = struct.Struct("<4sIQI")
END64 = struct.Struct("<4sQ2H2I4Q")
CENTRAL = struct.Struct("<4s6H3I5H2I")
LOCAL = struct.Struct("<4s5H3I2H")
CHUNK = 1 << 20
ENTRY_COST = 300
BROKEN = "PytorchStreamReader failed reading zip archive: "


@dataclass(slots=True)
class Entry:
    """One record: where its header is, where the next one's is, its size and checksum."""

    name: bytes
    header: int
    size: int
    crc: int
    flags: int
    limit: int = 0


class Archive:
    """The records of a zip file that PyTorch or rushlight wrote. Nothing is decompressed: they are stored.

    Entries may not overlap, so all records together are smaller than the file.
    """

    def __init__(self, source: Source, budget: Budget):
        self.source = source
        count, self.directory, size = self._find_directory()
        self.entries = self._parse(source.read_at(self.directory, size), count, budget)
        if not self.entries:
            raise Direct(BROKEN + "there are no records in it")
        self._check_overlap()
        first = min(self.entries.values(), key=lambda e: e.header)
        self.prefix = first.name.decode("utf-8").partition("/")[0] + "/"
        # torch.serialization.set_crc32_options(False) writes 0 everywhere. One damaged bit cannot do that.
        self.has_checksums = any(e.crc for e in self.entries.values())

    # --- the directory at the end of the file ---
    def _find_directory(self) -> tuple[int, int, int]:
        size = self.source.size
        tail_size = min(size, END.size + 65535)
        tail = self.source.read_at(size - tail_size, tail_size)
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + END.size > len(tail):
            raise Direct(BROKEN + "failed finding central directory. The file is cut off or was never finished")
        _, disk, start_disk, here, count, length, offset, _ = END.unpack_from(tail, at)
        end = size - tail_size + at
        if 0xFFFF in (here, count) or 0xFFFFFFFF in (length, offset):
            here, count, length, offset = self._find_directory64(end)
        if disk or start_disk or here != count or offset + length > end:
            raise Direct(BROKEN + "its central directory is damaged")
        return count, offset, length

    def _find_directory64(self, end: int) -> tuple[int, int, int, int]:
        mark, _, offset, _ = LOCATOR.unpack(self.source.read_at(end - LOCATOR.size, LOCATOR.size))
        if mark != b"PK\x06\x07":
            raise Direct(BROKEN + "the locator of its central directory is damaged")
        mark, *_, here, count, length, start = END64.unpack(self.source.read_at(offset, END64.size))
        if mark != b"PK\x06\x06":
            raise Direct(BROKEN + "the end of its central directory is damaged")
        return here, count, length, start

    def _parse(self, data: bytes, count: int, budget: Budget) -> dict[bytes, Entry]:
        if count * CENTRAL.size > len(data):
            raise Direct(BROKEN + f"its central directory has no room for {count} records")
        budget.spend(len(data) + count * ENTRY_COST)
        entries: dict[bytes, Entry] = {}
        at = 0
        for _ in range(count):
            if at + CENTRAL.size > len(data):
                raise Direct(BROKEN + "its central directory is cut off")
            entry, at = self._entry(data, at)
            if entry.name in entries:
                raise Direct(BROKEN + f"two records are called {shown(entry.name)}")
            entries[entry.name] = entry
        return entries

    def _entry(self, data: bytes, at: int) -> tuple[Entry, int]:
        (mark, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length, _, _, _,
         header) = CENTRAL.unpack_from(data, at)
        at += CENTRAL.size
        name = data[at:at + name_length]
        extra = data[at + name_length:at + name_length + extra_length]
        if mark != b"PK\x01\x02" or len(name) != name_length or len(extra) != extra_length:
            raise Direct(BROKEN + "its central directory is damaged")
        size, packed, header = wide_values(extra, size, packed, header)
        if method or flags & 1 or packed != size:
            raise Fault(f"record {shown(name)} is compressed or encrypted; torch.save stores records as they are "
                        "(pack the files again with `zip -0`)")
        return Entry(name, header, size, crc, flags), at + name_length + extra_length + comment_length

    def _check_overlap(self) -> None:
        ordered = sorted(self.entries.values(), key=lambda e: e.header)
        limits = [e.header for e in ordered[1:]] + [self.directory]
        for entry, limit in zip(ordered, limits, strict=True):
            entry.limit = limit
            if entry.header + LOCAL.size + len(entry.name) + entry.size > limit:
                raise Direct(BROKEN + f"record {shown(entry.name)} of {entry.size} bytes does not fit into its place")

    # --- records ---
    def has(self, name: str) -> bool:
        return (self.prefix + name).encode() in self.entries

    def find(self, name: str) -> Entry:
        entry = self.entries.get((self.prefix + name).encode("utf-8", "surrogatepass"))
        if entry is None:
            raise Direct(f"PytorchStreamReader failed locating file {name[:200]}: file not found")
        return entry

    def data_offset(self, entry: Entry) -> int:
        """Where a record's data begin, after comparing its own header with the directory."""
        header = self.source.read_at(entry.header, LOCAL.size + len(entry.name))
        mark, _, flags, method, _, _, crc, packed, size, name_length, extra_length = LOCAL.unpack_from(header)
        name = header[LOCAL.size:]
        start: int = entry.header + LOCAL.size + name_length + extra_length
        same = mark == b"PK\x03\x04" and name_length == len(entry.name) and name == entry.name
        # Sizes that follow the data (flag 8) or stand in a zip64 field are not repeated in the header.
        repeated = flags & 8 or 0xFFFFFFFF in (packed, size) or (packed, size, crc) == (
            entry.size, entry.size, entry.crc)
        if not same or not repeated or method or flags != entry.flags or start + entry.size > entry.limit:
            raise Fault(f"the header of record {shown(entry.name)} is damaged")
        return start

    def read(self, name: str, most: int | None = None) -> bytes:
        """A small record as bytes."""
        entry = self.find(name)
        if most is not None and entry.size > most:
            raise Fault(f"record {name} has {entry.size} bytes, more than the {most} that it may have")
        data = self.source.read_at(self.data_offset(entry), entry.size)
        if self.has_checksums and zlib.crc32(data) != entry.crc:
            raise Direct(damaged(name))
        return data

    def read_into(self, name: str, array: np.ndarray) -> bool:
        """Fill the memory with a record of exactly that size. False where the checksum says it is damaged."""
        entry = self.find(name)
        assert entry.size == array.nbytes
        if not entry.size:
            return True
        self.source.seek(self.data_offset(entry))
        target = memoryview(array.view(np.uint8).data)
        crc = 0
        for at in range(0, entry.size, CHUNK):
            part = target[at:at + CHUNK]
            self.source.fill(part)
            if self.has_checksums:  # while the chunk is in the cache
                crc = zlib.crc32(part, crc)
        return not self.has_checksums or crc == entry.crc


def wide_values(extra: bytes, *values: int) -> list[int]:
    """The values of a zip64 extra field in the place of those that are 0xFFFFFFFF."""
    result = list(values)
    if 0xFFFFFFFF not in result:
        return result
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            field = extra[at + 4:at + 4 + length]
            wide: Any = iter(struct.unpack(f"<{len(field) // 8}Q", field[:len(field) // 8 * 8]))
            return [next(wide, v) if v == 0xFFFFFFFF else v for v in result]
        at += 4 + length
    return result


def shown(name: bytes) -> str:
    return repr(name[:100].decode("utf-8", "replace"))


def damaged(name: str) -> str:
    return (f"PytorchStreamReader failed reading file {name}: file read failed. Its checksum does not match: "
            "the file was damaged after it was written")
