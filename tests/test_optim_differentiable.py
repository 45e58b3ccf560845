"""Optimizer steps that autograd records (differentiable=True): gradients through updates, as in learning to learn."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

import rushlight

# PyTorch fails in the backward pass of Adamax, and of Adam and RMSprop with amsgrad and centered
CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.01}),
    ("AdamW", {"lr": 0.1}),
    ("NAdam", {"lr": 0.1}),
    ("RAdam", {"lr": 0.1}),
    ("RMSprop", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1}),
    ("Adadelta", {"lr": 0.1}),
    ("ASGD", {"lr": 0.1}),
]


def after_steps(lib: Any, name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """The parameter after three steps, and the gradient of its square sum for what it was computed from."""
    start = lib.tensor([[0.5, -1.0, 0.25], [1.5, 0.75, -0.5]], requires_grad=True)
    weights = lib.tensor([[0.25, 1.0, 0.5], [0.5, 0.25, 0.75]])
    p = start * 1.0
    optimizer = getattr(lib.optim, name)([p], differentiable=True, **options)
    for _ in range(3):
        p.grad = lib.autograd.grad(((p * weights) ** 2).sum(), p, create_graph=True)[0]
        optimizer.step()
    (p**2).sum().backward()
    return p.tolist(), start.grad.tolist()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_gradients_flow_through_steps(name: str, options: dict[str, Any]) -> None:
    for ours, theirs in zip(after_steps(rushlight, name, options), after_steps(torch, name, options)):
        torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), rtol=1e-4, atol=1e-5)


def rate_gradient(lib: Any) -> float:
    rate = lib.tensor(0.1, requires_grad=True)
    p = lib.tensor([1.0, 2.0], requires_grad=True) * 1.0
    optimizer = lib.optim.SGD([p], lr=rate, differentiable=True)
    p.grad = lib.autograd.grad(((p * 1.5) ** 2).sum(), p, create_graph=True)[0]
    optimizer.step()
    (p**2).sum().backward()
    return float(rate.grad)


def test_the_learning_rate_can_be_learned() -> None:
    assert rate_gradient(rushlight) == pytest.approx(rate_gradient(torch), rel=1e-5)


def test_leaves_cannot_be_stepped_with_history() -> None:
    for lib in (rushlight, torch):
        p = lib.ones(2, requires_grad=True)
        p.grad = lib.ones(2)
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            lib.optim.SGD([p], lr=0.1, differentiable=True).step()
