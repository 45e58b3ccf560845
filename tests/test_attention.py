"""Attention as one operation: against PyTorch, the native kernels against NumPy, second derivatives, decompositions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
from rushlight.exec.cpu import attention as native
from rushlight.exec.cpu import executor, host, tiles
from rushlight.exec.numpy.kernels import KERNELS
from rushlight.exec.realize import clear_plans
from rushlight.ops.table import TABLE
from rushlight.tensor.core import functions
from rushlight.tensor.functions.attention import attention

from executors import close_to_numpy, only

torch = pytest.importorskip("torch")
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


@pytest.fixture(params=["numpy", "native"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One executor for all plans of a test."""
    if request.param == "native" and not executor.available():
        pytest.skip("this machine has no native executor")
    monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy" if request.param == "numpy" else "")
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()
    yield request.param
    clear_plans()


def make_mask(kind: str | None, q: tuple[int, ...], k: tuple[int, ...], dtype: str) -> Any:
    random = np.random.default_rng(2)
    shape = (*q[:-2], q[-2], k[-2])
    if kind is None:
        return None
    if kind == "bool":
        mask = random.random(shape) > 0.4
        mask[..., 0, :] = False  # a row that sees nothing
        return mask
    if kind == "column":
        return random.standard_normal((q[-2], 1)).astype(dtype)
    values = random.standard_normal(shape[-2:]).astype(dtype)
    values[0] = -np.inf
    return values


def results(lib: Any, arrays: list[Any], mask: Any, turned: bool, options: dict[str, Any]) -> list[Any]:
    tensors = [lib.tensor(a, requires_grad=True) for a in arrays]
    used = [t.transpose(-3, -2).contiguous().transpose(-3, -2) if turned else t for t in tensors]
    y = lib.nn.functional.scaled_dot_product_attention(*used,
                                                       attn_mask=None if mask is None else lib.tensor(mask), **options)
    (y * y.detach().cos()).sum().backward()
    return [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]


def compare(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], mask: str | None = None,
            dtype: str = "float32", turned: bool = False, **options: Any) -> None:
    random = np.random.default_rng(1)
    arrays = [random.standard_normal(s).astype(dtype) for s in (q, k, v)]
    m = make_mask(mask, q, k, dtype)
    for a, b in zip(results(torch, arrays, m, turned, options), results(rl, arrays, m, turned, options), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(b, a, rtol=0, atol=TOLERANCE[dtype] * max(1.0, float(np.abs(a).max())))


@pytest.mark.parametrize("q, k, v", [
    ((2, 3, 7, 8), (2, 3, 7, 8), (2, 3, 7, 8)), ((1, 2, 65, 20), (1, 2, 130, 20), (1, 2, 130, 70)),
    ((2, 1, 130, 16), (2, 1, 50, 16), (2, 1, 50, 3)), ((3, 1, 5), (3, 9, 5), (3, 9, 4)), ((6, 5), (9, 5), (9, 4))])
@pytest.mark.parametrize("mask, options", [
    (None, {}), (None, {"is_causal": True}), (None, {"scale": 0.0}), ("float", {"scale": 0.3}), ("bool", {}),
    ("column", {}), (None, {"is_causal": True, "dtype": "float64"}), ("bool", {"dtype": "float64"})])
def test_numbers_and_gradients_are_those_of_pytorch(where: str, q: Any, k: Any,
                                                    v: Any, mask: Any, options: Any) -> None:
    compare(q, k, v, mask, **options)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("keys", [1, 2, 4])
def test_heads_inside_and_shared(where: str, keys: int, causal: bool) -> None:
    """The memory order of a projection, and heads of keys that several heads of queries read."""
    compare((2, 4, 50, 8), (2, keys, 70, 8), (2, keys, 70, 8), turned=True, is_causal=causal, enable_gqa=keys < 4)


def test_the_result_lies_in_memory_as_the_query_does() -> None:
    for q in (rl.ones(2, 3, 4, 8), rl.ones(2, 4, 3, 8).transpose(1, 2)):
        theirs = torch.ones(q.shape) if q.is_contiguous() else torch.ones(2, 4, 3, 8).transpose(1, 2)
        assert rl.nn.functional.scaled_dot_product_attention(q, q, q).stride() == \
            torch.nn.functional.scaled_dot_product_attention(theirs, theirs, theirs).stride()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 2), st.integers(1, 70), st.integers(1, 70),
       st.integers(1, 40), st.integers(1, 70), st.booleans(), st.booleans(), st.booleans())
def test_the_native_kernels_agree_with_numpy(n: int, heads: int, groups: int, t: int, s: int, d: int, e: int,
                                             causal: bool, masked: bool, inside: bool) -> None:
    if not executor.available():
        pytest.skip("this machine has no native executor")
    random = np.random.default_rng(t * 71 + s)
    shapes = ((n, heads * groups, t, d), (n, heads, s, d), (n, heads, s, e), *(((t, s),) if masked else ()))
    arrays = [random.standard_normal(x).astype("float32") for x in shapes]

    def run() -> list[Any]:
        clear_plans()
        args = [rl.tensor(a, requires_grad=i < 3) for i, a in enumerate(arrays)]
        q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) if inside else x for x in args[:3])
        mask = args[3] if masked else None
        y = attention(q, k, v, mask, 0.5, causal)
        (y * y.detach().sin()).sum().backward()
        return [y.detach().numpy(), *(a.grad.numpy() for a in args[:3])]

    close_to_numpy(run)


def test_no_matrix_of_scores_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    if not executor.available():
        pytest.skip("this machine has no native executor")
    seen: list[Any] = []
    original = native.attention_steps

    def spy(instr: Any, new_value: Any) -> Any:
        steps = original(instr, new_value)
        if instr.op.name in native.NAMES:
            seen.append((instr.op.name, steps is not None))
        return steps
    monkeypatch.setattr(native, "attention_steps", spy)
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()
    q = rl.ones(1, 2, 64, 8, requires_grad=True)
    rl.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True).square().sum().backward()
    assert q.grad.numpy().shape == (1, 2, 64, 8)
    assert sorted(seen) == [("sdpa", True), ("sdpa_grad", True)]
    clear_plans()


@pytest.mark.parametrize("width", [16, 32])
def test_narrower_vector_registers(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code for other processors."""
    if not executor.available() or width > host.vector_bytes():
        pytest.skip("this machine has no such registers")
    monkeypatch.setattr(tiles, "vector_bytes", lambda: width)
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()
    compare((1, 2, 65, 20), (1, 2, 40, 20), (1, 2, 40, 35), is_causal=True, turned=True)
    compare((2, 3, 7, 8), (2, 3, 9, 8), (2, 3, 9, 5), "bool")
    clear_plans()


@pytest.mark.parametrize("mask", [None, "float", "bool"])
@pytest.mark.parametrize("keys", [1, 2])
def test_the_gradient_of_a_gradient(mask: str | None, keys: int) -> None:
    random = np.random.default_rng(1)
    arrays = [random.standard_normal(s) for s in ((1, 2, 4, 3), (1, keys, 5, 3), (1, keys, 5, 2))]
    m = make_mask(mask, (1, 2, 4, 3), (1, keys, 5, 3), "float64")
    if mask == "float":
        m[0] = 0  # PyTorch's own second gradient of a row that sees nothing is NaN

    def second(lib: Any) -> list[Any]:
        ts = [lib.tensor(a, requires_grad=True) for a in arrays]
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            y = lib.nn.functional.scaled_dot_product_attention(
                *ts, attn_mask=None if m is None else lib.tensor(m), enable_gqa=keys < 2)
        gs = lib.autograd.grad((y * y).sum(), ts, create_graph=True)
        return [v.numpy() for v in lib.autograd.grad(sum((g * g).sum() for g in gs), ts)]
    for a, b in zip(second(torch), second(rl), strict=True):
        good = np.isfinite(a)
        np.testing.assert_allclose(b[good], a[good], rtol=1e-9, atol=1e-10)


def test_a_mask_has_a_gradient_too() -> None:
    random = np.random.default_rng(1)
    arrays = [random.standard_normal(s) for s in ((2, 1, 4, 3), (2, 1, 5, 3), (2, 1, 5, 2), (4, 5))]

    def gradients(lib: Any) -> list[Any]:
        ts = [lib.tensor(a, requires_grad=True) for a in arrays]
        lib.nn.functional.scaled_dot_product_attention(*ts[:3], attn_mask=ts[3]).square().sum().backward()
        return [t.grad.numpy() for t in ts]
    for a, b in zip(gradients(torch), gradients(rl), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("inside", [False, True])
def test_decompositions_give_the_same_numbers(inside: bool) -> None:
    random = np.random.default_rng(4)
    arrays = [random.standard_normal(s) for s in ((2, 4, 5, 3), (2, 2, 6, 3), (2, 2, 6, 2), (2, 4, 5, 6))]
    arrays[3][0, 0, 0] = -np.inf
    attrs = (0.6, True, inside)
    made = KERNELS["sdpa"](*arrays, *attrs)
    for a, b in zip(made, TABLE["sdpa"].decompose(functions(), *map(rl.tensor, arrays), *attrs), strict=True):
        np.testing.assert_allclose(b.numpy(), a, rtol=1e-12, atol=1e-12)
    dy = random.standard_normal(made[0].shape)
    operands = [dy, *arrays[:3], made[1], arrays[3]]
    operands = [np.ascontiguousarray(x) for x in operands]
    for a, b in zip(KERNELS["sdpa_grad"](*operands, *attrs),
                    TABLE["sdpa_grad"].decompose(functions(), *map(rl.tensor, operands), *attrs), strict=True):
        np.testing.assert_allclose(b.numpy(), a, rtol=1e-12, atol=1e-12)


def test_errors_are_those_of_pytorch() -> None:
    calls = (
        lambda lib, f: f(lib.ones(1, 4, 3, 4), lib.ones(1, 3, 5, 4), lib.ones(1, 3, 5, 4), enable_gqa=True),
        lambda lib, f: f(lib.ones(2, 3, 4), lib.ones(2, 5, 4).double(), lib.ones(2, 5, 4)),
        lambda lib, f: f(lib.ones(4), lib.ones(5, 4), lib.ones(5, 4)),
        lambda lib, f: f(lib.ones(2, 3, 4), lib.ones(2, 5, 3), lib.ones(2, 5, 4)),
    )
    for call in calls:
        with pytest.raises(RuntimeError) as theirs:
            call(torch, torch.nn.functional.scaled_dot_product_attention)
        with pytest.raises(RuntimeError) as mine:
            call(rl, rl.nn.functional.scaled_dot_product_attention)
        assert str(theirs.value).split(".")[0][:60] in str(mine.value)


def test_dropout_and_half_precision() -> None:
    rl.manual_seed(0)
    q = rl.ones(1, 1, 4, 64)
    y = rl.nn.functional.scaled_dot_product_attention(q, q, q, dropout_p=0.5)
    assert set(np.round(y.numpy().reshape(-1), 3)) <= {0.0, 0.5, 1.0, 1.5, 2.0}
    h = rl.ones(1, 1, 4, 8, dtype=rl.bfloat16)
    assert rl.nn.functional.scaled_dot_product_attention(h, h, h).dtype is rl.bfloat16


@pytest.mark.skipif(not executor.available(), reason="without llvmlite there are no kernels")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_operands_in_any_order_and_of_half_precision_have_kernels(dtype: str) -> None:
    """A gradient that is one number for all, features that are not adjacent, and half precision, rounded once at the end."""
    made = [rl.randn(2, 3, 5, 4).to(getattr(rl, dtype)) for _ in range(3)]
    q, k, v = (x.transpose(2, 3).contiguous().transpose(2, 3).requires_grad_() for x in made)
    exact = [x.detach().float().requires_grad_() for x in made]
    expected = rl.nn.functional.scaled_dot_product_attention(*exact, is_causal=True)
    expected.sum().backward()
    wanted = [expected.detach().numpy(), *(x.grad.numpy() for x in exact)]
    with only("cpu"), rl.profile() as p:
        out = rl.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out.sum().backward()
        out.detach().float().numpy(), q.grad.float().numpy()
    assert sum("attention" in e.title for e in p.events) == 2, [e.title for e in p.events]
    assert not any("numpy" in e.title and "sdpa" in e.title for e in p.events)
    assert out.dtype is getattr(rl, dtype)
    tolerance = {"float32": 1e-6, "bfloat16": 2 ** -8, "float16": 2 ** -11}[dtype]
    for found, value in zip((out.detach(), q.grad, k.grad, v.grad), wanted, strict=True):
        np.testing.assert_allclose(found.float().numpy(), value, rtol=tolerance, atol=tolerance)
