"""Whole numbers: ranges, the full range of a type, permutations."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.rng import compiled
from rushlight.rng.engine import Engine
from rushlight.rng.exact import to_dtype

DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
WIDE_RANGE = 1 << 28  # from this range on a number takes 64 bits, so that the remainder stays nearly even
MANY = 0xFFFFFFFF // 20  # from this length on PyTorch shuffles inside out with 64-bit numbers
INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1


def randint(engine: Engine, n: int, low: int, high: int, dtype: Any) -> np.ndarray:
    """n whole numbers in [low, high), any dtype that holds them.

    >>> randint(Engine(0), 4, 0, 10, "int64")
    array([4, 9, 3, 0])
    """
    span = high - low
    if span <= 0:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    words = engine.words64(n) if span >= WIDE_RANGE else engine.words(n)
    words = words % words.dtype.type(span)
    values = (words.astype(np.uint64, copy=False) + np.uint64(low % (1 << 64))).view(np.int64)
    return to_dtype(values, np.dtype(dtype))


def random_(engine: Engine, n: int, dtype: Any, low: int | None = None, high: int | None = None) -> np.ndarray:
    """n numbers as ``Tensor.random_(low, high)`` draws them.

    With no bounds: 0 … the largest value of an integer dtype, 0 … 2**digits of a floating one. With ``low`` alone: from
    it to that same end. With both: [low, high), for floating dtypes narrowed by PyTorch's rule so that rounding to the
    dtype does not reach ``high``; below -2**digits it can still pass ``low`` by one step, as in PyTorch.
    """
    dtype = np.dtype(dtype)
    digits = DIGITS.get(dtype.name)
    top = 1 if dtype == np.bool_ else (1 << digits) if digits else min(int(np.iinfo(dtype).max), INT64_MAX)
    if low is None:
        words = engine.words64(n) if dtype.name in ("int64", "float64") else engine.words(n)
        return to_dtype(words % words.dtype.type(top + 1) if top < 0xFFFFFFFF or words.itemsize == 8 else words, dtype)
    if low == INT64_MIN and high is None:
        return _any_64_bits(engine, n, dtype)
    end = top + 1 if high is None else high
    if low >= end:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={end}")
    if digits:
        low, end = _round_up(low, dtype, digits), end if high is None else _round_down(end, dtype, digits)
        if low >= end:
            raise RuntimeError("random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got "
                               f"from={low} >= to={end}")
    return randint(engine, n, low, end, dtype)


def _any_64_bits(engine: Engine, n: int, dtype: np.dtype) -> np.ndarray:
    if dtype.name not in ("int64", "float64", "float32", "bfloat16"):
        raise RuntimeError("random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16, "
                           f"got {dtype.name}")
    return to_dtype(engine.words64(n).view(np.int64), dtype)


def _cast(value: int, dtype: np.dtype) -> int:
    return int(to_dtype(np.array([value], np.int64), dtype)[0])


def _round_up(low: int, dtype: np.dtype, digits: int) -> int:
    """``low``, or the next number of the dtype where ``low + 1`` rounds to less than ``low``."""
    near = _cast(low + 1, dtype)
    return low if near >= low else near + (1 << (abs(low + 1).bit_length() - digits))


def _round_down(high: int, dtype: np.dtype, digits: int) -> int:
    """``high``, or a number of the dtype below it where ``high - 1`` rounds to ``high`` or more."""
    near = _cast(high - 1, dtype)
    return high if near < high else near - (1 << (abs(high - 1).bit_length() - digits))


def randperm(engine: Engine, n: int, dtype: Any) -> np.ndarray:
    """A random order of 0 … n - 1.

    >>> randperm(Engine(0), 5, "int64")
    array([4, 0, 1, 3, 2])
    """
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got{n}")
    if n < MANY and compiled.wanted(n):
        order = compiled.exchanged(engine.words(n - 1), n)
    elif n < MANY:
        left = np.arange(n, max(n, 1) - max(n - 1, 0), -1, dtype=np.uint32)
        jumps = engine.words(max(n - 1, 0)) % left
        order = apply_exchanges(np.arange(max(n - 1, 0)) + jumps, n)
    else:
        places = engine.words64(n) % np.arange(1, n + 1, dtype=np.uint64)
        order = inside_out(places.view(np.int64))
    return to_dtype(order, np.dtype(dtype))


def apply_exchanges(targets: np.ndarray, n: int) -> np.ndarray:
    """What 0 … n - 1 becomes when place i is exchanged with place targets[i] ≥ i, for i = 0, 1, …, without a loop.

    Place p holds, before step i, what the latest earlier step with target p moved there, and p itself when there was
    none. What step k moves is what place k held before it, so these are trees of steps: each leads to its root.
    """
    targets = np.concatenate([targets.astype(np.int64), np.arange(len(targets), n)])
    steps = np.arange(n)
    moved = targets != steps
    root = steps.copy()
    root[targets[moved]] = steps[moved]  # the last of equal targets wins: the latest step
    root = _follow(root)
    before = previous_equal(targets)
    return np.where(before >= 0, root[before], targets)


def inside_out(places: np.ndarray) -> np.ndarray:
    """The inside-out shuffle: for i = 0, 1, … place i takes what is in places[i] ≤ i, which then takes i."""
    steps = np.arange(len(places))
    before = previous_equal(places)
    # What step i copies to place i: the number of the latest step with that place, else what was copied there.
    source = _follow(np.where((before >= 0) | (places == steps), steps, places))
    copied = np.where(before >= 0, before, steps)[source]
    copied[places] = steps  # the last of equal places wins: the latest step; each place's own copy comes before it
    return copied


def previous_equal(values: np.ndarray) -> np.ndarray:
    """For each element the index of the latest earlier equal one, -1 where there is none; values < 2**32."""
    n = len(values)
    bits = np.uint64(max(n - 1, 1).bit_length())
    keys = np.sort((values.astype(np.uint64) << bits) | np.arange(n, dtype=np.uint64))
    index = (keys & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    group = keys >> bits
    out = np.full(n, -1, np.int64)
    same = group[1:] == group[:-1]
    out[index[1:][same]] = index[:-1][same]
    return out


def _follow(parent: np.ndarray) -> np.ndarray:
    """The root of every element of a forest, in which roots point at themselves."""
    while True:
        further = parent[parent]
        if np.array_equal(further, parent):
            return parent
        parent = further
