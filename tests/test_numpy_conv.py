"""Convolution kernels of the NumPy executor against PyTorch."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight.exec.numpy.conv import convolution, convolution_input_grad, convolution_weight_grad

torch = pytest.importorskip("torch")
FORWARD = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}


def oracle(x: np.ndarray, w: np.ndarray, g: np.ndarray | None, *attrs: Any) -> tuple[np.ndarray, ...]:
    tx, tw = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    stride, padding, dilation, groups = attrs
    y = FORWARD[x.ndim - 2](tx, tw, None, stride, padding, dilation, groups)
    y.backward(torch.ones_like(y) if g is None else torch.tensor(g))
    return y.detach().numpy(), tx.grad.numpy(), tw.grad.numpy()


def compare(x: np.ndarray, w: np.ndarray, *attrs: Any, tolerance: float = 1e-11) -> None:
    y = convolution(x, w, *attrs)
    g = np.random.default_rng(5).normal(size=y.shape).astype(x.dtype)
    if x.dtype.kind == "c":
        g = g + 1j * g[::-1].astype(x.dtype)
    want = oracle(x, w, g, *attrs)
    got = y, convolution_input_grad(g, w, x.shape, *attrs), convolution_weight_grad(g, x, w.shape, *attrs)
    if x.dtype.kind == "c":  # PyTorch's gradients are conjugated
        got = y, convolution_input_grad(g, w.conj(), x.shape,
                                        *attrs), convolution_weight_grad(g, x.conj(), w.shape, *attrs)
    for a, b in zip(got, want):
        assert a.dtype == x.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * 10)


@st.composite
def cases(draw: Any) -> tuple[Any, ...]:
    dims = draw(st.integers(1, 3))
    def ints(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(dims))
    kernel, stride, dilation = ints(1, 3), ints(1, 3), ints(1, 2)
    padding = tuple(draw(st.integers(0, 2)) for _ in kernel)
    groups, per, each = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    size = tuple(d * (k - 1) + 1 + draw(st.integers(0, 5)) for d, k in zip(dilation, kernel))
    return (draw(st.integers(1, 3)), groups * per,
            *size), (groups * each, per, *kernel), (stride, padding, dilation, groups)


@settings(max_examples=120, deadline=None)
@given(cases())
def test_random_geometries(case: tuple[Any, ...]) -> None:
    x_shape, w_shape, attrs = case
    rng = np.random.default_rng(1)
    compare(rng.normal(size=x_shape), rng.normal(size=w_shape), *attrs)


@pytest.mark.parametrize("x_shape,w_shape,attrs", [
    ((3, 8, 20, 20), (16, 8, 3, 3), ((1, 1), (1, 1), (1, 1), 1)),
    ((2, 64, 18, 18), (32, 64, 1, 1), ((1, 1), (0, 0), (1, 1), 1)),
    ((2, 8, 33, 33), (16, 8, 1, 1), ((2, 2), (0, 0), (1, 1), 1)),
    ((40, 3, 32, 32), (8, 3, 7, 7), ((2, 2), (3, 3), (1, 1), 1)),
    ((4, 12, 17, 17), (24, 1, 3, 3), ((1, 1), (1, 1), (1, 1), 12)),
    ((4, 12, 17, 17), (12, 3, 3, 3), ((1, 1), (2, 2), (2, 2), 4)),
    ((300, 2, 4, 4), (3, 2, 3, 3), ((1, 1), (1, 1), (1, 1), 1)),
    ((2, 4, 5, 5), (4, 4, 3, 3), ((1, 1), (4, 4), (1, 1), 1)),
])
def test_shapes_of_networks(x_shape: Any, w_shape: Any, attrs: Any) -> None:
    rng = np.random.default_rng(2)
    compare(rng.normal(size=x_shape).astype(np.float32),
            rng.normal(size=w_shape).astype(np.float32), *attrs, tolerance=3e-4)


def test_complex() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 4, 9)) + 1j * rng.normal(size=(2, 4, 9))
    w = rng.normal(size=(6, 2, 3)) + 1j * rng.normal(size=(6, 2, 3))
    compare(x, w, (2,), (1,), (1,), 2)


def test_integers_wrap_as_in_pytorch() -> None:
    rng = np.random.default_rng(4)
    x, w = rng.integers(-100, 100, (2, 3, 8, 8)), rng.integers(-100, 100, (4, 3, 3, 3))
    want = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(w)).numpy()
    np.testing.assert_array_equal(convolution(x, w, (1, 1), (0, 0), (1, 1), 1), want)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: Any) -> None:
    rng = np.random.default_rng(6)
    x, w = rng.normal(size=(2, 40, 9, 9)).astype(dtype), rng.normal(size=(4, 40, 3, 3)).astype(dtype)
    attrs = ((1, 1), (1, 1), (1, 1), 1)
    got = convolution(x, w, *attrs)
    assert got.dtype == dtype
    wide = convolution(x.astype(np.float32), w.astype(np.float32), *attrs)
    np.testing.assert_array_equal(got, wide.astype(dtype))


def test_empty_batch_and_transposed_convolution() -> None:
    assert convolution(np.zeros((0, 3, 8, 8)), np.zeros((4, 3, 3, 3)), (1, 1), (1, 1), (1, 1), 1).shape == (0, 4, 8, 8)
    assert not convolution_weight_grad(np.zeros((0, 4, 8, 8)), np.zeros((0, 3, 8, 8)),
                                       (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1).any()
    rng = np.random.default_rng(7)
    y, w = rng.normal(size=(2, 6, 5, 7)), rng.normal(size=(6, 2, 3, 4))
    want = torch.nn.functional.conv_transpose2d(torch.tensor(y), torch.tensor(w), stride=(2, 3),
                                                padding=1, output_padding=(1, 2), groups=2)
    got = convolution_input_grad(y, w, tuple(want.shape), (2, 3), (1, 1), (1, 1), 2)
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-11, atol=1e-11)
