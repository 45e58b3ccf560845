"""Single random numbers of the calling thread's stream, drawn as PyTorch's functions of tensors draw them."""

from __future__ import annotations

import math
import struct
from functools import lru_cache

import numpy as np

from rushlight import rng
from rushlight.rng.exact import fma32
from rushlight.rng.integers import WIDE_RANGE

UNIT = 2.0**-24
DOUBLE, PACKED = struct.Struct("<d"), struct.Struct("<q")
ATTEMPTS = 10  # to find a window that fits


def unit() -> float:
    """``torch.rand(1)``: a float32 in [0, 1) as a float."""
    return (rng.current().random() & 0xFFFFFF) * UNIT


def units(*shape: int) -> np.ndarray:
    """``torch.rand(shape)``."""
    return rng.uniform(rng.current(), math.prod(shape), 0.0, 1.0, np.float32).reshape(shape)


def between(low: float, high: float) -> float:
    """``torch.empty(1).uniform_(low, high).item()``: low + u·(high - low), rounded to float32 once."""
    if low > high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    start, span = np.float32(low), np.float32(high) - np.float32(low)
    u = unit()
    total = u * float(span) + float(start)  # the product is exact
    # halfway between two float32: what was lost decides
    if PACKED.unpack(DOUBLE.pack(total))[0] & 0x1FFFFFFF == 0x10000000:
        value = fma32(np.float32(u), span, start)[0]
    else:
        value = np.float32(total)
    return float(start if value == np.float32(high) else value)


def integer(low: int, high: int) -> int:
    """``torch.randint(low, high, (1,)).item()``: a whole number in [low, high)."""
    span = high - low
    if not 0 < span < WIDE_RANGE:
        return int(rng.randint(rng.current(), 1, low, high, np.int64)[0])
    return low + rng.current().random() % span


def integers(high: int, count: int) -> list[int]:
    """``torch.randint(high, (count,))``."""
    values: list[int] = rng.randint(rng.current(), count, 0, high, np.int64).tolist()
    return values


def permutation(count: int) -> list[int]:
    """``torch.randperm(count)``."""
    values: list[int] = rng.randperm(rng.current(), count, np.int64).tolist()
    return values


def normals(*shape: int) -> np.ndarray:
    """``torch.empty(shape).normal_()``."""
    return rng.normal(rng.current(), math.prod(shape), 0.0, 1.0, np.float32).reshape(shape)


def chosen(weights: list[float]) -> int:
    """``torch.multinomial(torch.tensor(weights), 1)``."""
    return int(rng.multinomial(rng.current(), np.asarray(weights, np.float32), 1, False).reshape(-1)[0])


@lru_cache(64)
def log_bounds(ratio: tuple[float, float]) -> tuple[float, float]:
    """Logarithms of two aspect ratios, rounded to float32 as PyTorch's are."""
    low, high = (float(np.float32(math.log(np.float32(r)))) for r in ratio)
    return low, high


def area_and_ratio(area: int, scale: tuple[float, float], logs: tuple[float, float]) -> tuple[float, float]:
    """A part of an area within ``scale``, and an aspect ratio whose logarithm is uniform."""
    part = area * between(scale[0], scale[1])
    return part, float(np.float32(math.exp(between(*logs))))


def dirichlet(alphas: list[float], rows: int = 1) -> np.ndarray:
    """``torch._sample_dirichlet``: float32 (rows, len(alphas))."""
    return rng.dirichlet(rng.current(), np.broadcast_to(np.asarray(alphas, np.float32), (rows, len(alphas))))
