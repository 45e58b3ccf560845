"""Numbers of several distributions, drawn as PyTorch's CPU kernels draw them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rushlight.rng.engine import Engine

DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def uniform(engine: Engine, n: int, low: float, high: float, dtype: Any) -> np.ndarray:
    """n numbers in [low, high)."""
    dtype = np.dtype(dtype)
    digits = DIGITS[dtype.name]
    if dtype == np.float64:
        unit = (engine.words64(n) & np.uint64((1 << 53) - 1)).astype(np.float64) * 2.0 ** -53
        return unit * (high - low) + low
    unit32 = (engine.words(n) & np.uint64((1 << digits) - 1)).astype(np.float32) * np.float32(2.0 ** -digits)
    return (unit32 * np.float32(high - low) + np.float32(low)).astype(dtype)


def normal(engine: Engine, n: int, mean: float, std: float, dtype: Any) -> np.ndarray:
    """n normal numbers: one by one below 16, else by Box and Muller in blocks of 16, the last block drawn anew."""
    dtype = np.dtype(dtype)
    if n < 16:
        return np.array([one_normal(engine) * std + mean for _ in range(n)], np.float64).astype(dtype)
    work = np.dtype(np.float64) if dtype == np.float64 else np.dtype(np.float32)
    unit = uniform(engine, n, 0.0, 1.0, work)
    whole = n - n % 16
    out = np.empty(n, work)
    out[:whole] = _box_muller(unit[:whole], mean, std)
    if n % 16:
        out[n - 16:] = _box_muller(uniform(engine, 16, 0.0, 1.0, work), mean, std)
    return out.astype(dtype, copy=False)


def _box_muller(unit: np.ndarray, mean: float, std: float) -> np.ndarray:
    blocks = unit.reshape(-1, 2, 8)
    kind = unit.dtype.type
    radius = np.sqrt(kind(-2) * np.log(kind(1) - blocks[:, 0]))
    theta = kind(2 * math.pi) * blocks[:, 1]
    out = np.stack([radius * np.cos(theta), radius * np.sin(theta)], 1)
    return (out * kind(std) + kind(mean)).reshape(-1)


def one_normal(engine: Engine) -> float:
    """One normal number in double precision; the pair's second half is kept."""
    if engine.cached is not None:
        value, engine.cached = engine.cached, None
        return value
    u1, u2 = (int(w) & ((1 << 53) - 1) for w in engine.words64(2))
    r = math.sqrt(-2.0 * math.log1p(-(u2 * 2.0 ** -53)))
    theta = 2.0 * math.pi * (u1 * 2.0 ** -53)
    engine.cached = r * math.sin(theta)
    return r * math.cos(theta)


def randint(engine: Engine, n: int, low: int, high: int, dtype: Any) -> np.ndarray:
    """n whole numbers in [low, high)."""
    span = high - low
    words = engine.words64(n) if span >= 1 << 32 else engine.words(n)
    return ((words % np.uint64(span)).astype(np.int64) + np.int64(low)).astype(dtype)


def randperm(engine: Engine, n: int, dtype: Any) -> np.ndarray:
    """A random order of 0 … n - 1: each place exchanged with a later one."""
    words = engine.words(max(n - 1, 0)) if n < 0xFFFFFFFF // 20 else engine.words64(max(n - 1, 0))
    jumps = (words % (np.uint64(n) - np.arange(len(words), dtype=np.uint64))).tolist() if n else []
    order = list(range(n))
    for i, z in enumerate(jumps):
        order[i], order[i + z] = order[i + z], order[i]
    return np.array(order, dtype)


def bernoulli(engine: Engine, p: np.ndarray) -> np.ndarray:
    """1.0 with probability p, elementwise."""
    flat = np.asarray(p)
    if flat.size and ((flat < 0) | (flat > 1)).any():
        raise RuntimeError(f"Expected p_in >= 0 && p_in <= 1 to be true, but got {float(flat.min())} … {float(flat.max())}")
    wide = flat.dtype == np.float64
    return (uniform(engine, flat.size, 0.0, 1.0, np.float64 if wide else np.float32).reshape(flat.shape) < flat).astype(np.float64)


def exponential(engine: Engine, n: int, rate: float, dtype: Any) -> np.ndarray:
    """Exponential numbers, never 0."""
    return (np.maximum(-np.log1p(-uniform(engine, n, 0.0, 1.0, np.float64)), np.finfo(np.float32).tiny) / rate).astype(dtype)


def geometric(engine: Engine, n: int, p: float, dtype: Any) -> np.ndarray:
    """The number of trials up to the first success."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    return np.ceil(np.log1p(-uniform(engine, n, 0.0, 1.0, np.float64)) / math.log1p(-p)).clip(1).astype(dtype)


def cauchy(engine: Engine, n: int, median: float, sigma: float, dtype: Any) -> np.ndarray:
    """Cauchy numbers."""
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    return (median + sigma * np.tan(math.pi * (uniform(engine, n, 0.0, 1.0, np.float64) - 0.5))).astype(dtype)


def log_normal(engine: Engine, n: int, mean: float, std: float, dtype: Any) -> np.ndarray:
    """exp of normal numbers."""
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    return np.exp(normal(engine, n, mean, std, np.float64)).astype(dtype)


def multinomial(engine: Engine, weights: np.ndarray, count: int, replacement: bool) -> np.ndarray:
    """`count` column numbers per row, with the row's weights."""
    rows = np.atleast_2d(weights).astype(np.float64)
    if replacement:
        steps = np.cumsum(rows, 1)
        draws = uniform(engine, rows.shape[0] * count, 0.0, 1.0, np.float64).reshape(rows.shape[0], count) * steps[:, -1:]
        out = np.stack([np.searchsorted(s, d, side="right") for s, d in zip(steps, draws)]).clip(0, rows.shape[1] - 1)
    else:
        keys = rows / exponential(engine, rows.size, 1.0, np.float64).reshape(rows.shape)
        out = np.argsort(-keys, axis=1, kind="stable")[:, :count]
    return out.reshape(*weights.shape[:-1], count)


def poisson(engine: Engine, rates: np.ndarray) -> np.ndarray:
    """Poisson numbers with the elements as rates."""
    if rates.size and rates.min() < 0:
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    return np.random.Generator(np.random.Philox(key=engine.random64())).poisson(rates.astype(np.float64))
