"""Reductions inside generated kernels: extrema with NaN in any place, values that a later phase reads again."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import rushlight as rl
from rushlight.exec.cpu import host
from rushlight.exec.realize import clear_plans

pytestmark = pytest.mark.skipif(not host.available(), reason="needs llvmlite and a known processor")
SIZES = (1, 2, 15, 16, 17, 63, 64, 65, 80, 127, 130, 200)


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything runs natively."""
    monkeypatch.setenv("RUSHLIGHT_EXEC", "")
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "uint8"])
@pytest.mark.parametrize("size", SIZES)
def test_extrema_of_rows_and_columns(dtype: str, size: int, rng: np.random.Generator) -> None:
    """Equal to NumPy's along either dimension, with NaN and infinities where the type has them."""
    x = (rng.standard_normal((size, 70)) * 50).astype(dtype)
    if dtype.startswith("float"):
        x[rng.random(x.shape) < 0.02] = np.nan
        x[rng.random(x.shape) < 0.02] = np.inf
        x[:, 3], x[size // 2] = -np.inf, -np.inf
    for array, dim in itertools.product((x, x.T.copy()), (0, 1)):
        t = rl.tensor(array)
        np.testing.assert_array_equal(t.amax(dim).numpy(), array.max(dim))
        np.testing.assert_array_equal(t.amin(dim).numpy(), array.min(dim))


@pytest.mark.parametrize("size", SIZES)
def test_nan_in_every_place(size: int) -> None:
    """One NaN anywhere makes the row's result NaN, and no other row's."""
    x = np.tile(np.arange(size, dtype="float32"), (size, 1))
    np.fill_diagonal(x, np.nan)
    assert np.isnan(rl.tensor(x).amax(1).numpy()).all()
    x[1:] = 0
    assert np.isnan(rl.tensor(x).amin(1).numpy()).tolist() == [True] + [False] * (size - 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1,), (5,), (512,), (513,), (1, 7), (7, 1), (64, 10), (33, 512), (4, 513), (3, 5, 7)], ids=str)
@pytest.mark.parametrize("values", ["plain", "equal", "nan", "infinite"])
def test_places_of_extremes(dtype: str, shape: tuple[int, ...], values: str, rng: np.random.Generator) -> None:
    """The first of equal ones, or the first NaN, in rows and columns of every order in memory, short and long."""
    x = rng.standard_normal(shape).astype(dtype)
    if values == "equal":
        x = np.round(x)
    elif values == "nan":
        x[rng.random(shape) < 0.2] = np.nan
    elif values == "infinite":
        x[rng.random(shape) < 0.5], x[rng.random(shape) < 0.1] = -np.inf, np.inf
    for array, dim, keepdim in itertools.product((x, np.asfortranarray(x)), range(len(shape)), (False, True)):
        t = rl.from_numpy(array) * 1
        for name in ("max", "min"):
            place = getattr(np, f"arg{name}")(array, dim, keepdims=keepdim)
            found = getattr(t, f"arg{name}")(dim, keepdim)
            np.testing.assert_array_equal(found.numpy(), place)
            assert found.dtype is rl.int64
            both, alone = getattr(t, name)(dim, keepdim), getattr(t, name)(dim, keepdim)[0] * 2
            np.testing.assert_array_equal(both.indices.numpy(), place)
            np.testing.assert_array_equal(both.values.numpy(), getattr(array, name)(dim, keepdims=keepdim))
            np.testing.assert_array_equal(alone.numpy(), getattr(array, name)(dim, keepdims=keepdim) * 2)


@pytest.mark.parametrize("size", SIZES)
def test_the_value_of_an_extreme_is_the_element_at_its_place(size: int, rng: np.random.Generator) -> None:
    """So of zeros with different signs it has the sign of the first."""
    x = np.where(rng.random((200, size)) < 0.5, 0.0, -1.0).astype("float32")
    x[(x == 0) & (rng.random(x.shape) < 0.5)] = -0.0
    for array, name in ((x, "max"), (-x, "min")):
        first = np.take_along_axis(array, getattr(np, f"arg{name}")(array, 1, keepdims=True), 1)[:, 0]
        for values in (getattr(rl.tensor(array) * 1, name)(1).values, getattr(rl.tensor(array) * 1, name)(1)[0].clone()):
            np.testing.assert_array_equal(np.signbit(values.numpy()), np.signbit(first))


def test_places_in_short_rows_are_found_by_generated_loops(capsys: pytest.CaptureFixture[str]) -> None:
    rl.explain(lambda x: x.tanh().argmax(1), rl.rand(30, 100), to="kernel")
    text = capsys.readouterr().out
    assert "amax" in text and "argmax" not in text.split("# plan")[-1]


def shares(x: rl.Tensor, function: str, dims: tuple[int, ...]) -> rl.Tensor:
    """f(x) / Σ f(x), of which nothing else stays."""
    y = getattr(x, function)()
    return y / y.sum(dims, keepdim=True)


@pytest.mark.parametrize("function", ["exp", "tanh", "sqrt", "reciprocal"])
@pytest.mark.parametrize("dims", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_dear_values_are_there_for_the_next_phase(function: str, dims: tuple[int, ...], rng: np.random.Generator) -> None:
    """Where the sum goes over dimensions that do not lie together as well."""
    x = rng.random((7, 5, 19)).astype("float32") + 0.5
    found = shares(rl.tensor(x), function, dims).numpy()
    want = getattr(np, function)(x.astype("float64"))
    np.testing.assert_allclose(found, want / want.sum(dims, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("columns", SIZES)
def test_softmax_of_every_width(columns: int, rng: np.random.Generator) -> None:
    """What is kept between the phases is a row of whole vectors: no row sees another's."""
    x = (rng.standard_normal((300, columns)) * 5).astype("float32")
    e = np.exp(x.astype("float64") - x.max(1, keepdims=True))
    np.testing.assert_allclose(rl.tensor(x).softmax(1).numpy(), e / e.sum(1, keepdims=True), rtol=2e-6, atol=1e-9)
    np.testing.assert_allclose(rl.tensor(x).T.contiguous().softmax(0).numpy().T, e / e.sum(1, keepdims=True), rtol=2e-6, atol=1e-9)


LOGITS = {
    "every second": lambda x: np.repeat(x, 2, 1)[:, ::2], "every third": lambda x: np.repeat(x, 3, 1)[:, ::3], "turned": lambda x: x.T.copy().T,
    "parts of rows": lambda x: np.concatenate([x, x], 1)[:, x.shape[1]:], "columns of one": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "rows of one": lambda x: np.broadcast_to(x[:1], x.shape),
}


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("classes", [1, 2, 3, 16, 17, 40])
@pytest.mark.parametrize("lies", LOGITS)
def test_the_loss_of_logits_that_lie_in_any_way(lies: str, classes: int, reduction: str, rng: np.random.Generator) -> None:
    """The logit of the label is read at its own place: with steps of two numbers and of none it was another."""
    x, y = LOGITS[lies](rng.standard_normal((7, classes)).astype("float32")), rng.integers(0, classes, 7)
    dense = x.astype("float64")
    losses = np.log(np.exp(dense).sum(1)) - dense[np.arange(7), y]
    logits = rl.from_numpy(x)
    assert logits.stride() == tuple(s // 4 for s in x.strides)
    found = rl.nn.functional.cross_entropy(logits, rl.tensor(y), reduction=reduction).numpy()
    np.testing.assert_allclose(found, losses if reduction == "none" else losses.mean(), rtol=1e-5, atol=1e-6)
