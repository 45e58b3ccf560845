"""Large fills by machine code: the words of the twister, and the float32 numbers
made of them, bit for bit those of NumPy's path.

The kernels work in place: `words` puts 32-bit words into the memory of the result, `uniform` and `normal` turn them
into numbers, a piece at a time so that it stays in the cache.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache

import numpy as np

FEW = 16  # below, a kernel's call costs more than it saves
SOME = 1 << 12  # numbers drawn after which it is worth looking for kernels on disk, each call counted as CALL numbers
MANY = 1 << 18  # and after which it is worth compiling them
CALL = 64
FEW_CALLS, MANY_CALLS = 256, 1 << 14  # of a C function, from which on a kernel calls it if it is on disk, and if it is not
PIECE = 1 << 15
F32 = np.float32


class Chance:
    """Whether kernels are ``there``, or how many numbers were ``drawn`` without them."""

    there = False
    drawn = 0
    looked = False  # for them on disk


def wanted(n: int) -> bool:
    """Whether n numbers should be drawn by a kernel."""
    return n >= FEW and _available() and (Chance.there or _worth(n))


def _worth(n: int) -> bool:
    """Whether it is time to load or to compile the kernels; from then on they are used."""
    Chance.drawn += n + CALL
    if Chance.drawn < SOME:
        return False
    Chance.there = Chance.drawn >= MANY or not Chance.looked and _kept()
    Chance.looked = True
    return Chance.there


def _available() -> bool:
    from rushlight.exec.cpu import host
    return os.environ.get("RUSHLIGHT_EXEC") != "numpy" and sys.byteorder == "little" and host.available()


def _kept() -> bool:
    """Whether the kernels are on disk."""
    from rushlight.exec.cpu.jit import COMPILED
    return all([COMPILED.kept(_key(name)) for name in ("words", "uniform", "normal")])


def words(state: int, out: np.ndarray) -> None:
    """Fill a contiguous array of 4-byte elements with the next words of the twister whose
    state (key, position) lies at an address."""
    _kernel("words")([state, out.ctypes.data, out.size])


def uniform(out: np.ndarray, low: np.float32, high: np.float32) -> None:
    """Turn words into numbers in [low, high), in place."""
    _kernel("uniform")([out.ctypes.data, out.size, *map(_bits, (low, high - low, high))])


def normal(out: np.ndarray, mean: float, std: float) -> None:
    """Turn words into normal numbers, block by block of 16, in place."""
    _kernel("normal")([out.ctypes.data, out.size, _bits(F32(mean)), _bits(F32(std))])


def exchanged(words: np.ndarray, n: int) -> np.ndarray:
    """0 … n - 1 with place i exchanged with the one words[i] mod (n - i) places on, for i = 0, 1, …; fewer than 2**32."""
    out = np.empty(n, np.int64)
    _kernel("exchange")([words.ctypes.data, out.ctypes.data, n])
    return out


def wanted_map(n: int) -> bool:
    """Whether a function of the C library should be called n times by a kernel."""
    if n < FEW_CALLS or not wanted(n):
        return False
    from rushlight.exec.cpu.jit import COMPILED
    return n >= MANY_CALLS or COMPILED.kept(_key("mapped"))


@cache
def c_function(name: str) -> int:
    """The address of the C library's function of one float64, 0 where it is not found. It must take any number: Python's refuse some."""
    if name not in ("cos", "log", "log1p", "sin"):
        return 0
    import ctypes
    try:
        return ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value or 0
    except (AttributeError, OSError, TypeError):
        return 0


def mapped(function: int, x: np.ndarray) -> np.ndarray:
    """A C function of each element."""
    out = np.empty(x.size)
    _kernel("mapped")([x.ctypes.data, out.ctypes.data, x.size, function])
    return out


def pieces(out: np.ndarray) -> list[np.ndarray]:
    """Parts of a flat array that fit the cache, their lengths multiples of 16 but for the last."""
    return [out[i:i + PIECE] for i in range(0, out.size, PIECE)]


def _bits(x: np.float32) -> int:
    return int(x.view(np.uint32))


def _key(name: str) -> str:
    return f"rng {name} 1"


@cache
def _kernel(name: str) -> Callable[[list[int]], None]:
    from rushlight.exec.cpu import calls

    def write(symbol: str) -> str:
        from rushlight.rng import kernels
        return getattr(kernels, name)(symbol)  # type: ignore[no-any-return]
    return calls.function(_key(name), write)
