"""Tensors print as PyTorch prints them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight.ir import dtype as dtypes
from rushlight.tensor import printing

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def default_options() -> Any:
    yield
    torch.set_printoptions(profile="default")
    printing.set_printoptions(profile="default")


def as_array(t: Any) -> np.ndarray:
    t = t.detach()
    return t.float().numpy().astype(dtypes.bfloat16.numpy) if t.dtype is torch.bfloat16 else t.numpy()


def text_of(t: Any) -> str:
    d = dtypes.by_name(str(t.dtype).removeprefix("torch."))
    name = type(t.grad_fn).__name__ if t.grad_fn is not None else None
    return printing.format_tensor(as_array(t), d, requires_grad=t.requires_grad, grad_fn_name=name,
                                  default_dtype=dtypes.float32, is_parameter=isinstance(t, torch.nn.Parameter))


def check(t: Any) -> None:
    assert text_of(t) == repr(t)


NUMBERS = st.one_of(st.floats(width=32), st.floats(-10, 10, width=32), st.integers(-2000, 2000).map(float),
                    st.sampled_from([0.0, -0.0, 1e-5, 1e9, 99999.5, 0.5]),
                    st.floats(0, 2 ** 20, width=32).map(lambda v: v / 256))
SHAPES = st.one_of(st.just(()), st.lists(st.integers(0, 5), min_size=1, max_size=4),
                   st.lists(st.integers(1, 30), min_size=1, max_size=3),
                   st.sampled_from([(1001,), (2, 600), (40, 40), (3, 3, 200), (8, 8, 8, 8), (1, 1500), (1500, 1)]))
FLOATS = ["float32", "float64", "float16", "bfloat16", "complex64", "complex128"]


@settings(max_examples=400, deadline=None)
@given(SHAPES, st.sampled_from(FLOATS), st.lists(NUMBERS, min_size=1, max_size=12), st.booleans())
def test_floats(shape: Any, dtype: str, numbers: list[float], grad: bool) -> None:
    size = int(np.prod(shape)) if len(shape) else 1
    values = np.resize(np.array(numbers), size).reshape(shape)
    t = torch.tensor(values)
    if dtype.startswith("complex"):
        t = torch.complex(t, t.flip(0) * 2 if t.ndim else t)
    check(t.to(getattr(torch, dtype)).requires_grad_(grad))


@settings(max_examples=200, deadline=None)
@given(SHAPES, st.sampled_from(["int64", "int32", "int16", "int8", "uint8", "bool", "uint16"]),
       st.integers(1, 2 ** 31 - 1))
def test_integers(shape: Any, dtype: str, high: int) -> None:
    values = np.random.default_rng(high).integers(-high, high, shape)
    check(torch.tensor(values).to(getattr(torch, dtype)))


@settings(max_examples=150, deadline=None)
@given(SHAPES, st.lists(NUMBERS, min_size=1, max_size=12), st.fixed_dictionaries(
    {}, optional={"precision": st.integers(0, 8), "threshold": st.integers(0, 50), "edgeitems": st.integers(0, 4),
                  "linewidth": st.integers(10, 150), "profile": st.sampled_from(["default", "short", "full"]),
                  "sci_mode": st.sampled_from([True, False, None])}))
def test_options(shape: Any, numbers: list[float], chosen: dict[str, Any]) -> None:
    size = int(np.prod(shape)) if len(shape) else 1
    t = torch.tensor(np.resize(np.array(numbers, np.float32), size).reshape(shape))
    try:
        torch.set_printoptions(**chosen)
        printing.set_printoptions(**chosen)
        check(t)
        check(t.long() if bool(torch.isfinite(t).all()) and bool((t.abs() < 1e18).all()) else t)
    finally:
        torch.set_printoptions(profile="default")
        printing.set_printoptions(profile="default")


def test_suffixes() -> None:
    x = torch.linspace(0, 1, 7, requires_grad=True)
    for t in (x, x * 2, x.sum(), (x[:, None] * x).sin(), torch.nn.Parameter(torch.ones(2, 3)), torch.zeros(0),
              torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), torch.zeros(2, 0, dtype=torch.bool),
              torch.ones(5, dtype=torch.float64, requires_grad=True), torch.zeros((), dtype=torch.float64),
              torch.tensor(True), torch.arange(30.0).reshape(5, 6).requires_grad_() + 1,
              torch.full((9,), 1234.5678, dtype=torch.float64)):
        check(t)


def test_default_dtype_and_device() -> None:
    a = np.ones(2)
    assert printing.format_tensor(a, dtypes.float64, default_dtype=dtypes.float64) == "tensor([1., 1.])"
    assert printing.format_tensor(a * 1j, dtypes.complex128, default_dtype=dtypes.float64) == "tensor([0.+1.j, 0.+1.j])"
    assert printing.format_tensor(a, dtypes.float64, default_dtype=dtypes.float64, device="cuda:0",
                                  prefix="Mine(") == "Mine([1., 1.], device='cuda:0')"


def test_options_can_be_read_restored_and_refused() -> None:
    before = printing.get_printoptions()
    with printing.printoptions(precision=1):
        assert printing.get_printoptions()["precision"] == 1
    assert printing.get_printoptions() == before
    with pytest.raises(ValueError, match="unknown profile"):
        printing.set_printoptions(profile="tiny")
