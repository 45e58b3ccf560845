"""What is left of the pending operations when one of them fails: all that depends neither on it nor on a write in place."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import rushlight as rl
import rushlight.nn.functional as F
from rushlight.exec.realize import clear_plans


@pytest.fixture(autouse=True, params=["small plans by NumPy", "all plans compiled", "NumPy alone"])
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RUSHLIGHT_TIER", "1" if request.param == "all plans compiled" else "")
    monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy" if request.param == "NumPy alone" else "")
    clear_plans()
    yield
    clear_plans()


def broken(x: rl.Tensor) -> rl.Tensor:
    """An index that is computed, so that nobody can see how bad it is before it runs."""
    return x[(x.sum().abs() + 50).long().reshape(1)]


def test_what_was_recorded_before_and_after_keeps_its_value():
    x = rl.from_numpy(np.arange(6, dtype=np.float32).reshape(2, 3))
    before, bad = (x + 1).exp(), broken(x)
    after, dependent = before.sum(), bad * 2
    with pytest.raises(IndexError, match="out of bounds"):
        dependent.tolist()
    np.testing.assert_allclose(before.tolist(), np.exp(np.arange(6).reshape(2, 3) + 1), rtol=1e-6)
    np.testing.assert_allclose(after.item(), np.exp(np.arange(1, 7)).sum(), rtol=1e-6)
    for lost in (bad, dependent, dependent + 1):
        with pytest.raises(IndexError, match="out of bounds"):
            lost.tolist()


def test_the_bits_are_those_of_a_program_without_the_failure():
    x = rl.randn(64, 32, generator=rl.Generator().manual_seed(0))
    w = rl.randn(32, 16, generator=rl.Generator().manual_seed(1))
    wanted = F.gelu(x @ w).log_softmax(1).tolist()
    y = F.gelu(x @ w)
    bad = broken(x)
    z = y.log_softmax(1)
    with pytest.raises(IndexError):
        bad.tolist()
    assert z.tolist() == wanted


def test_no_write_in_place_happens():
    """Neither before nor after the failure, nor is there a value of what has read one."""
    x, y = rl.ones(4), rl.zeros(4)
    rl.realize()
    fine = x + 1
    x.mul_(3)
    y.add_(broken(fine).sum())
    reads = x + 1
    x.add_(1)
    with pytest.raises(IndexError):
        rl.realize()
    assert x.tolist() == [1] * 4 and y.tolist() == [0] * 4 and fine.tolist() == [2] * 4
    with pytest.raises(IndexError):
        reads.tolist()
    y.add_(x)
    assert y.tolist() == [1] * 4


def test_memory_that_the_outside_sees_is_written():
    memory = np.ones(3, np.float32)
    t = rl.from_numpy(memory)
    other = rl.ones(5)
    rl.realize()
    bad = broken(other)
    with pytest.raises(IndexError):
        bad.tolist()
    t.mul_(5)
    bad = broken(other)
    total = t.sum()
    with pytest.raises(IndexError):
        bad.tolist()
    assert memory.tolist() == [5, 5, 5] and total.item() == 15


def test_a_model_is_trained_on_after_a_bad_label():
    rl.manual_seed(0)
    model = rl.nn.Linear(4, 3)
    optimizer = rl.optim.SGD(model.parameters(), lr=0.1)
    x, good = rl.randn(8, 4), rl.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    before = [p.tolist() for p in model.parameters()]
    metric = (x * x).mean()
    with pytest.raises(IndexError):
        F.cross_entropy(model(x), (good * x.abs().sum().long() * 0 + 7)).item()
    assert [p.tolist() for p in model.parameters()] == before and metric.item() > 0
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), good)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)


def test_two_failures_each_say_their_own():
    x = rl.ones(2, 3)
    rl.realize()
    first, second, fine = broken(x), x.reshape(-1)[(x.sum() * 30).long().reshape(1)], x * 7
    with pytest.raises(IndexError):
        first.tolist()
    with pytest.raises(IndexError):
        second.tolist()
    assert fine.sum().item() == 42
