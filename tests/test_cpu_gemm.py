"""Generated matrix products against NumPy: every dtype, any sizes and strides,
blocks and threads that change no bit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rushlight as rl
from rushlight.exec.cpu import contract, executor, gemm, gemm_code, host
from rushlight.exec.realize import clear_plans
from rushlight.nn import functional as F

pytestmark = pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
HERE = Path(__file__).parent
FLOATS = {"float64": np.float64, "float32": np.float32, "bfloat16": ml_dtypes.bfloat16, "float16": np.float16}
INTEGERS = {n: np.dtype(n).type for n in ("int8", "uint8", "int16", "int32", "int64")}
EPSILON = {"float64": 2.3e-16, "float32": 1.2e-7}  # of sums
ROUNDING = {"float64": 0.0, "float32": 0.0, "bfloat16": 2.0 ** -8, "float16": 2.0 ** -11}  # of the result, once
SIZES = st.one_of(st.integers(0, 9), st.sampled_from([15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 130]))


@pytest.fixture(autouse=True, scope="module")
def generated() -> Iterator[None]:
    """Everything runs natively, products by generated kernels."""
    before = {n: os.environ.get(n) for n in ("RUSHLIGHT_CONTRACT", "RUSHLIGHT_EXEC", "RUSHLIGHT_TIER")}
    os.environ.update(RUSHLIGHT_CONTRACT="generated", RUSHLIGHT_EXEC="", RUSHLIGHT_TIER="1")
    clear_plans()
    yield
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    clear_plans()


def tensor(x: np.ndarray) -> Any:
    """The array as a tensor that lies as it does: strides, steps and turned dimensions."""
    base = x.base if x.base is not None else x
    whole = rl.tensor(np.ascontiguousarray(base).astype(np.float64 if base.dtype == ml_dtypes.bfloat16 else base.dtype))
    whole = whole.to(getattr(rl, base.dtype.name))
    size = x.itemsize
    offset = (x.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // size
    return whole.as_strided(x.shape, [s // size for s in x.strides], offset) if x.base is not None else whole


def values(random: np.random.Generator, dtype: str, shape: tuple[int, ...], way: str) -> np.ndarray:
    """A matrix, or several, that lies plainly, turned, with a step between its elements, or at an odd place."""
    *batch, m, n = shape
    lies = {"plain": (*batch, m, n), "turned": (*batch, n, m), "spread": (*batch, m, 2 * n + 1),
            "odd": (*batch, m + 1, n + 3)}[way]
    if dtype in INTEGERS:
        info = np.iinfo(dtype)
        made = random.integers(info.min, info.max, lies, dtype=dtype, endpoint=True)
    else:
        made = random.standard_normal(lies).astype(FLOATS[dtype])
    return {"plain": made, "turned": made.swapaxes(-1, -2), "spread": made[..., 1::2], "odd": made[..., 1:, 3:]}[way]


def check(out: Any, x: np.ndarray, y: np.ndarray, dtype: str, bias: np.ndarray | None = None) -> None:
    """Integers exactly, modulo 2 to their bits; floats within the bound of a sum of rounded products."""
    if dtype in INTEGERS:
        with np.errstate(over="ignore"):
            wanted = np.matmul(x.astype(np.uint64), y.astype(np.uint64)).astype(dtype)
        assert np.array_equal(out.numpy(), wanted)
        return
    wide, found = (x.astype(np.longdouble), y.astype(np.longdouble)), out.double().numpy()
    wanted = np.matmul(*wide) + (0 if bias is None else bias.astype(np.longdouble))
    size = np.matmul(*map(abs, wide)) + (0 if bias is None else abs(bias.astype(np.longdouble)))
    sums = EPSILON[gemm_code.SUMS[dtype]]
    assert found.shape == wanted.shape
    assert (abs(found - wanted) <= (x.shape[-1] + 1) * sums * size + ROUNDING[dtype] * abs(wanted)
            + (1e-7 if dtype == "float16" else 0)).all()


ways = st.sampled_from(["plain", "turned", "spread", "odd"])


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
@settings(max_examples=40, deadline=None)
@given(m=SIZES, n=SIZES, k=SIZES, x_way=ways, y_way=ways,
       batch=st.sampled_from([(), (3,), (2, 3), (1,), (0,)]), seed=st.integers(0, 99))
@example(m=200, n=200, k=600, x_way="plain", y_way="turned", batch=(), seed=0)
@example(m=130, n=300, k=530, x_way="turned", y_way="plain", batch=(), seed=1)
@example(m=1, n=700, k=300, x_way="plain", y_way="turned", batch=(2,), seed=2)
@example(m=1, n=300, k=130, x_way="turned", y_way="plain", batch=(), seed=3)
@example(m=4, n=7, k=65, x_way="plain", y_way="turned", batch=(), seed=4)
@example(m=500, n=1, k=64, x_way="spread", y_way="plain", batch=(3,), seed=5)
@example(m=5, n=5, k=0, x_way="plain", y_way="plain", batch=(2,), seed=6)
def test_products(dtype: str, m: int, n: int, k: int, x_way: str, y_way: str,
                  batch: tuple[int, ...], seed: int) -> None:
    random = np.random.default_rng(seed)
    x, y = values(random, dtype, (*batch, m, k), x_way), values(random, dtype, (*batch, k, n), y_way)
    check(tensor(x) @ tensor(y), x, y, dtype)


@pytest.mark.parametrize("dtype", list(FLOATS))
@settings(max_examples=25, deadline=None)
@given(rows=st.sampled_from([(5,), (1,), (3, 4), (2, 1, 7), (70,)]), n=SIZES, k=SIZES,
       bias=st.booleans(), relu=st.booleans(), seed=st.integers(0, 99))
@example(rows=(64,), n=70, k=700, bias=True, relu=True, seed=0)
@example(rows=(3,), n=9, k=700, bias=True, relu=True, seed=1)
def test_linear(dtype: str, rows: tuple[int, ...], n: int, k: int, bias: bool, relu: bool, seed: int) -> None:
    """x · wᵀ + b with a relu after it, in one kernel."""
    random = np.random.default_rng(seed)
    x, w, b = (values(random, dtype, s, "plain") for s in ((*rows, k), (n, k), (1, n)))
    out = F.linear(tensor(x), tensor(w), tensor(b.copy()).reshape(n) if bias else None)
    if relu:
        assert np.array_equal(F.relu(out.clone()).double().numpy(), np.maximum(out.double().numpy(), 0))
    check(out, x, w.T, dtype, b[0] if bias else None)


@pytest.mark.parametrize("dtype", list(FLOATS))
def test_one_operand_for_all_and_rows_that_lie_here_and_there(dtype: str) -> None:
    random = np.random.default_rng(0)
    many, one, w = (values(random, dtype, s, "plain") for s in ((4, 6, 33), (1, 33, 17), (17, 33)))
    check(tensor(many) @ tensor(one), many, one, dtype)
    turned = tensor(many).transpose(0, 1)
    check(F.linear(turned, tensor(w)), many.swapaxes(0, 1), w.T, dtype)
    left, right = values(random, dtype, (2, 1, 9, 20), "plain"), values(random, dtype, (5, 20, 11), "plain")
    check(tensor(left) @ tensor(right), left, right, dtype)
    spread = rl.ones(1, 20).to(getattr(rl, dtype)).expand(9, 20)
    check(spread @ tensor(right[0].copy()), np.ones((9, 20), FLOATS[dtype]), right[0], dtype)


@pytest.mark.parametrize("dtype", list(FLOATS))
@pytest.mark.parametrize(("m", "n", "k", "turned"),
                         [(7, 70, 20, False), (70, 130, 600, True), (1, 70, 100, True), (1, 70, 100, False)])
def test_what_is_no_number_stays_where_it_belongs(dtype: str, m: int, n: int, k: int, turned: bool) -> None:
    """One NaN and one infinity reach their row and their column and nothing else, whatever is padded or masked."""
    random = np.random.default_rng(1)
    x, y = random.uniform(1, 2, (m, k)).astype(FLOATS[dtype]), random.uniform(1, 2, (k, n)).astype(FLOATS[dtype])
    x[m // 2, k // 3] = np.nan
    y[k - 1, n - 1] = np.inf
    other = tensor(np.ascontiguousarray(y.T)).t() if turned else tensor(y)
    out = F.relu(F.linear(tensor(x), other.t())).double().numpy()
    assert np.isnan(out[m // 2]).all()
    rest = np.delete(out, m // 2, 0)
    assert np.isposinf(rest[:, n - 1]).all() and np.isfinite(rest[:, :n - 1]).all()


@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "int64"])
@pytest.mark.parametrize(("m", "n", "k"),
                         [(64, 256, 784), (300, 10, 500), (10, 700, 90), (1, 900, 400), (900, 1, 400), (400, 300, 300)])
def test_threads_change_no_bit(dtype: str, m: int, n: int, k: int) -> None:
    before = rl.get_num_threads()
    random = np.random.default_rng(2)
    x, y = values(random, dtype, (m, k), "plain"), values(random, dtype, (k, n), "turned")
    try:
        found = []
        for count in (1, 2, 3, 8):
            rl.set_num_threads(count)
            found.append((tensor(x) @ tensor(y)).double().numpy())
    finally:
        rl.set_num_threads(before)
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_blocks_and_packing_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum is one chain in the order of k, however the product is cut and whatever is packed."""
    x, y = rl.randn(150, 700, dtype=rl.float64), rl.randn(700, 210, dtype=rl.float64)
    plain = (x @ y).numpy().copy()
    for name, value in (("BLOCK_K", 100), ("STRIP_BYTES", 6000), ("BLOCK_BYTES", 1 << 16),
                        ("IN_PLACE", 0), ("DEEP", 1), ("UNITS_PER_THREAD", 1)):
        monkeypatch.setattr(gemm, name, value)
        clear_plans()
        assert np.array_equal((x @ y).numpy(), plain), name
        assert np.array_equal((x.t().contiguous().t() @ y.t().contiguous().t()).numpy(), plain), name


def test_a_column_of_a_product_is_the_product_of_the_column() -> None:
    """Tiles of any height and width sum alike."""
    x, y = rl.randn(37, 90, dtype=rl.float64), rl.randn(90, 101, dtype=rl.float64)
    whole = (x @ y).numpy()
    for m, n in ((1, 101), (2, 100), (5, 33), (6, 32), (37, 8), (12, 1)):
        assert np.array_equal((x[:m] @ y[:, :n]).numpy(), whole[:m, :n]), (m, n)


def test_a_choice_can_be_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = rl.randn(40, 50), rl.randn(50, 60)
    wanted = x.double().numpy() @ y.double().numpy()
    for way, part in (("generated", "product float32"), ("onednn", "oneDNN"),
                      ("numpy", "numpy matmul"), ("onednn, generated", "oneDNN")):
        monkeypatch.setenv("RUSHLIGHT_CONTRACT", way)
        clear_plans()
        with rl.profile() as p:
            np.testing.assert_allclose((x @ y).numpy(), wanted, rtol=1e-4, atol=1e-4)
        assert any(e.title.startswith(part) for e in p.events) or (part == "oneDNN"
                                                                   and not contract.products.library.available())
    monkeypatch.setenv("RUSHLIGHT_CONTRACT", "gpu")
    clear_plans()
    with pytest.raises(ValueError, match="RUSHLIGHT_CONTRACT names gpu; there are generated, onednn, numpy"):
        (x @ y).numpy()


def test_a_product_and_its_gradients_run_without_numpy() -> None:
    """Linear layers in float64 are native steps, and say what they are."""
    net = rl.nn.Sequential(rl.nn.Linear(30, 20), rl.nn.ReLU(), rl.nn.Linear(20, 3)).double()
    x = rl.randn(16, 30, dtype=rl.float64)
    with rl.profile() as p:
        net(x).square().mean().backward()
        net[0].weight.grad.sum().item()
    titles = " ".join(e.title for e in p.events)
    assert "numpy" not in titles
    assert "product float64 16x20x30" in titles and "product float64 20x30x16" in titles


def test_the_profile_counts_operations_of_products() -> None:
    x = rl.randn(64, 80, dtype=rl.float64)
    with rl.profile() as p:
        (x @ x.t()).numpy()
    assert [e.flops for e in p.events if "product" in e.title] == [2 * 64 * 64 * 80]


def test_no_access_out_of_bounds() -> None:
    """Operands, results and scratch memory that end where a page without access begins."""
    done = subprocess.run([sys.executable, str(HERE / "cpu_gemm_child.py")], capture_output=True, text=True,
                          timeout=600, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])})
    assert done.returncode == 0 and "survived" in done.stdout, (done.returncode,
                                                                done.stdout[-500:], done.stderr[-3000:])


def test_kernels_for_other_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors of 32 and 16 bytes, as on other machines, find the same."""
    x, y = rl.randn(20, 70, dtype=rl.float64), rl.randn(70, 45, dtype=rl.float64)
    wanted = (x @ y).numpy().copy()
    from rushlight.exec.cpu import tiles
    for size in (32, 16):
        monkeypatch.setattr(tiles, "vector_bytes", lambda size=size: size)
        monkeypatch.setattr(host, "vector_bytes", lambda size=size: size)
        clear_plans()
        assert np.array_equal((x @ y).numpy(), wanted)
        assert np.allclose((x[:2] @ y.t().contiguous().t()).numpy(), wanted[:2], rtol=1e-12, atol=1e-12)
        assert np.array_equal((rl.ones(9, 70, dtype=rl.int8) @ rl.ones(70, 5, dtype=rl.int8)).numpy(),
                              np.full((9, 5), 70, np.int8))
    clear_plans()
