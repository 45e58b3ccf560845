"""Values made of parts (concatenations, gradients of views and their sums) and rows of tables, in generated kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
from rushlight.exec.cpu import host
from rushlight.exec.cpu.boxes import Box, box_of, covering, grid_of
from rushlight.exec.realize import clear_plans
from rushlight.ir.dtype import float32
from rushlight.ir.spec import spec
from rushlight.nn import functional as F

pytestmark = pytest.mark.skipif(not host.available(), reason="needs llvmlite and a known processor")
DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "uint8", "bool", "int16", "int32", "int64", "complex64", "complex128")


def run_natively(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSHLIGHT_EXEC", "")
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything runs natively."""
    run_natively(monkeypatch)


def steps_of(f: Callable[[], Any]) -> str:
    """The table of the steps that a function runs."""
    with rl.profile() as profile:
        f()
    return str(profile)


def values(shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> rl.Tensor:
    return rl.from_numpy(rng.standard_normal(shape) * 9).to(getattr(rl, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_concatenation(native: None, dtype: str, rng: np.random.Generator) -> None:
    """Along every dimension, of contiguous and turned operands, short and long rows, empty ones among them."""
    for shape in ((3, 4, 5), (2, 1, 17), (1, 130, 3), (2, 20_000)):
        x, y = values(shape, dtype, rng), values(shape, dtype, rng)
        a, b = x.tolist(), y.tolist()
        for dim in range(len(shape)):
            want = np.concatenate([np.array(a), np.array(b), np.array(a)], dim)
            assert rl.cat([x, y, x], dim).tolist() == want.tolist()
            assert rl.cat([x.narrow(dim, 0, 0), y, x.narrow(dim, 0, 1)], dim).tolist() == \
                np.concatenate([np.array(b), np.take(np.array(a), [0], dim)], dim).tolist()
        turned = rl.cat([x.transpose(0, 1), y.transpose(0, 1)], 1)
        assert turned.tolist() == np.concatenate([np.swapaxes(np.array(a), 0, 1), np.swapaxes(np.array(b), 0, 1)], 1).tolist()


def test_an_empty_view_of_a_value_that_others_read(native: None) -> None:
    """It brings nothing to a concatenation, and takes nothing away."""
    x = rl.cat([rl.ones(1) * 2, rl.ones(2) * 3])
    both = rl.cat([x * 1, x[3:]])
    assert x.cumprod(0).tolist() == [2, 6, 18] and both.tolist() == [2, 3, 3]


def test_concatenations_are_generated(native: None) -> None:
    x = rl.ones(4, 3)
    assert "numpy cat" not in steps_of(lambda: (rl.cat([x, x], 1) * 2).sum().item())


VIEWS: dict[str, Callable[[Any], list[Any]]] = {
    "unbind": lambda x: list(x.unbind(1)),
    "two of three": lambda x: [x[:, 0], x[:, 2]],
    "slices": lambda x: [x[1:3], x[:1]],
    "steps": lambda x: [x[:, :, ::2], x[:, :, 1::2]],
    "overlapping": lambda x: [x[1:], x[:-1]],
    "permuted": lambda x: list(x.permute(2, 0, 3, 1).unbind()),
    "split": lambda x: list(x.split([1, 3], 2)),
    "chunks": lambda x: list(x.chunk(3, 3)),
    "one element": lambda x: [x[2, 1, 3, 4]],
    "diagonal": lambda x: [x.diagonal(0, 0, 2), x.diagonal(1, 0, 2)],
    "windows": lambda x: [x.unfold(3, 3, 1)],
    "blocks": lambda x: [x.unfold(3, 2, 2)],
    "expanded": lambda x: [x[:, :1].expand(4, 3, 4, 5)],
    "reshaped": lambda x: [x.reshape(4, 3, 20)[:, :, 8:16], x.reshape(12, 20)[:, :4]],
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_gradients_of_views(monkeypatch: pytest.MonkeyPatch, name: str, dtype: str, rng: np.random.Generator) -> None:
    """The same bits as NumPy's executor gives, and zeros with a positive sign in sums."""
    x = rng.standard_normal((4, 3, 4, 5)).astype(dtype)
    weights = rng.standard_normal((4, 3, 4, 5)).astype(dtype)
    weights[0] = 0

    def gradient() -> np.ndarray[Any, Any]:
        t = rl.tensor(x, requires_grad=True)
        parts = VIEWS[name](t)
        loss = sum((p * rl.tensor(weights).flatten()[:p.numel()].reshape(p.shape) * -2.0).sum().abs() if p.numel() <= weights.size else
                   (p * -2.0).sum().abs() for p in parts)
        loss.backward()
        return t.grad.numpy().copy()
    run_natively(monkeypatch)
    found = gradient()
    monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy")
    clear_plans()
    want = gradient()
    np.testing.assert_allclose(found, want, rtol=1e-5)
    if dtype != "complex64" and len(VIEWS[name](rl.tensor(x))) > 1:
        np.testing.assert_array_equal(np.signbit(found), np.signbit(want))


def test_gradients_of_queries_keys_and_values_are_put_together_once(native: None, rng: np.random.Generator) -> None:
    """No zeros, no sums and no copy between the gradients of three views and the product that reads them all."""
    x = rl.tensor(rng.standard_normal((2, 8, 3, 4, 16)).astype("float32"), requires_grad=True)

    def step() -> None:
        q, k, v = x.permute(2, 0, 3, 1, 4)
        F.scaled_dot_product_attention(q, k, v).square().sum().backward()
        x.grad.sum().item()
        x.grad = None
    table = steps_of(step)
    assert table.count("parts [2, 8, 3, 4, 16]") == 1, table
    assert "unview" not in table and "map add" not in table and "copy" not in table, table


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_boxes_cover_their_grid(data: st.DataObject) -> None:
    """Boxes of views that do not meet fill memory once, with what the views leave out as zeros."""
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    whole = spec(float32, shape)
    views, want = [], np.zeros(whole.numel, int)
    flat = np.arange(whole.numel).reshape(shape)
    dim = data.draw(st.integers(0, len(shape) - 1))
    for at in data.draw(st.sets(st.integers(0, shape[dim] - 1), min_size=1)):
        cut, picked = whole.narrow(dim, at, 1), np.take(flat, [at], dim)
        other = data.draw(st.integers(0, len(shape) - 1))
        if other != dim and data.draw(st.booleans()):
            length = data.draw(st.integers(1, shape[other]))
            cut, picked = cut.narrow(other, 0, length), np.take(picked, range(length), other)
        views.append(cut)
        want[picked.reshape(-1)] = len(views)
    grid = grid_of(whole.numel, [s for v in views for n, s in zip(v.shape, v.strides) if n > 1])
    assert grid is not None
    boxes = [box_of(grid, v, i, v) for i, v in enumerate(views)]
    filled = covering(grid, [b for b in boxes if b is not None])
    assert filled is not None and len([b for b in filled if b.source is not None]) == len(views)
    found = np.full(whole.numel, -1)
    for b in filled:
        where = tuple(slice(a, a + n) for a, n in zip(b.low, b.size))
        assert (found.reshape(grid.shape)[where] == -1).all(), "two boxes meet"
        found.reshape(grid.shape)[where] = 0 if b.source is None else b.source + 1
    assert found.tolist() == want.tolist()


def test_boxes_that_meet_are_refused() -> None:
    grid = grid_of(12, (4, 1))
    assert grid is not None
    a, b = Box((0, 0), (2, 2), (0, 0), 0), Box((1, 1), (2, 2), (0, 0), 1)
    assert covering(grid, [a, b]) is None


# --- rows of tables -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("index", ["int64", "int32"])
@pytest.mark.parametrize(("rows", "width", "shape"), [(80, 100, (12, 10)), (5, 3, (7,)), (300, 17, (4, 9)), (1, 1, (3,)), (9, 64, (2, 3, 4)),
                                                      (7, 16, ())])
def test_embedding(native: None, dtype: str, index: str, rows: int, width: int, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """Rows as they are, and gradients added up in the order of the index, from upright and from turned gradients."""
    weight, where = rng.standard_normal((rows, width)).astype(dtype), rng.integers(0, rows, shape).astype(index)
    g = rng.standard_normal((*shape, width)).astype(dtype)
    want = np.zeros_like(weight)
    for row, value in zip(where.reshape(-1), g.reshape(-1, width)):
        want[row] += value
    for turned in (False, True):
        w = rl.tensor(weight, requires_grad=True)
        out = F.embedding(rl.tensor(where), w)
        np.testing.assert_array_equal(out.detach().numpy(), weight[where])
        if turned and len(shape) == 2:
            (out.transpose(0, 1) * rl.tensor(g.swapaxes(0, 1).copy())).sum().backward()
        else:
            out.backward(rl.tensor(g))
        np.testing.assert_array_equal(w.grad.numpy(), want)


def test_embeddings_are_generated(native: None) -> None:
    w, i = rl.randn(9, 5, requires_grad=True), rl.arange(6)
    table = steps_of(lambda: (F.embedding(i, w) * 2).sum().backward() or w.grad.sum().item())
    assert "embedding" in table and "numpy" not in table, table


@pytest.mark.parametrize("bad", [9, -1, 1 << 40])
def test_rows_that_there_are_not(native: None, bad: int) -> None:
    """PyTorch's error, and nothing read beyond the table; with labels made on the way, so that nobody checks them before."""
    w = rl.randn(9, 5)
    index = rl.tensor([1, 2, bad - 1]) + 1
    with pytest.raises(IndexError, match="index out of range"):
        (F.embedding(index, w) * 2).sum().item()
    assert w.shape == (9, 5) and w.isfinite().all().item()


@pytest.mark.parametrize("args", [(5,), (2, 20, 3), (1.5, 9, 0.1), (10, 0, -1), (0, 1 << 40, 1 << 34), (-7, 2.5)], ids=str)
@pytest.mark.parametrize("dtype", [None, "float32", "float64", "int64", "int32"])
def test_ranges(monkeypatch: pytest.MonkeyPatch, args: tuple[Any, ...], dtype: str | None) -> None:
    """The same bits from both executors."""
    found = []
    for executor in ("", "numpy"):
        run_natively(monkeypatch)
        monkeypatch.setenv("RUSHLIGHT_EXEC", executor)
        clear_plans()
        found.append(rl.arange(*args, dtype=dtype and getattr(rl, dtype)))
        found[-1] = (found[-1].numpy().copy(), found[-1].dtype)
    np.testing.assert_array_equal(*[f[0] for f in found])
    assert found[0][1] is found[1][1]
