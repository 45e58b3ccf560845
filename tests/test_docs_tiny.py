"""docs/tiny.py, the architecture in miniature, does what it says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FILE = Path(__file__).resolve().parents[1] / "docs" / "tiny.py"


@pytest.fixture()
def tiny() -> Any:
    spec = importlib.util.spec_from_file_location("tiny", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_short_and_runs() -> None:
    assert len(FILE.read_text(encoding="utf8").splitlines()) < 400
    out = subprocess.run([sys.executable, str(FILE)], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "'plans built': 1" in out and "def plan(inputs):" in out


def test_training_builds_one_plan(tiny: Any) -> None:
    losses = tiny.train(100)
    assert losses[-1] < 0.01 < losses[0]
    assert tiny.STATS["plans built"] == 1 and tiny.STATS["plans reused"] == 99


def test_gradients_of_any_order(tiny: Any) -> None:
    x = tiny.tensor([0.5, 2.0], requires_grad=True)
    loss = (x.power(3.0) * x.exp() + x.log()).sum()
    loss.backward(keep=True)
    v = np.array([0.5, 2.0])
    np.testing.assert_allclose(x.grad.numpy(), (3 * v ** 2 + v ** 3) * np.exp(v) + 1 / v)
    first, x.grad = x.grad, None
    first.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), (6 * v + 6 * v ** 2 + v ** 3) * np.exp(v) - 1 / v ** 2)


def test_a_second_backward_needs_keep(tiny: Any) -> None:
    x = tiny.tensor([1.0], requires_grad=True)
    loss = (x * x).sum()
    loss.backward(keep=True)
    loss.backward()
    assert x.grad.numpy() == [4.0]
    with pytest.raises(RuntimeError, match="a second time"):
        loss.backward()


def test_views_and_writes(tiny: Any) -> None:
    x = tiny.tensor([[1.0, 2.0], [3.0, 4.0]])
    seen = x * 1.0
    x[0].add_(10.0)
    np.testing.assert_array_equal(x.numpy(), [[11.0, 12.0], [3.0, 4.0]])
    np.testing.assert_array_equal(seen.numpy(), [[1.0, 2.0], [3.0, 4.0]])
    w = tiny.tensor([1.0, 2.0], requires_grad=True)
    y = w * 1.0
    z = y * y
    y.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_errors_come_while_recording(tiny: Any) -> None:
    with pytest.raises(RuntimeError, match="do not broadcast"):
        tiny.tensor([1.0, 2.0]) + tiny.tensor([1.0, 2.0, 3.0])
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        tiny.tensor([[1.0, 2.0]]) @ tiny.tensor([[1.0, 2.0]])


def test_only_what_somebody_holds_is_computed(tiny: Any) -> None:
    x = tiny.tensor([1.0])
    _ = (x + 1.0).exp()  # stays
    (x + 2.0).log()  # goes
    tiny.realize()
    (plan,) = tiny.PLANS.values()
    assert "exp" in plan.text and "log" not in plan.text
