"""Pickle opcodes: code, name and how the argument that follows is read. The machine adds what each one does.

Only what picklers of protocols 1 to 5 write is here. Left out on purpose: the text opcodes of protocol 0, INST, OBJ,
PERSID, the extension registry (EXT1, EXT2, EXT4) and out-of-band buffers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from rushlight.serialization.errors import Fault

MAX_NAME = 1024  # longest module or attribute name
SMALL = 1 << 16  # up to here a read is tried without asking how much is left


class Reader:
    """Reads arguments of opcodes from a binary file; never asks for more than the file has."""

    def __init__(self, file: Any, size: int):
        self.file = file
        self.read = file.read
        self.size = size  # position at which the file ends
        self.start = file.tell()

    def take(self, count: int) -> bytes:
        if count > SMALL and count > self.size - self.file.tell():
            raise Fault(f"an object of {count} bytes is announced, but the file ends before")
        data: bytes = self.read(count)
        if len(data) != count:
            raise Fault("the pickle ends in the middle of an object")
        return data

    def line(self) -> str:
        data: bytes = self.file.readline(MAX_NAME)
        if not data.endswith(b"\n"):
            raise Fault("a name in the pickle has no end")
        return data[:-1].decode("utf-8")


def _fixed(fmt: str) -> Callable[[Reader], Any]:
    unpack = struct.Struct(fmt)

    def read(r: Reader) -> Any:
        return unpack.unpack(r.take(unpack.size))[0]
    return read


def _counted(fmt: str) -> Callable[[Reader], bytes]:
    length = _fixed(fmt)

    def read(r: Reader) -> bytes:
        count = length(r)
        if count < 0:
            raise Fault("an object has a negative length")
        return r.take(count)
    return read


def _text(fmt: str) -> Callable[[Reader], str]:
    counted = _counted(fmt)
    return lambda r: counted(r).decode("utf-8", "surrogatepass")


def _long(fmt: str) -> Callable[[Reader], int]:
    counted = _counted(fmt)
    return lambda r: int.from_bytes(counted(r), "little", signed=True)


def _two_lines(r: Reader) -> tuple[str, str]:
    return r.line(), r.line()


U1, U2, I4, U4, U8 = _fixed("<B"), _fixed("<H"), _fixed("<i"), _fixed("<I"), _fixed("<Q")

#          code: (name, argument)
TABLE: dict[bytes, tuple[str, Callable[[Reader], Any] | None]] = {
    b"\x80": ("PROTO", U1), b"\x95": ("FRAME", U8), b".": ("STOP", None),
    b"(": ("MARK", None), b"0": ("POP", None), b"1": ("POP_MARK", None), b"2": ("DUP", None),
    b"N": ("NONE", None), b"\x88": ("NEWTRUE", None), b"\x89": ("NEWFALSE", None),
    b"K": ("BININT1", U1), b"M": ("BININT2", U2), b"J": ("BININT", I4),
    b"\x8a": ("LONG1", _long("<B")), b"\x8b": ("LONG4", _long("<i")), b"G": ("BINFLOAT", _fixed(">d")),
    b"X": ("BINUNICODE", _text("<I")), b"\x8c": ("SHORT_BINUNICODE", _text("<B")),
    b"\x8d": ("BINUNICODE8", _text("<Q")),
    b"B": ("BINBYTES", _counted("<I")), b"C": ("SHORT_BINBYTES", _counted("<B")),
    b"\x8e": ("BINBYTES8", _counted("<Q")), b"\x96": ("BYTEARRAY8", _counted("<Q")),
    b"U": ("SHORT_BINSTRING", _counted("<B")), b"T": ("BINSTRING", _counted("<i")),
    b")": ("EMPTY_TUPLE", None), b"t": ("TUPLE", None), b"\x85": ("TUPLE1", None), b"\x86": ("TUPLE2", None),
    b"\x87": ("TUPLE3", None), b"]": ("EMPTY_LIST", None), b"a": ("APPEND", None), b"e": ("APPENDS", None),
    b"}": ("EMPTY_DICT", None), b"s": ("SETITEM", None), b"u": ("SETITEMS", None),
    b"\x8f": ("EMPTY_SET", None), b"\x90": ("ADDITEMS", None), b"\x91": ("FROZENSET", None),
    b"q": ("BINPUT", U1), b"r": ("LONG_BINPUT", U4), b"h": ("BINGET", U1), b"j": ("LONG_BINGET", U4),
    b"\x94": ("MEMOIZE", None),
    b"c": ("GLOBAL", _two_lines), b"\x93": ("STACK_GLOBAL", None), b"R": ("REDUCE", None), b"\x81": ("NEWOBJ", None),
    b"\x92": ("NEWOBJ_EX", None), b"b": ("BUILD", None), b"Q": ("BINPERSID", None),
}

REFUSED: dict[bytes, str] = {
    b"I": "INT", b"L": "LONG", b"F": "FLOAT", b"S": "STRING", b"V": "UNICODE", b"d": "DICT", b"l": "LIST",
    b"g": "GET", b"p": "PUT", b"i": "INST", b"o": "OBJ", b"P": "PERSID", b"\x82": "EXT1", b"\x83": "EXT2",
    b"\x84": "EXT4", b"\x97": "NEXT_BUFFER", b"\x98": "READONLY_BUFFER",
}


def refused(code: bytes) -> Fault:
    """What to say about a byte that is no opcode of the table."""
    if not code:
        return Fault("the pickle ends without STOP")
    name = REFUSED.get(code)
    if name is None:
        return Fault(f"byte 0x{code.hex()} is no pickle opcode")
    return Fault(f"Unsupported operand {code[0]} ({name}), which files written by torch.save do not contain")
