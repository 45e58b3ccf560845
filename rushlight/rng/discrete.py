"""Discrete distributions: bernoulli, geometric, poisson, multinomial."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rushlight.rng.continuous import exponential, unit32, unit64
from rushlight.rng.engine import Engine
from rushlight.rng.exact import HALF_TYPES, rounded, to_dtype


def bernoulli(engine: Engine, p: Any, n: int | None = None) -> np.ndarray:
    """True with probability p, bool: n of them for a number p, else the shape of the array p.

    A float64 array compares 53-bit uniform numbers, other floating arrays 24-bit ones, as in PyTorch.
    """
    p = np.asarray(p, None if isinstance(p, np.ndarray) else np.float64)
    out_of_range = ~((p >= 0) & (p <= 1))
    if out_of_range.any():
        raise RuntimeError(f"Expected p_in >= 0 && p_in <= 1 to be true, but got false. A probability is "
                           f"{float(p[out_of_range].flat[0])}")
    size = p.size if n is None else n
    if p.dtype == np.float64:
        return (unit64(engine, size) < p.reshape(-1)).reshape(p.shape if n is None else (n,))
    return (unit32(engine, size) < p.reshape(-1).astype(np.float32)).reshape(p.shape if n is None else (n,))


def geometric(engine: Engine, n: int, p: float, dtype: Any) -> np.ndarray:
    """n numbers of trials up to the first success, ceil(log(u) / log(1 - p))."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    unit = np.maximum(unit64(engine, n), 2.0 ** -1022)  # log(0) would be infinite
    return rounded(math.log, np.log, unit, lambda v: to_dtype(np.ceil(v / math.log1p(-p)), np.dtype(dtype)))


class _Reader:
    """Uniform numbers one at a time, drawn in blocks; ``close`` puts back what was not read."""

    def __init__(self, engine: Engine):
        self.engine, self.block, self.at, self.size = engine, [], 0, 16

    def __call__(self) -> float:
        if self.at == len(self.block):
            self.before = self.engine.get_state()
            self.size = min(self.size * 2, 1 << 14)
            self.block, self.at = unit64(self.engine, self.size).tolist(), 0
        self.at += 1
        return self.block[self.at - 1]

    def close(self) -> None:
        if self.at < len(self.block):
            self.engine.set_state(self.before)
            self.engine.words(2 * self.at)


def poisson(engine: Engine, rates: np.ndarray) -> np.ndarray:
    """Poisson numbers with the elements as rates, float64, one by one because each takes as many draws as it needs."""
    rates = np.asarray(rates)
    if not (rates >= 0).all():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    with engine.lock:
        reader = _Reader(engine)
        values = [_one_poisson(rate, reader) for rate in rates.astype(np.float64).reshape(-1).tolist()]
        reader.close()
    return np.array(values, np.float64).reshape(rates.shape)


def _one_poisson(rate: float, uniform: _Reader) -> int:
    if rate == 0:
        return 0
    if rate >= 10:
        return _large_poisson(rate, uniform)
    limit, product, count = math.exp(-rate), uniform(), 0
    while product > limit:
        product *= uniform()
        count += 1
    return count


def _large_poisson(rate: float, uniform: _Reader) -> int:
    """Transformed rejection with squeeze, for rates of 10 and more (W. Hörmann, 1993, algorithm PTRS)."""
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    accept = 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = uniform() - 0.5, uniform()
        edge = 0.5 - abs(u)
        if edge == 0:
            continue
        k = math.floor((2 * a / edge + b) * u + rate + 0.43)
        if edge >= 0.07 and v <= accept:
            return k
        if k < 0 or (edge < 0.013 and v > edge):
            continue
        weight = math.log(v or 2.0 ** -1022) + math.log(inverse_alpha) - math.log(a / (edge * edge) + b)
        if weight <= -rate + k * math.log(rate) - math.lgamma(k + 1):
            return k


def multinomial(engine: Engine, weights: np.ndarray, num_samples: int, replacement: bool) -> np.ndarray:
    """num_samples column numbers per row of the floating weights (one or two dimensions), int64.

    Without replacement, or for one sample: the largest of weight / q with q exponential (the exponential race); else a
    search of uniform numbers in the normalised cumulative weights. Both in the weights' own precision.
    """
    weights = np.asarray(weights)
    total = weights.sum(-1, dtype=np.float64)
    if not (weights >= 0).all() or not np.isfinite(total).all() and not np.isfinite(weights).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not total.all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    rows = np.atleast_2d(weights)
    if not replacement and num_samples > rows.shape[1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    pick = _search if replacement and num_samples > 1 else _race
    return pick(engine, rows, num_samples).astype(np.int64).reshape(*weights.shape[:-1], num_samples)


def _race(engine: Engine, rows: np.ndarray, count: int) -> np.ndarray:
    times = exponential(engine, rows.size, 1.0, rows.dtype).reshape(rows.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        keys = rows / times
    if count == 1:
        return keys.argmax(1)
    return np.argsort(-keys, axis=1, kind="stable")[:, :count]


def _search(engine: Engine, rows: np.ndarray, count: int) -> np.ndarray:
    steps = np.cumsum(rows.astype(np.float32) if rows.dtype.name in HALF_TYPES else rows, 1)
    steps = steps / steps[:, -1:]
    steps[:, -1] = 1
    draws = unit64(engine, rows.shape[0] * count).reshape(rows.shape[0], count)
    return np.stack([np.searchsorted(s.astype(np.float64), d, side="left") for s, d in zip(steps, draws, strict=True)])
