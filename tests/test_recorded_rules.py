"""Gradient rules that were recorded before are recorded as one node, with the same numbers and the same errors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight import nn
from rushlight.exec import stretches
from rushlight.exec.realize import clear_plans
from rushlight.tensor import recorded_rules, replay
from rushlight.tensor.state import state

F = nn.functional


@pytest.fixture(autouse=True)
def walked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pass goes from node to node."""
    clear_plans()
    monkeypatch.setattr(replay, "form_of", lambda *_: None)
    monkeypatch.setattr(stretches, "latest", True)
    monkeypatch.setattr(stretches, "ending", lambda *_: 0)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations whose rules were recorded as one node."""
    found: list[str] = []
    inner = recorded_rules._recorded

    def noted(rule: Any, *rest: Any) -> Any:
        found.append(rule.sig.op.name if rule.sig.op else "several")
        return inner(rule, *rest)
    monkeypatch.setattr(recorded_rules, "_recorded", noted)
    return found


def ordinary(run: Callable[[], Any]) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorded_rules, "backward", lambda fn, grads, rule: rule(grads))
        clear_plans()
        return run()


def gradients(function: Callable[..., Any], *operands: Any, times: int = 3) -> list[Any]:
    found = []
    for _ in range(times):
        leaves = [x.detach().clone().requires_grad_() if x.is_floating_point() else x for x in operands]
        out = function(*leaves)
        out.backward(rl.linspace(-1, 1, out.numel()).view(out.shape))
        found += [x.grad.numpy() for x in leaves if x.requires_grad and x.grad is not None]
    return found


X, Y, W = rl.randn(3, 4), rl.rand(3, 4) + 0.5, rl.randn(5, 4)
FUNCTIONS: dict[str, Callable[[], list[Any]]] = {
    "products": lambda: gradients(lambda x, y: x * y / (x + 3), X, Y),
    "broadcast": lambda: gradients(lambda x, y: (x * y[0] + y[:, 1:2]).exp(), X, Y),
    "linear": lambda: gradients(lambda x, w: F.linear(x, w).relu(), X, W),
    "softmax": lambda: gradients(lambda x: F.log_softmax(x, 1) * F.softmax(x, 0), X),
    "reductions": lambda: gradients(lambda x: x.var(1) + x.mean(1) + x.amax(1) + x.logsumexp(1), X),
    "norm": lambda: gradients(lambda x, w: F.layer_norm(x, (4,), w[0], w[1]), X, W),
    "several results": lambda: gradients(lambda x: x.max(1).values + x.sort(1).values[:, 0] + x.topk(2, 1).values[:, 1], X),
    "losses": lambda: gradients(lambda x, y: F.smooth_l1_loss(x, y, beta=0.3) + F.huber_loss(x, y) + F.mse_loss(x, y), X, Y),
    "classes": lambda: gradients(lambda x: F.nll_loss(x, rl.tensor([1, -100, 3])) + F.cross_entropy(x, rl.tensor([0, 1, 3])), X),
    "indices": lambda: gradients(lambda x: x.gather(1, rl.tensor([[0, 2], [1, 1], [3, 0]])).sum() + x[[0, 2]].sum() + x[1:].prod(), X),
    "joined": lambda: gradients(lambda x, y: rl.cat([x, y, x]).cumsum(0), X, Y),
    "numbers": lambda: [g for k in (1.5, 2.5, 1.5, 1.5) for g in gradients(lambda x, k=k: (x * k).pow(2).clamp(-k, k), X, times=1)],
    "integers": lambda: gradients(lambda x, i: x * i, X, rl.arange(12).view(3, 4)),
    "halves": lambda: gradients(lambda x, y: (x.half() * y).float() + x.bfloat16().tanh().float(), X, Y),
    "complex": lambda: gradients(lambda x, y: (rl.complex(x, y) * rl.complex(y, x)).abs(), X, Y),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_bits_are_those_of_the_rule(name: str, recorded: list[str]) -> None:
    found = FUNCTIONS[name]()
    assert recorded
    for a, b in zip(found, ordinary(FUNCTIONS[name]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_square_is_not_a_product_of_two(recorded: list[str]) -> None:
    def run() -> list[Any]:
        return [*gradients(lambda x: x * x, X), *gradients(lambda x, y: x * y, X, Y), *gradients(lambda x: x * x.detach(), X)]
    found = run()
    for a, b in zip(found, ordinary(run), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_gradient_that_only_one_operand_needs(recorded: list[str]) -> None:
    def run() -> list[Any]:
        found = []
        for first, second in ((True, True), (True, False), (False, True), (True, True)):
            x, y = X.clone().requires_grad_(first), Y.clone().requires_grad_(second)
            (x * y).sum().backward()
            assert (x.grad is None, y.grad is None) == (not first, not second)
            found += [t.grad.numpy() for t in (x, y) if t.grad is not None]
        return found
    found = run()
    assert recorded
    for a, b in zip(found, ordinary(run), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_was_written_to_is_an_error(recorded: list[str]) -> None:
    for _ in range(3):
        x, w = X.clone(), W.clone().requires_grad_()
        out = F.linear(x, w).sum()
        out.backward()
        out = F.linear(x, w).sum()
        x.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            out.backward()


def test_a_second_pass_is_an_error(recorded: list[str]) -> None:
    for _ in range(3):
        x = X.clone().requires_grad_()
        out = x.exp().sin().sum()
        out.backward()
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            out.backward()


def test_graphs_of_gradients_take_the_rule(recorded: list[str]) -> None:
    for _ in range(3):
        x = X.clone().requires_grad_()
        slope, = rl.autograd.grad(x.sin().sum(), x, create_graph=True)
        assert slope.grad_fn is not None and not recorded
        curve, = rl.autograd.grad(slope.sum(), x)
        np.testing.assert_allclose(curve.numpy(), -np.sin(X.numpy()), rtol=1e-5, atol=1e-6)
        recorded.clear()


def test_hooks_see_every_gradient(recorded: list[str]) -> None:
    seen: list[Any] = []
    for _ in range(3):
        x = X.clone().requires_grad_()
        middle = x * 2
        middle.register_hook(lambda g: seen.append(g.numpy().copy()) or g * 3)
        middle.tanh().sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), 6 * (1 - np.tanh(2 * X.numpy()) ** 2), rtol=1e-4, atol=1e-6)
    assert len(seen) == 3 and recorded


def test_one_node_stands_for_all(recorded: list[str]) -> None:
    counts = []
    for _ in range(3):
        x = X.clone().requires_grad_()
        y = F.log_softmax(x, 1).amax(1)
        y.tolist()
        y.backward(rl.ones(3))
        counts.append(len(state.graph.nodes))
    assert counts[0] == counts[1] == counts[2]  # the first pass records as all later ones: its plan serves them
    assert counts[0] < ordinary_count()
    np.testing.assert_array_equal(x.grad.shape, (3, 4))


def ordinary_count() -> int:
    def run() -> int:
        x = X.clone().requires_grad_()
        y = F.log_softmax(x, 1).amax(1)
        y.tolist()
        y.backward(rl.ones(3))
        return len(state.graph.nodes)
    return int(ordinary(run))


def test_threads_learn_and_record_at_once(recorded: list[str]) -> None:
    wanted = ordinary(lambda: gradients(lambda x, w: F.softmax(F.linear(x, w), 1).log().var(1), X, W, times=1))
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(30):
                recorded_rules._rules.clear()
                for a, b in zip(gradients(lambda x, w: F.softmax(F.linear(x, w), 1).log().var(1), X, W, times=1), wanted, strict=True):
                    np.testing.assert_array_equal(a, b)
        except BaseException as e:
            failed.append(e)
    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed, failed[0]


def test_zeros_of_either_sign_are_other_rules(recorded: list[str]) -> None:
    def run() -> list[Any]:
        return [g for k in (0.0, 0.0, 0.0, -0.0, -0.0, 0.0) for g in gradients(lambda x, k=k: x * k, X, times=1)]
    for a, b in zip(run(), ordinary(run), strict=True):
        np.testing.assert_array_equal(np.signbit(a), np.signbit(b))
    assert recorded


def test_the_collector_works_again_after_a_failed_pass() -> None:
    import gc
    x = X.clone().requires_grad_()
    y = x * 2
    working: list[bool] = []

    def fails(g: Any) -> None:
        working.append(gc.isenabled())
        raise ValueError("no such gradient")
    y.register_hook(fails)
    with pytest.raises(ValueError, match="no such gradient"):
        y.sum().backward()
    assert working == [False] and gc.isenabled()
