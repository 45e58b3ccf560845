"""SplitMix64, a generator without a state: number i of a seed follows from both alone (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014). Masks are drawn from it, in any order and by any number of threads."""

from __future__ import annotations

import math

import numpy as np

GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
PIECE = 1 << 14  # numbers drawn together: their intermediates stay in the cache


def signed(value: int) -> int:
    """The low 64 bits as a signed number."""
    return (value & (1 << 64) - 1) - ((value & 1 << 63) << 1)


def unit24(seed: int, begin: int, end: int) -> np.ndarray:
    """Numbers begin … end - 1 of a seed as float32 in [0, 1): their upper 24 bits, to which the last of the three mixing steps adds
    nothing.

    >>> unit24(0, 0, 2)
    array([0.8833108, 0.4315573], dtype=float32)
    """
    z = np.arange(begin + 1, end + 1, dtype=np.uint64)
    z *= np.uint64(GOLDEN)
    z += np.uint64(seed & (1 << 64) - 1)
    for shift, factor in ((30, FIRST), (27, SECOND)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    return (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0 ** -24)


def keep(p: float, seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """True with probability 1 - p, of that shape; number i belongs to element i in the order of rows."""
    kept = np.empty(math.prod(shape), bool)
    for begin in range(0, kept.size, PIECE):
        end = min(begin + PIECE, kept.size)
        np.greater_equal(unit24(seed, begin, end), np.float32(p), out=kept[begin:end])
    return kept.reshape(shape)
