"""What stands before the coded blocks of a JPEG file."""

from __future__ import annotations

from dataclasses import dataclass, field

LARGEST = 1 << 26  # pixels; larger pictures are left to Pillow, which warns of them
NARROWEST = 16  # columns; libjpeg has other rules for tiny pictures
QUANTIZATION, HUFFMAN, FRAME, SCAN, RESTARTS, JFIF, ADOBE = 0xDB, 0xC4, 0xC0, 0xDA, 0xDD, 0xE0, 0xEE
OTHER_FRAMES = frozenset(range(0xC1, 0xD0)) - {HUFFMAN, 0xC8, 0xCC}


@dataclass
class Header:
    """Sizes, tables, and where the coded blocks begin."""

    height: int = 0
    width: int = 0
    sampling: tuple[int, int] = (0, 0)  # how many columns and rows of brightness there are to one of colour
    begin: int = 0
    quantizers: dict[int, bytes] = field(default_factory=dict)  # in the order of the zigzag
    codes: dict[int, bytes] = field(default_factory=dict)  # 16 counts and the symbols, by class and number
    components: list[tuple[int, int]] = field(default_factory=list)  # (name, number of the quantizer)
    chosen: list[int] = field(default_factory=list)  # of each component: numbers of its codes, 16·DC + AC


def parse(data: bytes) -> Header | None:
    """The header, None where the file is of a kind that is not decoded here, or is damaged.

    >>> parse(b"GIF89a") is None
    True
    """
    if data[:3] != b"\xff\xd8\xff":
        return None
    header, place, known_colours = Header(), 2, False
    while place + 4 <= len(data) and data[place] == 0xFF:
        kind, size = data[place + 1], data[place + 2] << 8 | data[place + 3]
        part = data[place + 4:place + 2 + size]
        if size < 2 or len(part) != size - 2:
            return None
        place += 2 + size
        if kind == SCAN:
            header.begin = place
            return header if _scan(header, part, known_colours) else None
        if kind in OTHER_FRAMES or (kind == RESTARTS and part != b"\0\0"):
            return None
        if kind == JFIF and part[:5] == b"JFIF\0":
            known_colours = True
        elif kind == ADOBE and part[:5] == b"Adobe":
            if len(part) < 12 or part[11] != 1:
                return None
            known_colours = True
        elif kind in READERS and not READERS[kind](header, part):
            return None
    return None


def _quantizers(header: Header, part: bytes) -> bool:
    while part:
        if len(part) < 65 or part[0] > 3:
            return False
        header.quantizers[part[0]], part = part[1:65], part[65:]
    return True


def _codes(header: Header, part: bytes) -> bool:
    while part:
        end = 17 + sum(part[1:17])
        if len(part) < max(end, 18) or part[0] & 0xEC or end > 17 + 256:
            return False
        header.codes[part[0]], part = part[1:end], part[end:]
    return True


def _frame(header: Header, part: bytes) -> bool:
    if header.components or len(part) != 15 or part[0] != 8 or part[5] != 3:
        return False
    header.height, header.width = part[1] << 8 | part[2], part[3] << 8 | part[4]
    sampling = [part[i] for i in (7, 10, 13)]
    header.sampling = sampling[0] >> 4, sampling[0] & 15
    header.components = [(part[i], part[i + 2]) for i in (6, 9, 12)]
    return (sampling[1:] == [0x11, 0x11] and header.sampling in ((1, 1), (2, 1), (2, 2)) and header.height > 0
            and header.width >= NARROWEST and header.height * header.width <= LARGEST)


READERS = {QUANTIZATION: _quantizers, HUFFMAN: _codes, FRAME: _frame}


def _scan(header: Header, part: bytes, known_colours: bool) -> bool:
    """Whether all blocks are in this one scan, and all tables have been given; without a word about them, colours
    are what libjpeg takes them for by the components' names."""
    names = [name for name, _ in header.components]
    if len(part) != 10 or part[0] != 3 or list(part[1:7:2]) != names or part[7:] != b"\0\x3f\0":
        return False
    header.chosen = list(part[2:8:2])
    codes = {16 * kind + (chosen >> 4 * (1 - kind) & 15) for chosen in header.chosen for kind in (0, 1)}
    return (known_colours or names == [1, 2, 3]) and codes <= header.codes.keys() and {q for _, q in header.components} <= header.quantizers.keys()
