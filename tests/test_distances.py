"""Distances between rows: values and gradients against PyTorch, and the memory that they take."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from executors import only

import rushlight as rl
from rushlight.exec.cpu import broadcasts, executor
from rushlight.exec.realize import clear_plans
from rushlight.tensor.state import settings

F = rl.nn.functional
NORMS = (0, 0.5, 1, 1.5, 2, 3, math.inf)
MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
native = pytest.mark.skipif(not executor.available(), reason="without llvmlite there are no kernels")


def distances_and_gradients(torch: Any, a: Any, b: Any, p: float, mode: str) -> list[Any]:
    x, y = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True)
    out = torch.cdist(x, y, p, mode)
    weights = torch.tensor(np.cos(np.arange(out.numel())).reshape(tuple(out.shape)))
    (out * weights).sum().backward()
    return [out.detach().numpy(), x.grad.numpy(), y.grad.numpy()]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize(("first", "second"), [((3, 4), (5, 4)), ((2, 1, 30, 3), (4, 26, 3)), ((0, 2), (3, 2)), ((3, 0), (2, 0)), ((1, 1), (1, 1))])
def test_as_pytorch(first: tuple[int, ...], second: tuple[int, ...], p: float, mode: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal(first), rng.standard_normal(second)
    if a.size and b.size:
        b[..., :1, :] = a[(0,) * (a.ndim - 2)][:1]  # a distance of 0
    theirs, ours = distances_and_gradients(torch, a, b, p, mode), distances_and_gradients(rl, a, b, p, mode)
    for t, o in zip(theirs, ours):
        np.testing.assert_allclose(o, t, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("p", NORMS)
def test_all_pairs(p: float) -> None:
    torch = pytest.importorskip("torch")
    a = np.random.default_rng(4).standard_normal((6, 3))
    x, y = torch.tensor(a, requires_grad=True), rl.tensor(a, requires_grad=True)
    theirs, ours = torch.nn.functional.pdist(x, p), F.pdist(y, p)
    theirs.square().sum().backward()
    ours.square().sum().backward()
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(y.grad.numpy(), x.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_second_derivatives() -> None:
    x, y = rl.randn(4, 3, dtype=rl.float64, requires_grad=True), rl.randn(30, 3, dtype=rl.float64, requires_grad=True)
    for p in (1.5, 2.0, 3.0):
        assert rl.autograd.gradcheck(lambda x, y: rl.cdist(x, y, p), (x, y))  # noqa: B023
        assert rl.autograd.gradgradcheck(lambda x, y: rl.cdist(x, y, p), (x, y))  # noqa: B023


def test_each_sample_of_a_batch() -> None:
    x, y = rl.randn(3, 4, 2), rl.randn(3, 30, 2)
    for p in (1.0, 2.0):
        whole, mapped = rl.cdist(x, y, p), rl.func.vmap(lambda x, y: rl.cdist(x, y, p))(x, y)  # noqa: B023
        assert rl.allclose(whole, mapped, atol=1e-6)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: rl.cdist(rl.ones(2), rl.ones(2, 2)), RuntimeError, "cdist only supports at least 2D tensors, X1 got: 1D"),
    (lambda: rl.cdist(rl.ones(2, 2), rl.ones(2)), RuntimeError, "cdist only supports at least 2D tensors, X2 got: 1D"),
    (lambda: rl.cdist(rl.ones(2, 2), rl.ones(2, 3)), RuntimeError, "X1 and X2 must have the same number of columns. X1: 2 X2: 3"),
    (lambda: rl.cdist(rl.ones(2, 2).long(), rl.ones(2, 2)), RuntimeError, "cdist only supports floating-point dtypes, X1 got: Long"),
    (lambda: rl.cdist(rl.ones(2, 2), rl.ones(2, 2), p=-1), RuntimeError, "cdist only supports non-negative p values"),
    (lambda: rl.cdist(rl.ones(2, 2), rl.ones(2, 2), compute_mode="no"), ValueError, "no is not a valid value for compute_mode"),
])
def test_wrong_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# --- memory ----------------------------------------------------------------------------------------------------------
def all_pairs(x: Any, y: Any) -> tuple[Any, Any]:
    x = x.detach().requires_grad_()
    loss = (x[:, None] - y[None]).square().sum(-1).sqrt().sum()
    loss.backward()
    return loss.detach(), x.grad


@native
def test_differences_are_never_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reduction computes them, forward and backward, with the bits that they have in memory."""
    x, y = rl.randn(70, 16), rl.randn(90, 16)
    x.numpy(), y.numpy()
    with only("cpu"):
        found = {}
        for large in (1 << 40, 1 << 10):
            monkeypatch.setattr(broadcasts, "LARGE", large)
            clear_plans()
            with rl.profile() as p:
                found[large] = [t.numpy().copy() for t in all_pairs(x, y)]
            titles = [e.title for e in p.events]
            assert sum("sub" in title for title in titles) == (2 if large == 1 << 10 else 1), titles
        clear_plans()
    for a, b in zip(*found.values()):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("limit", [50, 1000])
def test_values_beyond_the_limit_of_what_may_be_pending(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations that wait for others give what they give at once; what is written out for a plan is never run by itself."""
    x, y = rl.randn(40, 8), rl.randn(30, 8)
    expected = [t.numpy().copy() for t in all_pairs(x, y)]
    spread = x.logsumexp(1).numpy().copy(), F.log_softmax(x.expand(3, 40, 8), 2).numpy().copy(), rl.cdist(x, y, 3.0).numpy().copy()
    monkeypatch.setattr(settings, "max_elements", limit)
    clear_plans()
    for a, b in zip(expected, all_pairs(x, y)):
        np.testing.assert_allclose(b.numpy(), a, rtol=1e-5, atol=1e-6)
    again = x.logsumexp(1), F.log_softmax(x.expand(3, 40, 8), 2), rl.cdist(x, y, 3.0)
    for a, b in zip(spread, again):
        np.testing.assert_allclose(b.numpy(), a, rtol=1e-6)
    total = rl.zeros(8)
    for i in range(100):
        total = total + x[i % 40]
    np.testing.assert_allclose(total.numpy(), sum(x[i % 40].numpy() for i in range(100)), rtol=1e-4, atol=1e-5)
