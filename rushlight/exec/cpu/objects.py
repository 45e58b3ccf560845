"""Object files of kernels placed in memory: x86-64 in ELF's format, without LLVM, which takes longer to load than all of them.

The files are our own compiler's, with a checksum. They hold code, constants, and few kinds of references between them
(System V ABI for AMD64, "Relocation"); a file with anything else is left to LLVM.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from functools import cache
from typing import Any, NamedTuple

MAGIC, X86_64 = b"\x7fELF\x02\x01\x01", 62
CODE_OR_DATA, SYMBOLS, ADDENDS, ZEROS = 1, 2, 4, 8  # types of sections
ALLOCATED = 2  # their flag
ABSOLUTE, RELATIVE = 1, 24  # R_X86_64_64, R_X86_64_PC64: S + A and S + A - P, in 64 bits
SECTION, SYMBOL, ADDEND = struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ"), struct.Struct("<QQq")


class Section(NamedTuple):
    """A section header of ELF."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int


class Unknown(Exception):
    """Something that only LLVM can place."""


def load(codes: dict[str, bytes]) -> tuple[Any, dict[str, int]] | None:
    """Object files with a function each in memory: what keeps them there, and the functions' addresses by their names; None where
    LLVM has to do it."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    try:
        files = [Object(code, name) for name, code in codes.items()]
        size = 0
        for file in files:
            size = file.arrange(size)
        memory = mmap.mmap(-1, max(size, 1), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE)
        base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        found = {file.name: file.place(memory, base) for file in files}
    except (Unknown, struct.error, IndexError, UnicodeDecodeError):
        return None
    if _libc().mprotect(base, len(memory), mmap.PROT_READ | mmap.PROT_EXEC):
        return None
    return memory, found


class Object:
    """An object file, of which `arrange` says where its sections go and `place` puts them there."""

    def __init__(self, code: bytes, name: str) -> None:
        self.code, self.name = code, name
        if not code.startswith(MAGIC) or struct.unpack_from("<H", code, 18)[0] != X86_64:
            raise Unknown
        start, = struct.unpack_from("<Q", code, 40)
        size, count, names = struct.unpack_from("<HHH", code, 58)
        self.sections = [Section(*SECTION.unpack_from(code, start + size * i)) for i in range(count)]
        self.names = self.sections[names].offset
        self.at: dict[int, int] = {}  # of each section that has a place in memory

    def arrange(self, begin: int) -> int:
        """Places from an offset on; the end."""
        for i, s in enumerate(self.sections):
            if s.flags & ALLOCATED and s.type in (CODE_OR_DATA, ZEROS) and self.text(self.names + s.name) != ".eh_frame":
                align = max(s.align, 1)
                self.at[i] = begin = -(-begin // align) * align
                begin += s.size
        return begin

    def place(self, memory: mmap.mmap, base: int) -> int:
        """Copy sections and fill in references; the address of the function."""
        for i, offset in self.at.items():
            s = self.sections[i]
            if s.type == CODE_OR_DATA:
                memory[offset:offset + s.size] = self.code[s.offset:s.offset + s.size]
        found = 0
        for table in self.sections:
            if table.type == SYMBOLS:
                found = self._function(table, base)
            if table.type == ADDENDS and table.info in self.at:
                self._refer(table, memory, base)
        if not found:
            raise Unknown
        return found

    def _function(self, table: Section, base: int) -> int:
        strings = self.sections[table.link].offset
        for offset in range(table.offset, table.offset + table.size, SYMBOL.size):
            name, _, _, section, value, _ = SYMBOL.unpack_from(self.code, offset)
            if section in self.at and self.text(strings + name) == self.name:
                return base + self.at[section] + int(value)
        return 0

    def _refer(self, table: Section, memory: mmap.mmap, base: int) -> None:
        here, symbols = self.at[table.info], self.sections[table.link]
        for offset in range(table.offset, table.offset + table.size, ADDEND.size):
            at, info, addend = ADDEND.unpack_from(self.code, offset)
            kind, place = info & 0xFFFFFFFF, here + at
            if kind not in (ABSOLUTE, RELATIVE) or at + 8 > self.sections[table.info].size:
                raise Unknown
            value = self._address(symbols, info >> 32, base) + addend - (base + place if kind == RELATIVE else 0)
            struct.pack_into("<Q", memory, place, value & 0xFFFFFFFFFFFFFFFF)

    def _address(self, table: Section, number: int, base: int) -> int:
        name, _, _, section, value, _ = SYMBOL.unpack_from(self.code, table.offset + SYMBOL.size * number)
        if section in self.at:
            return base + self.at[section] + int(value)
        if section:
            raise Unknown
        return _outside(self.text(self.sections[table.link].offset + name))

    def text(self, at: int) -> str:
        """A name, which a zero byte ends."""
        return self.code[at:self.code.index(b"\0", at)].decode()


def _outside(name: str) -> int:
    """The address of a function of the C library."""
    try:
        return ctypes.cast(getattr(_libc(), name), ctypes.c_void_p).value or 0
    except AttributeError:
        raise Unknown from None


@cache
def _libc() -> Any:
    libc = ctypes.CDLL(None)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc
