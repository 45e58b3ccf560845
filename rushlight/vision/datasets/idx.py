"""The IDX format of MNIST: two zero bytes, a type byte, the number of dimensions,
big-endian sizes, then the numbers."""

from __future__ import annotations

import lzma
import math
import struct
import zlib
from pathlib import Path

import numpy as np

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read(path: str | Path) -> np.ndarray:
    """The array of an IDX file, plain, gzipped or in xz; ValueError naming the file where it is damaged."""
    raw = Path(path).read_bytes()
    try:
        return parse(lzma.decompress(raw) if raw[:6] == b"\xfd7zXZ\0" else
                     gunzip(raw) if raw[:2] == b"\x1f\x8b" else raw)
    except (ValueError, zlib.error, lzma.LZMAError, EOFError) as e:
        raise ValueError(f"{path} is no whole IDX file: {e}. Delete it and fetch it again.") from e


def gunzip(raw: bytes) -> bytes:
    """The contents of a gzip file, checked against its checksum."""
    stream = zlib.decompressobj(wbits=31)
    contents = stream.decompress(raw)
    if not stream.eof:
        raise ValueError("the compressed data end too early")
    return contents


def parse(raw: bytes) -> np.ndarray:
    """The array that the bytes of an IDX file stand for, in the machine's byte order."""
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in TYPES:
        raise ValueError(f"it begins with {raw[:4].hex(' ')}")
    kind, start = np.dtype(TYPES[raw[2]]), 4 + 4 * raw[3]
    if len(raw) < start:
        raise ValueError("its header is cut off")
    shape = struct.unpack(f">{raw[3]}I", raw[4:start])
    expected = start + math.prod(shape) * kind.itemsize
    if len(raw) != expected:
        raise ValueError(f"it has {len(raw)} bytes where its header promises {expected}")
    values = np.frombuffer(raw, kind, offset=start).reshape(shape)
    return values.astype(kind.newbyteorder("="))
