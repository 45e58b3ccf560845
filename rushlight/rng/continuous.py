"""Real numbers: uniform, normal and what is made of them.

Each function returns a flat array of n elements of the dtype (float16, bfloat16, float32 or float64) and draws as many
32-bit words as PyTorch does for a contiguous CPU tensor.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rushlight.rng import compiled
from rushlight.rng.cephes import log32, sincos32
from rushlight.rng.engine import Engine
from rushlight.rng.exact import HALF_TYPES, fma32, fma64, libm, rounded, to_dtype

CHUNK = 1 << 15  # elements worked on together: their intermediates stay in the cache
EXP_MAX = 709.782712893384
FEW_PAIRS = 8
LOW_BITS = (1 << 53) - 1


def unit32(engine: Engine, n: int) -> np.ndarray:
    """float32 in [0, 1): the low 24 bits of a word."""
    return (engine.words(n) & np.uint32(0xFFFFFF)).astype(np.float32) * np.float32(2.0 ** -24)


def unit64(engine: Engine, n: int) -> np.ndarray:
    """float64 in [0, 1): the low 53 bits of two words."""
    return (engine.words64(n) & np.uint64((1 << 53) - 1)).astype(np.float64) * 2.0 ** -53


def uniform(engine: Engine, n: int, low: float, high: float, dtype: Any, spare: np.ndarray | None = None) -> np.ndarray:
    """n numbers in [low, high), low + u·(high - low). ``spare``: an array that may become the result, its contents
    being of no use.

    >>> uniform(Engine(0), 2, 0.0, 1.0, "float32")
    array([0.4962566, 0.7682218], dtype=float32)
    """
    dtype = np.dtype(dtype)
    if dtype == np.float32 and compiled.wanted(n):
        return _compiled_uniform(engine, _room(n, spare), np.float32(low), np.float32(high))
    if dtype == np.float64:
        unit = unit64(engine, n)
        values = unit if (low, high) == (0, 1) else fma64(unit, high - low, low)
    else:
        values = _uniform32(engine, n, low, high)
    values = to_dtype(values, dtype)
    if (low, high) == (0, 1) and dtype.name not in HALF_TYPES:
        return values
    first, last = to_dtype(np.array([low, high]), dtype)
    return np.where(values == last, first, values)  # rounding may reach the excluded end


def _uniform32(engine: Engine, n: int, low: float, high: float) -> np.ndarray:
    """The numbers in float32, before they are rounded."""
    start, end = np.float32(low), np.float32(high)
    if compiled.wanted(n):
        return _compiled_uniform(engine, np.empty(n, np.float32), start, end)
    unit = unit32(engine, n)
    return unit if (low, high) == (0, 1) else fma32(unit, end - start, start)


def normal(engine: Engine, n: int, mean: float, std: float, dtype: Any, contiguous: bool = True,
           spare: np.ndarray | None = None) -> np.ndarray:
    """n normal numbers by Box and Muller's transform.

    Fewer than 16 are drawn in float64, pair by pair, the second of a pair kept for the next call. From 16 on they come
    in blocks of 16 (8 cosines, then 8 sines), and when n is no multiple of 16 the last 16 are drawn anew.
    With ``contiguous=False`` all are drawn pair by pair, as PyTorch fills a tensor that is not contiguous; the order
    is then that of its memory. ``spare``: an array that may become the result, its contents being of no use.

    >>> normal(Engine(0), 2, 0.0, 1.0, "float32")
    array([ 1.5409961, -0.2934289], dtype=float32)
    """
    dtype = np.dtype(dtype)
    if n < 16 or not contiguous:
        return to_dtype(_scaled64(standard_pairs(engine, n), mean, std), dtype)
    if dtype == np.float32 and compiled.wanted(n):
        return _compiled_normal(engine, _room(n, spare), mean, std)
    double, half = dtype == np.float64, dtype.name in HALF_TYPES
    if half and compiled.wanted(n):
        return to_dtype(_compiled_normal(engine, np.empty(n, np.float32), mean, std, drop=False), dtype)
    whole = n - n % 16
    with engine.lock:
        # Half types skip the uniform numbers of the incomplete block, the others draw and drop them.
        unit = (unit64 if double else unit32)(engine, whole if half else n)
        tail = (unit64 if double else unit32)(engine, 16) if n % 16 else unit[:0]
    transform = _normal_blocks64 if double else _normal_blocks32
    out = np.empty(n, unit.dtype)
    for start in range(0, whole, CHUNK):
        stop = min(start + CHUNK, whole)
        out[start:stop] = transform(unit[start:stop], mean, std)
    if n % 16:
        out[n - 16:] = transform(tail, mean, std)
    return to_dtype(out, dtype)


def _room(n: int, spare: np.ndarray | None) -> np.ndarray:
    """A flat float32 array of n elements: new memory costs more than the numbers that are put there."""
    fits = (spare is not None and spare.shape == (n,) and spare.dtype == np.float32
            and spare.flags.c_contiguous and spare.flags.writeable)
    return spare if fits else np.empty(n, np.float32)


def _compiled_uniform(engine: Engine, out: np.ndarray, low: np.float32, high: np.float32) -> np.ndarray:
    with engine.lock:
        for piece in compiled.pieces(out):
            engine.fill(piece)
            compiled.uniform(piece, low, high)
    return out


def _compiled_normal(engine: Engine, out: np.ndarray, mean: float, std: float, drop: bool = True) -> np.ndarray:
    n = out.size
    whole = n - n % 16
    with engine.lock:
        for piece in compiled.pieces(out[:whole]):
            engine.fill(piece)
            compiled.normal(piece, mean, std)
        if n % 16:
            if drop:
                engine.words(n % 16)  # those of the incomplete block
            engine.fill(out[n - 16:])
            compiled.normal(out[n - 16:], mean, std)
    return out


def _normal_blocks32(unit: np.ndarray, mean: float, std: float) -> np.ndarray:
    blocks = unit.reshape(-1, 2, 8)
    radius = np.sqrt(np.float32(-2) * log32(np.float32(1) - blocks[:, 0]))
    sine, cosine = sincos32(np.float32(2 * math.pi) * blocks[:, 1])
    out = np.stack([radius * cosine, radius * sine], 1).reshape(-1)
    return _scaled32(out, mean, std)


def _normal_blocks64(unit: np.ndarray, mean: float, std: float) -> np.ndarray:
    blocks = unit.reshape(-1, 2, 8)
    radius = np.sqrt(-2.0 * libm(math.log, (1.0 - blocks[:, 0]).reshape(-1)))
    theta = 2 * math.pi * blocks[:, 1].reshape(-1)
    pair = [(radius * libm(f, theta)).reshape(-1, 8) for f in (math.cos, math.sin)]
    out = np.stack(pair, 1).reshape(-1)
    return _scaled64(out, mean, std)


def _scaled32(z: np.ndarray, mean: float, std: float) -> np.ndarray:
    # z·1 + 0 is z but for the sign of zero
    return z + np.float32(0) if (mean, std) == (0, 1) else fma32(z, np.float32(std), np.float32(mean))


def _scaled64(z: np.ndarray, mean: float, std: float) -> np.ndarray:
    return z + 0.0 if (mean, std) == (0, 1) else fma64(z, std, mean)


def standard_pairs(engine: Engine, n: int) -> np.ndarray:
    """n standard normal numbers in float64, pair by pair; an unused second one stays in ``engine.cached``."""
    with engine.lock:
        kept = [] if engine.cached is None or n == 0 else [engine.cached]
        pairs = (n - len(kept) + 1) // 2
        values = np.array(kept + _few_pairs(engine, pairs)) if pairs <= FEW_PAIRS else np.concatenate([np.array(kept), _pairs(engine, pairs)])
        if n:
            engine.cached = float(values[-1]) if values.size > n else None
        return values[:n]


def _pairs(engine: Engine, count: int) -> np.ndarray:
    """So many pairs."""
    unit = unit64(engine, 2 * count)
    radius = np.sqrt(-2.0 * libm(math.log1p, -unit[1::2]))
    theta = 2 * math.pi * unit[0::2]
    return np.stack([radius * libm(math.cos, theta), radius * libm(math.sin, theta)], 1).reshape(-1)


def _few_pairs(engine: Engine, count: int) -> list[float]:
    """The same bits one by one, which takes less time than NumPy's calls."""
    found = []
    words = iter(engine.raw(4 * count))
    for high in words:
        theta = 2 * math.pi * (((high << 32 | next(words)) & LOW_BITS) * 2.0 ** -53)
        radius = math.sqrt(-2.0 * math.log1p(-(((next(words) << 32 | next(words)) & LOW_BITS) * 2.0 ** -53)))
        found += [radius * math.cos(theta), radius * math.sin(theta)]
    return found


def log_normal(engine: Engine, n: int, mean: float, std: float, dtype: Any) -> np.ndarray:
    """n numbers exp(mean + std·z), z standard normal and always drawn pair by pair."""
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    exponent = _scaled64(standard_pairs(engine, n), mean, std)
    values = rounded(math.exp, np.exp, np.minimum(exponent, EXP_MAX), lambda v: to_dtype(v, np.dtype(dtype)))
    values[exponent > EXP_MAX] = np.inf
    return values


def exponential(engine: Engine, n: int, rate: float, dtype: Any) -> np.ndarray:
    """n numbers -log(1 - u) / rate."""
    if rate < 0:
        raise RuntimeError(f"exponential_ expects lambda >= 0.0, but found lambda={rate}")
    scale = -1.0 / rate if rate else -math.inf
    return rounded(math.log1p, np.log1p, -unit64(engine, n), lambda v: to_dtype(scale * v, np.dtype(dtype)))


def cauchy(engine: Engine, n: int, median: float, sigma: float, dtype: Any) -> np.ndarray:
    """n numbers median + sigma·tan(π·(u - 1/2))."""
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    return rounded(math.tan, np.tan, math.pi * (unit64(engine, n) - 0.5), lambda v: to_dtype(fma64(v, sigma, median), np.dtype(dtype)))
