"""Memory that NumPy has seen receives its own tensor's results, whatever else a plan has put there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")

OPTIMIZERS = {"sgd": lambda lib, p: lib.optim.SGD(p, lr=0.1), "adam": lambda lib, p: lib.optim.Adam(p, lr=0.1),
              "momentum": lambda lib, p: lib.optim.SGD(p, lr=0.1, momentum=0.9)}


def two_steps(lib: Any, optimizer: str, looked_at: str, kept: bool) -> list[np.ndarray]:
    """Parameters and gradients after two steps without zero_grad: gradients add up, in memory that may be shared."""
    lib.manual_seed(0)
    net = lib.nn.Sequential(lib.nn.Linear(20, 30), lib.nn.ReLU(), lib.nn.Linear(30, 10))
    parameters = list(net.parameters())
    step = OPTIMIZERS[optimizer](lib, parameters)
    x = lib.tensor(np.random.default_rng(0).standard_normal((16, 20)).astype(np.float32))
    views = []
    for _ in range(2):
        lib.nn.functional.cross_entropy(net(x), lib.arange(16) % 10).backward()
        step.step()
        if "parameters" in looked_at:
            views += [p.detach().numpy() for p in parameters]
        if "gradients" in looked_at:
            views += [p.grad.numpy() for p in parameters]
        if not kept:
            views.clear()
    return [value.detach().numpy().copy() for p in parameters for value in (p, p.grad)] + [v.copy() for v in views]


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("looked_at", ["nothing", "parameters", "gradients", "parameters and gradients"])
@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_steps_after_a_look(optimizer: str, looked_at: str, kept: bool) -> None:
    ours, theirs = (two_steps(lib, optimizer, looked_at, kept) for lib in (rl, torch))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_results_that_would_change_places() -> None:
    """Each of two tensors becomes what the other was, and a third sees the old sum."""
    for lib in (rl, torch):
        a, b = lib.arange(64.0), lib.arange(64.0) * 3
        seen = a.numpy(), b.numpy()
        total, old = a + b, a * 1
        a.copy_(b - 1)
        b.copy_(old + 2)
        assert np.array_equal(seen[0], 3 * np.arange(64.0) - 1) and np.array_equal(seen[1], np.arange(64.0) + 2)
        assert np.array_equal(total.numpy(), 4 * np.arange(64.0))


def test_equal_gradients_are_two() -> None:
    """What is computed once is still two tensors: one changes without the other."""
    for lib in (rl, torch):
        a, b = lib.zeros(8, requires_grad=True), lib.ones(8, requires_grad=True)
        x = lib.arange(128.0).view(16, 8)
        ((x + a) + (x + b)).square().mean().backward()
        old = b.grad.clone()
        a.grad.mul_(2).add_(1)
        a.grad.numpy()[0] = 7
        assert lib.equal(b.grad, old) and lib.equal(a.grad[1:], 2 * old[1:] + 1)
