"""Runs the same computation on the NumPy executor and on the native one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from rushlight.exec.realize import clear_plans

TOLERANCES = {"float32": 2e-5, "float64": 1e-12, "float16": 4e-3, "bfloat16": 3e-2,
              "complex64": 2e-5, "complex128": 1e-12}


@contextmanager
def only(executor: str) -> Iterator[None]:
    """Plans run on ``numpy``, or all of them on ``cpu``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUSHLIGHT_EXEC", "numpy" if executor == "numpy" else "")
        patch.setenv("RUSHLIGHT_TIER", "1")
        clear_plans()
        try:
            yield
        finally:
            clear_plans()


@pytest.fixture(autouse=True)
def at_first_sight(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All plans are compiled, in the tests of modules that import this."""
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()
    yield
    clear_plans()


def both(function: Callable[[], Any]) -> tuple[list[Any], list[Any]]:
    """The results of a function that returns tensors, as arrays, from NumPy and from native code."""
    found = []
    for executor in ("numpy", "cpu"):
        with only(executor):
            results = function()
            results = results if isinstance(results, (tuple, list)) else [results]
            found.append([(str(r.dtype).removeprefix("torch."), np.array(r.detach().tolist()) if r.dtype.name == "bfloat16" else r.detach().numpy().copy())
                          for r in results])
    return found[0], found[1]


def close_to_numpy(run: Callable[[], list[Any]], tolerance: float = 1e-5) -> None:
    """The arrays that ``run`` gives from native code are NumPy's, up to ``tolerance`` of each one's largest number."""
    with only("numpy"):
        expected = run()
    with only("cpu"):
        for a, b in zip(expected, run(), strict=True):
            np.testing.assert_allclose(b, a, rtol=0, atol=tolerance * max(1.0, float(np.abs(a).max())))


def agree(function: Callable[[], Any], scale: float = 1.0) -> None:
    """Both executors give the same: exactly for integers, up to rounding for the others,
    NaN and infinities in the same places."""
    for at, ((dtype, want), (have_dtype, have)) in enumerate(zip(*both(function))):
        assert dtype == have_dtype and want.shape == have.shape, (at, dtype, have_dtype, want.shape, have.shape)
        tolerance = TOLERANCES.get(dtype, 0) * scale
        size = max(1.0, float(np.nanmax(np.abs(np.where(np.isfinite(want), want, 0)), initial=0))) if tolerance else 1.0
        np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance * size,
                                   equal_nan=True, err_msg=f"result {at}")


def same_bits(function: Callable[[], Any]) -> None:
    """Both executors give the same to the last bit; any NaN equals any other."""
    for at, ((dtype, want), (have_dtype, have)) in enumerate(zip(*both(function))):
        assert dtype == have_dtype and want.shape == have.shape, (at, dtype, have_dtype, want.shape, have.shape)
        numbers = want.dtype.kind == "f"
        np.testing.assert_array_equal(have, want, err_msg=f"result {at}")
        assert not numbers or np.array_equal(np.signbit(have) | np.isnan(have), np.signbit(want) | np.isnan(want)), f"signs of zeros in result {at}"
