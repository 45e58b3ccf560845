"""Gamma and Dirichlet numbers, one by one because each takes as many draws as it needs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rushlight.rng.discrete import _Reader
from rushlight.rng.engine import Engine
from rushlight.rng.exact import HALF_TYPES, to_dtype

THIRD = float(np.float32(1) / np.float32(3))  # PyTorch's constants are float32 ones
SQUEEZE = float(np.float32(0.0331))


class _Normals:
    """Standard normal numbers pair by pair from the uniform ones of a reader; the second of a pair is kept."""

    def __init__(self, uniform: _Reader, kept: float | None):
        self.uniform, self.kept = uniform, kept

    def __call__(self) -> float:
        if self.kept is not None:
            value, self.kept = self.kept, None
            return value
        first, second = self.uniform(), self.uniform()
        radius, theta = math.sqrt(-2.0 * math.log1p(-second)), 2 * math.pi * first
        self.kept = radius * math.sin(theta)
        return radius * math.cos(theta)


def standard_gamma(engine: Engine, alpha: np.ndarray) -> np.ndarray:
    """A gamma number of scale 1 for every element of ``alpha``, of its shape and floating dtype,
    at least the smallest normal number.

    G. Marsaglia and W. W. Tsang's rejection (2000); alpha below 1 through alpha + 1 and a power of a uniform number.
    """
    alpha = np.asarray(alpha)
    double = alpha.dtype == np.float64
    values = _draw(engine, alpha if double else alpha.astype(np.float32), None if double else np.float32)
    tiny = np.finfo(np.float32 if alpha.dtype.name in HALF_TYPES else alpha.dtype).tiny
    return np.maximum(to_dtype(values, alpha.dtype), np.asarray(tiny).astype(alpha.dtype))


def dirichlet(engine: Engine, alpha: np.ndarray) -> np.ndarray:
    """Dirichlet numbers with the last dimension of ``alpha`` as parameters:
    float64 gamma numbers divided by their sum."""
    alpha = np.asarray(alpha)
    gammas = _draw(engine, alpha.astype(np.float64), None)
    dtype = np.dtype(np.float32 if alpha.dtype.name in HALF_TYPES else alpha.dtype)
    shares = to_dtype(gammas / _sum_last(gammas)[..., None], dtype)
    low, high = np.finfo(dtype).tiny, np.nextafter(dtype.type(1), dtype.type(0))
    return to_dtype(np.minimum(np.maximum(shares, low), high), alpha.dtype)


def _sum_last(x: np.ndarray) -> np.ndarray:
    """Sums over the last dimension in the order of PyTorch's AVX2 code, in which up to 257 elements give its bits.

    Vectors of 4 go to 4 sums in turn, the vectors that make no full turn to the first; then what is left of a vector,
    and to it the lanes of the sums' sum.
    """
    n = x.shape[-1]
    vectors = x[..., :n // 4 * 4].reshape(*x.shape[:-1], n // 4, 4)
    turns = n // 16 * 4
    sums = [_in_order(vectors[..., [*range(i, turns, 4),
                                    *(range(turns, n // 4) if i == 0 else ())], :], -2) for i in range(4)]
    lanes = sums[0] + sums[1] + sums[2] + sums[3]
    return _in_order(np.concatenate([x[..., n // 4 * 4:], lanes], -1), -1)


def _in_order(x: np.ndarray, axis: int) -> np.ndarray:
    """The sum along an axis, one after the other (NumPy's own sum changes the order)."""
    return x.cumsum(axis).take(-1, axis) if x.shape[axis] else x.sum(axis)


def _draw(engine: Engine, alpha: np.ndarray, cast: Callable[[float], np.floating] | None) -> np.ndarray:
    """Gamma numbers in float64; ``cast`` is the type in which alpha's own arithmetic is rounded."""
    with engine.lock:
        uniform = _Reader(engine)
        normal = _Normals(uniform, engine.cached)
        values = [_one(a, uniform, normal, cast) for a in alpha.reshape(-1).tolist()]
        uniform.close()
        engine.cached = normal.kept
    return np.array(values, np.float64).reshape(alpha.shape)


def _one(alpha: float, uniform: _Reader, normal: _Normals, cast: Callable[[float], np.floating] | None) -> float:
    scale = 1.0
    if alpha < 1:
        if alpha == 0:
            return 0.0
        inverse = 1.0 / alpha if cast is None else float(cast(1.0) / cast(alpha))
        scale *= (1 - uniform()) ** inverse
        alpha = alpha + 1 if cast is None else float(cast(alpha) + cast(1.0))
    d = alpha - THIRD if cast is None else float(cast(alpha) - cast(THIRD))
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal()
        y = 1.0 + c * x
        while y <= 0:
            x = normal()
            y = 1.0 + c * x
        v = y * y * y
        u = 1 - uniform()
        square = x * x
        if u < 1.0 - SQUEEZE * square * square:
            return scale * d * v
        if math.log(u) < 0.5 * square + d * (1.0 - v + math.log(v)):
            return scale * d * v
