"""Binomial numbers, one by one because each takes as many draws as it needs."""

from __future__ import annotations

import math

import numpy as np

from rushlight.rng.discrete import _Reader
from rushlight.rng.engine import Engine

# log k! minus Stirling's formula for k = 0 … 9
STIRLING = (0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509, 0.0166446911898211,
            0.0138761288230707, 0.0118967099458917, 0.0104112652619720, 0.00925546218271273, 0.00833056343336287)


def binomial(engine: Engine, count: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """Successes in ``count`` trials of probability ``prob``, float64; two arrays of one shape."""
    with engine.lock:
        uniform = _Reader(engine)
        pairs = zip(count.astype(np.float64).reshape(-1).tolist(),
                    prob.astype(np.float64).reshape(-1).tolist(), strict=True)
        values = [_one(n, p, uniform) for n, p in pairs]
        uniform.close()
    return np.array(values, np.float64).reshape(count.shape)


def _one(count: float, prob: float, uniform: _Reader) -> float:
    if count <= 0 or prob <= 0:
        return 0.0
    if prob >= 1:
        return count
    if prob <= 0.5:
        return (_rejected if count * prob >= 10 else _by_waiting)(count, prob, uniform)
    if prob > 0.5:
        rest = 1.0 - prob
        return count - (_rejected if count * rest >= 10 else _by_waiting)(count, rest, uniform)
    return math.nan


def _by_waiting(count: float, prob: float, uniform: _Reader) -> float:
    """Add up geometric waiting times until they pass the number of trials."""
    steps, successes, slope = 0.0, 0.0, math.log1p(-prob)
    while True:
        u = uniform()
        steps += math.ceil(math.log(u) / slope) if u else math.inf
        if steps > count:
            return successes
        successes += 1


def _rejected(count: float, prob: float, uniform: _Reader) -> float:
    """Transformed rejection with squeeze (W. Hörmann, 1993, algorithm BTRS)."""
    spread = math.sqrt(count * prob * (1 - prob))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * prob
    center, accept = count * prob + 0.5, 0.92 - 4.2 / b
    odds, alpha, mode = prob / (1 - prob), (2.83 + 5.1 / b) * spread, math.floor((count + 1) * prob)
    while True:
        u, v = uniform() - 0.5, uniform()
        edge = 0.5 - abs(u)
        if edge == 0:
            continue
        k = math.floor((2 * a / edge + b) * u + center)
        if k < 0 or k > count:
            continue
        if edge >= 0.07 and v <= accept:
            return k
        weight = math.log(v * alpha / (a / (edge * edge) + b)) if v else -math.inf
        bound = ((mode + 0.5) * math.log((mode + 1) / (odds * (count - mode + 1)))
                 + (count + 1) * math.log((count - mode + 1) / (count - k + 1))
                 + (k + 0.5) * math.log(odds * (count - k + 1) / (k + 1))
                 + _tail(mode) + _tail(count - mode) - _tail(k) - _tail(count - k))
        if weight <= bound:
            return k


def _tail(k: float) -> float:
    """log k! minus Stirling's formula."""
    if k <= 9:
        return STIRLING[int(k)]
    square = (k + 1) * (k + 1)
    return (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / (k + 1)
