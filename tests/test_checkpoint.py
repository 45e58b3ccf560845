"""torch.utils.checkpoint: the same numbers and gradients as without, computed twice, kept once."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight import nn
from rushlight.utils.checkpoint import (CheckpointError, checkpoint, checkpoint_sequential,
                                        set_checkpoint_debug_enabled, set_checkpoint_early_stop)

BOTH = pytest.mark.parametrize("reentrant", [True, False])


def net() -> nn.Sequential:
    rl.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


def inputs() -> rl.Tensor:
    return rl.arange(12.).reshape(3, 4).sin().requires_grad_()


def gradients(call: Any) -> tuple[Any, ...]:
    model, x = net(), inputs()
    rl.manual_seed(7)
    out = call(model, x)
    out.square().sum().backward()
    after = rl.rand(2)  # the stream goes on as if nothing had run twice
    return (out.tolist(), x.grad.tolist(), [p.grad.tolist() for p in model.parameters()], after.tolist())


@BOTH
def test_gradients_and_random_numbers_are_those_without(reentrant: bool) -> None:
    assert gradients(lambda m, x: checkpoint(m, x, use_reentrant=reentrant)) == gradients(lambda m, x: m(x))
    assert gradients(lambda m, x: checkpoint_sequential(m, 3, x, use_reentrant=reentrant)) == gradients(lambda m, x: m(x))


@BOTH
def test_the_part_runs_twice(reentrant: bool) -> None:
    calls: list[bool] = []

    def part(x: rl.Tensor) -> rl.Tensor:
        calls.append(rl.is_grad_enabled())
        return x.exp() * x
    x = inputs()
    y = checkpoint(part, x, use_reentrant=reentrant)
    assert calls == [not reentrant]
    y.sum().backward()
    assert calls == [not reentrant, True]
    np.testing.assert_allclose(x.grad.numpy(), (x.exp() * (1 + x)).detach().numpy(), rtol=1e-5, atol=1e-7)


def test_nothing_is_kept_in_between() -> None:
    import gc
    import weakref
    kept: list[Any] = []

    def part(x: rl.Tensor) -> rl.Tensor:
        a = x.exp()
        kept.append(weakref.ref(a._storage))
        return (a * a).sin()
    for reentrant in (True, False):
        y = checkpoint(part, inputs(), use_reentrant=reentrant)
        gc.collect()
        assert kept.pop()() is None
        del y
    y = part(inputs())
    gc.collect()
    assert kept.pop()() is not None
    del y


def test_without_reentry_everything_of_autograd_works() -> None:
    x = inputs()
    y = checkpoint(lambda v, *, scale: (v * scale).exp(), x, scale=2.0, use_reentrant=False)
    (g,) = rl.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = rl.autograd.grad(g.sum(), x, retain_graph=True)
    np.testing.assert_allclose(h.detach().numpy(), 4 * np.exp(2 * x.detach().numpy()), rtol=1e-5)
    (again,) = rl.autograd.grad(y.sum(), x)
    np.testing.assert_allclose(again.numpy(), g.detach().numpy(), rtol=1e-6)
    weight = rl.ones(4, requires_grad=True)  # no input requires gradients, only what the part holds
    checkpoint(lambda v: (v * weight).sum(), x.detach(), use_reentrant=False).backward()
    assert weight.grad is not None


def test_parts_nest() -> None:
    def inner(v: rl.Tensor) -> rl.Tensor:
        return v.sin().exp()

    def outer(v: rl.Tensor) -> rl.Tensor:
        return checkpoint(inner, v.cos(), use_reentrant=False) * v
    x = inputs()
    checkpoint(outer, x, use_reentrant=False).sum().backward()
    z = inputs()
    (inner(z.cos()) * z).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=1e-6)


def test_with_reentry_what_pytorch_refuses() -> None:
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        checkpoint(lambda v: v * 1, rl.ones(1), use_reentrant=True)
    with pytest.raises(ValueError, match="Unexpected keyword arguments: scale"):
        checkpoint(lambda v: v, inputs(), scale=1, use_reentrant=True)
    with pytest.raises(ValueError, match="only supported when use_reentrant=False"):
        checkpoint(lambda v: v, inputs(), use_reentrant=True, debug=True)
    with pytest.warns(UserWarning, match="use_reentrant parameter should be passed explicitly"):
        checkpoint(lambda v: v * 1, inputs())


def test_a_part_that_changes_is_caught() -> None:
    state = {"first": True}

    def part(v: rl.Tensor) -> rl.Tensor:
        first, state["first"] = state["first"], False
        return (v.exp() if first else v[:1].exp()) * 2
    y = checkpoint(part, inputs(), use_reentrant=False)
    with pytest.raises(CheckpointError, match=r"different metadata.*\n.*position 0"):
        y.sum().backward()
    state["first"] = True
    with set_checkpoint_debug_enabled(True):
        y = checkpoint(part, inputs(), use_reentrant=False)
    with pytest.raises(CheckpointError,
                       match=r"Saved the first time: test_checkpoint.py:\d+; the second time: test_checkpoint.py"):
        y.sum().backward()
    with pytest.raises(ValueError, match="determinism_check should be one of"):
        checkpoint(part, inputs(), use_reentrant=False, determinism_check="some")

    def shorter(v: rl.Tensor) -> rl.Tensor:
        first, state["first"] = state["first"], False
        return v.exp().sin() if first else v.exp()
    state["first"] = True
    y = checkpoint(shorter, inputs(), use_reentrant=False)
    with pytest.raises(CheckpointError, match="A different number of tensors was saved"):
        y.sum().backward()


def test_early_stop_and_contexts() -> None:
    ends: list[str] = []

    def part(v: rl.Tensor) -> rl.Tensor:
        out = v.exp().sum()
        ends.append("end")
        return out

    @contextlib.contextmanager
    def note(name: str) -> Any:
        ends.append(name)
        yield
    for stop, want in ((True, ["first", "end", "second"]), (False, ["first", "end", "second", "end"])):
        ends.clear()
        with set_checkpoint_early_stop(stop):
            y = checkpoint(part, inputs(), use_reentrant=False, context_fn=lambda: (note("first"), note("second")))
        y.backward()
        assert ends == want


def test_random_numbers_need_not_be_kept() -> None:
    x = rl.ones(50, requires_grad=True)
    rl.manual_seed(0)
    y = checkpoint(lambda v: nn.functional.dropout(v, 0.5), x, use_reentrant=True, preserve_rng_state=False)
    rl.rand(1)
    y.sum().backward()
    assert x.grad.tolist() != y.tolist()
