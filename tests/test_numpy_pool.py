"""Pooling kernels of the NumPy executor against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight.exec.numpy.pool import avg_pool, avg_pool_grad, max_pool, max_pool_grad

torch = pytest.importorskip("torch")
F = torch.nn.functional
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


@st.composite
def geometries(draw: Any, dilated: bool) -> tuple[Any, ...]:
    dims = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(dims))
    stride = tuple(draw(st.integers(1, 4)) for _ in range(dims))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    dilation = tuple(draw(st.integers(1, 3 if dilated else 1)) for _ in range(dims))
    size = tuple(d * (k - 1) + 1 + draw(st.integers(0, 6)) for d, k in zip(dilation, kernel))
    return (2, 3, *size), kernel, stride, padding, dilation, draw(st.booleans())


def values(shape: tuple[int, ...], kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "ties":
        return rng.integers(0, 3, shape).astype(np.float32)
    x = rng.normal(size=shape).astype(np.float32)
    x[rng.random(shape) < 0.15] = {"nan": np.nan, "lowest": -np.inf, "plain": 0}[kind]
    return np.full(shape, -np.inf, np.float32) if kind == "lowest" and rng.random() < 0.5 else x


@settings(max_examples=150, deadline=None)
@given(geometries(True), st.sampled_from(["plain", "ties", "nan", "lowest"]))
def test_max_pool(geometry: tuple[Any, ...], kind: str) -> None:
    shape, kernel, stride, padding, dilation, ceil_mode = geometry
    x = values(shape, kind)
    tx = torch.tensor(x, requires_grad=True)
    want, where = MAX[len(kernel)](tx, kernel, stride, padding, dilation, ceil_mode, return_indices=True)
    got, positions = max_pool(x, kernel, stride, padding, dilation, ceil_mode)
    np.testing.assert_array_equal(got, want.detach().numpy())
    np.testing.assert_array_equal(positions, where.numpy())
    g = np.random.default_rng(1).normal(size=got.shape).astype(np.float32)
    want.backward(torch.tensor(g))
    np.testing.assert_allclose(max_pool_grad(g, positions, x.shape, kernel), tx.grad.numpy(), rtol=1e-5, atol=1e-5)


@settings(max_examples=150, deadline=None)
@given(geometries(False), st.booleans(), st.sampled_from([None, 3]))
def test_avg_pool(geometry: tuple[Any, ...], include: bool, divisor: int | None) -> None:
    shape, kernel, stride, padding, _, ceil_mode = geometry
    divisor = None if len(kernel) == 1 else divisor
    x = np.random.default_rng(2).normal(size=shape)
    tx = torch.tensor(x, requires_grad=True)
    extra = () if len(kernel) == 1 else (divisor,)
    want = AVG[len(kernel)](tx, kernel, stride, padding, ceil_mode, include, *extra)
    got = avg_pool(x, kernel, stride, padding, ceil_mode, include, divisor)
    np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-12, atol=1e-12)
    g = np.random.default_rng(3).normal(size=got.shape)
    want.backward(torch.tensor(g))
    back = avg_pool_grad(g, x.shape, kernel, stride, padding, ceil_mode, include, divisor)
    np.testing.assert_allclose(back, tx.grad.numpy(), rtol=1e-12, atol=1e-12)


def test_integers_and_empty_batches() -> None:
    x = np.random.default_rng(4).integers(-50, 50, (2, 3, 6, 6))
    want, where = F.max_pool2d(torch.tensor(x), 2, return_indices=True)
    got, positions = max_pool(x, (2, 2), (2, 2), (0, 0), (1, 1), False)
    np.testing.assert_array_equal(got, want.numpy())
    np.testing.assert_array_equal(positions, where.numpy())
    assert max_pool(np.zeros((0, 3, 6, 6)), (2, 2), (2, 2), (0, 0), (1, 1), False)[0].shape == (0, 3, 3, 3)
    assert avg_pool(np.zeros((0, 3, 6, 6)), (2, 2), (2, 2), (0, 0), False, True, None).shape == (0, 3, 3, 3)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_windows_of_padding_alone_have_no_gradient(dims: int) -> None:
    """A dilated window can step over all of the input: PyTorch's backward pass writes beyond its memory."""
    x, two, one = np.ones((2, 3, *(1,) * dims), np.float32), (2,) * dims, (1,) * dims
    y, at = max_pool(x, two, one, one, two, False)
    assert np.isneginf(y).all() and y.shape == x.shape
    for g in (1, np.inf, np.nan):
        assert not max_pool_grad(np.full_like(y, g), at, x.shape, two, one, one, two, False).any()
