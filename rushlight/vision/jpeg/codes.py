"""Huffman codes as tables: what the next bits of the data mean, in most cases the coefficient's value included.

An entry for the next ``LOOK`` bits: bits 0–5 how many of them are used up, 8–14 how many coefficients of zero come before,
16–31 the value. Where the value's own bits reach further (bit 6): bits 0–5 the length of the code alone, 0 for a longer
code, and 16–23 the symbol. After the entries come, for codes of 0 to 16 bits, the first code that is too large, and what to
add to a code to find its symbol; then the symbols.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

LOOK = 11
PARTLY = 64
END = 64  # this many zeros: the block is over
BOUNDS, OFFSETS, SYMBOLS = 1 << LOOK, (1 << LOOK) + 17, (1 << LOOK) + 34


@lru_cache(64)
def table(code: bytes) -> np.ndarray | None:
    """The table of a code, int32, from its 16 counts and the symbols; None where no prefix code has these counts.

    >>> from rushlight.vision.jpeg.codes import table
    >>> entry = int(table(bytes([1] + 15 * [0]) + b"\\2")[0b01100000000])  # code 0: two bits of value follow, here 11
    >>> entry & 63, entry >> 16
    (3, 3)
    """
    counts, symbols = np.frombuffer(code[:16], np.uint8).astype(np.int64), np.frombuffer(code[16:], np.uint8).astype(np.int64)
    lengths = np.repeat(np.arange(1, 17), counts)
    starts = np.concatenate([[0], np.cumsum(1 << (16 - lengths))])  # codes one after the other, each as 16 bits
    if starts[-1] > 1 << 16:
        return None
    out = np.zeros(SYMBOLS + 256, np.int32)
    first = np.concatenate([[0], np.cumsum(counts)])
    for bits in range(1, 17):
        out[BOUNDS + bits] = starts[first[bits]] >> (16 - bits)
        out[OFFSETS + bits] = first[bits - 1] - (starts[first[bits - 1]] >> (16 - bits))
    out[SYMBOLS:SYMBOLS + len(symbols)] = symbols
    ahead = np.arange(1 << LOOK)
    which = np.searchsorted(starts, ahead << (16 - LOOK), side="right") - 1
    known = which < len(symbols)
    which = np.minimum(which, len(symbols) - 1)
    length, symbol = lengths[which], symbols[which]
    known &= length <= LOOK
    run, size = symbol >> 4, symbol & 15
    whole = known & (length + size <= LOOK)
    raw = ahead >> np.maximum(LOOK - length - size, 0) & (1 << size) - 1
    value = np.where(raw < 1 << size >> 1, raw - (1 << size) + 1, raw)
    value[size == 0] = 0
    run = np.where((size == 0) & (run != 15), END, run)
    out[:1 << LOOK] = np.where(whole, length + size | run << 8 | value << 16, np.where(known, length | symbol << 16, 0) | PARTLY)
    out.flags.writeable = False
    return out


ZIGZAG = np.array([i * 8 + j for i, j in sorted(((i, j) for i in range(8) for j in range(8)),
                                                key=lambda p: (sum(p), p[0] if sum(p) % 2 else p[1]))])
NOWHERE = 64  # the place of coefficients past the end of a block


@lru_cache(64)
def quantizer(factors: bytes) -> np.ndarray:
    """256·factor + place of the coefficients as they follow each other, int32 (128,): the last half belongs to no place."""
    out = np.full(128, NOWHERE, np.int32)
    out[:64] = np.frombuffer(factors, np.uint8).astype(np.int32) * 256 + ZIGZAG
    out.flags.writeable = False
    return out
