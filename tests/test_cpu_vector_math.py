"""The vector functions of the native executor: error in units of the last place
over the whole range, and special values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from executors import only

import rushlight as rl
from rushlight.exec.cpu import executor, vector_math

pytestmark = pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
UNARY = sorted(set(vector_math.FUNCTIONS) - {"pow", "atan2"})
REFERENCE = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "asin": np.arcsin, "acos": np.arccos,
             "atan": np.arctan, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh}
MOST = 2.0
MOST_POW = 4.0
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3.4e38,
                    -3.4e38, 0.5, 88.8, -104.0, 709.8, -746.0], np.float64)


def reference(name: str, x: np.ndarray) -> np.ndarray:
    """The function in a wider type."""
    wide = x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)
    with np.errstate(all="ignore"):
        if name in ("erf", "erfc"):
            return error_function(name, x) if x.dtype == np.float64 else np.array([
                getattr(math, name)(v) for v in x.tolist()])
        return np.asarray(REFERENCE.get(name) or getattr(np, name), dtype=object).item()(wide)


def error_function(name: str, x: np.ndarray) -> np.ndarray:
    """erf or erfc of float64 in 80 bits: a series of positive terms (DLMF 7.6.2) below 2,
    a continued fraction (7.9.3) beyond."""
    a = np.abs(x).astype(np.longdouble)
    inside = np.where(a < 2, a, 0)
    term = total = inside
    for n in range(1, 80):
        term = term * 2 * inside * inside / (2 * n + 1)
        total = total + term
    near = 2 / np.sqrt(np.arccos(np.longdouble(-1))) * _gauss(inside) * total
    outside = np.where(a >= 2, np.minimum(a, 40), 2)
    fraction = outside
    for n in range(200, 0, -1):
        fraction = outside + (n / np.longdouble(2)) / fraction
    far = _gauss(outside) / np.sqrt(np.arccos(np.longdouble(-1))) / fraction
    if name == "erf":
        result = np.copysign(np.where(a < 2, near, 1 - far), x)
    else:
        result = np.where(a < 2, 1 - np.copysign(near, x), np.where(x < 0, 2 - far, far))
    return np.where(np.isnan(x), np.nan, result)


def _gauss(a: np.ndarray) -> np.ndarray:
    """exp(-a^2): the square of the upper half of the digits is exact."""
    upper = a.astype(np.float32).astype(np.longdouble)
    return np.exp(-upper * upper) * np.exp(-(a - upper) * (a + upper))


def everywhere(dtype: str, count: int, seed: int) -> np.ndarray:
    """Random bit patterns, numbers of ordinary size, and special values."""
    r = np.random.default_rng(seed)
    bits = np.dtype(f"u{np.dtype(dtype).itemsize}")
    patterns = r.integers(0, np.iinfo(bits).max, count, dtype=bits, endpoint=True).view(dtype)
    return np.concatenate([patterns, r.standard_normal(count).astype(dtype) * 10,
                           r.uniform(-1, 1, count).astype(dtype), SPECIAL.astype(dtype)])


def natively(name: str, *xs: np.ndarray) -> np.ndarray:
    with only("cpu"):
        return getattr(rl, name)(*[rl.from_numpy(x.copy()) for x in xs]).numpy().copy()


def error(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Distance in units of the last place of the exact value,
    after NaN and infinities were found in the same places."""
    dtype = found.dtype
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype)
    assert np.array_equal(np.isnan(found), np.isnan(rounded))
    ends = np.isinf(rounded) | np.isinf(found)
    largest = np.finfo(dtype).max
    assert np.all((found[ends] == rounded[ends]) | (np.abs(np.where(np.isinf(found), largest, found)[ends]) == largest))
    inside = np.isfinite(rounded) & np.isfinite(found)
    unit = np.spacing(np.abs(rounded[inside])).astype(exact.dtype)
    return np.asarray(np.abs(found[inside].astype(exact.dtype) - exact[inside]) / unit, np.float64)


@pytest.mark.parametrize("name", UNARY)
def test_float32(name: str) -> None:
    x = everywhere("float32", 300_000, len(name))
    assert error(natively(name, x), reference(name, x)).max(initial=0) <= MOST


@pytest.mark.parametrize("name", UNARY)
def test_float64(name: str) -> None:
    x = everywhere("float64", 60_000, len(name))
    if name in ("sin", "cos", "tan"):
        x = x[~(np.abs(x) > 1e15)]  # the wider type of this test reduces no larger ones exactly either
    assert error(natively(name, x), reference(name, x)).max(initial=0) <= 2 * MOST


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pow(dtype: str) -> None:
    count = 200_000
    r = np.random.default_rng(5)
    x = np.concatenate([np.abs(everywhere(dtype, count, 1)),
                        np.repeat(SPECIAL.astype(dtype), len(SPECIAL)), np.arange(-8, 9, dtype=dtype)])
    y = np.concatenate([everywhere(dtype, count, 2), np.tile(SPECIAL.astype(dtype), len(SPECIAL)),
                        r.integers(-5, 6, 17).astype(dtype)])
    wide = np.float64 if dtype == "float32" else np.longdouble
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(wide), y.astype(wide))
    assert error(natively("pow", x, y), exact).max(initial=0) <= MOST_POW


def test_atan2() -> None:
    x, y = everywhere("float32", 100_000, 3), everywhere("float32", 100_000, 4)
    assert error(natively("atan2", x, y), np.arctan2(x.astype(np.float64), y.astype(np.float64))).max(initial=0) <= MOST


@pytest.mark.parametrize("name", UNARY)
def test_signs_of_zero(name: str) -> None:
    x = np.array([0.0, -0.0], np.float32)
    want = reference(name, x).astype(np.float32)
    assert np.array_equal(np.signbit(natively(name, x)), np.signbit(want)) or np.all(want != 0)


def test_the_choice_of_executors_knows_every_rounded_function() -> None:
    from rushlight.exec import choose
    assert set(vector_math.FUNCTIONS) <= choose.ROUNDED
