"""Backward passes that are recorded at once (rushlight.tensor.replay): nobody can tell, but by the clock."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as rl
import rushlight.nn as nn
import rushlight.nn.functional as F
from rushlight.exec.realize import realize_cell
from rushlight.passes.recent import Recent
from rushlight.tensor import replay


@pytest.fixture(autouse=True)
def no_templates() -> None:
    replay._templates.clear()


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each pass whether it was recorded at once."""
    seen: list[bool] = []
    form_of, run = replay.form_of, replay.run

    def described(*args: Any) -> Any:
        form = form_of(*args)
        if form is None:
            seen.append(False)
        return form

    def ran(form: Any) -> bool:
        seen.append(run(form))
        return seen[-1]
    monkeypatch.setattr(replay, "form_of", described)
    monkeypatch.setattr(replay, "run", ran)
    return seen


def walked(monkeypatch: pytest.MonkeyPatch, program: Callable[[], Any]) -> Any:
    """What a program gives where every pass is walked."""
    with monkeypatch.context() as m:
        m.setattr(replay, "form_of", lambda *_: None)
        return program()


def trained(model: nn.Module, loss: Callable[[], rl.Tensor], steps: int = 6, each: int = 1, clear: bool = True) -> list[np.ndarray]:
    """Losses, gradients and weights of a few steps, of so many passes each."""
    optimizer = rl.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    found = []
    for _ in range(steps):
        if clear:
            optimizer.zero_grad()
        for _ in range(each):
            value = loss()
            value.backward()
            found.append(value.item())
        found += [p.grad.tolist() for p in model.parameters() if p.grad is not None]
        optimizer.step()
    return [np.array(x) for x in (*found, *[p.tolist() for p in model.parameters()])]


def same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def encoder() -> list[np.ndarray]:
    rl.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    x = rl.randn(3, 5, 8)
    return trained(layer, lambda: layer(x).pow(2).mean())


def recurrent(kind: str) -> list[np.ndarray]:
    rl.manual_seed(0)
    layer = getattr(nn, kind)(4, 6, num_layers=2, bidirectional=True, batch_first=True)
    x = rl.randn(3, 5, 4)
    return trained(layer, lambda: layer(x)[0][:, -1].pow(2).sum())


def policy() -> list[np.ndarray]:
    rl.manual_seed(0)
    body, head = nn.Linear(4, 8), nn.Linear(8, 3)
    states = rl.randn(5, 4)

    def loss() -> rl.Tensor:
        logs = []
        for state in states:
            choice = rl.distributions.Categorical(logits=head(body(state).tanh()))
            logs.append(choice.log_prob(choice.sample()))
        return -rl.stack(logs).sum()
    return trained(nn.ModuleList([body, head]), loss)


def statistics() -> list[np.ndarray]:
    rl.manual_seed(0)
    layer = nn.Linear(6, 7)
    x = rl.randn(4, 6)

    def loss() -> rl.Tensor:
        y = layer(x)
        return (y.var(1) + y.std(1, unbiased=False) + y.logsumexp(1) + y.logsumexp(0, keepdim=True).sum()).sum()
    return trained(layer, loss)


PROGRAMS = {"encoder": encoder, "LSTM": lambda: recurrent("LSTM"), "GRU": lambda: recurrent("GRU"), "RNN": lambda: recurrent("RNN"),
            "policy": policy, "statistics": statistics}


@pytest.mark.parametrize("name", PROGRAMS)
def test_passes_of_the_same_form_are_recorded_at_once(name, replayed, monkeypatch):
    wanted = walked(monkeypatch, PROGRAMS[name])
    same(PROGRAMS[name](), wanted)
    assert replayed[-3:] == [True] * 3


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        rl.manual_seed(0)
        self.one, self.two = nn.Linear(4, 8), nn.Linear(8, 3)
        self.x, self.y = rl.randn(5, 4), rl.arange(5) % 3

    def loss(self) -> rl.Tensor:
        return F.cross_entropy(self.two(self.one(self.x).relu()), self.y)


@pytest.mark.parametrize("each, clear", [(3, True), (1, False), (2, False)])
def test_gradients_are_added_to_those_that_are_there(each, clear, replayed, monkeypatch):
    def run() -> list[np.ndarray]:
        model = Small()
        return trained(model, model.loss, each=each, clear=clear)
    wanted = walked(monkeypatch, run)
    same(run(), wanted)
    assert all(replayed[-3:]) and len(replayed) == 6 * each


def test_which_leaves_have_a_gradient_is_part_of_the_form(replayed):
    """Leaves alike, of which one or the other has a gradient already."""
    a, b = (rl.full((3,), v, requires_grad=True) for v in (1.0, 2.0))
    for first, second in ((True, False), (False, True), (True, True), (False, False)) * 3:
        a.grad, b.grad = (rl.full((3,), 10.0) if have else None for have in (first, second))
        (a * 3 + b * 5).sum().backward()
        assert a.grad.tolist() == [13.0 if first else 3.0] * 3 and b.grad.tolist() == [15.0 if second else 5.0] * 3
    assert replayed == [False] * 4 + [True] * 8


def test_a_gradient_is_the_same_tensor_after_it_has_grown(replayed):
    model = Small()
    for _ in range(3):
        model.zero_grad()
        model.loss().backward()
        kept = model.one.weight.grad
        row, version = kept[1], kept._version
        first = kept.tolist()
        model.loss().backward()
        assert model.one.weight.grad is kept and kept._version == version + 1
        np.testing.assert_allclose(kept.tolist(), 2 * np.array(first), rtol=1e-6)
        assert row.tolist() == kept[1].tolist()
    assert replayed[-1]


def test_two_networks_that_take_turns(replayed, monkeypatch):
    """Of an adversarial pair one gets gradients from the other's loss on top of its own."""
    def run() -> list[np.ndarray]:
        rl.manual_seed(0)
        make, judge = nn.Linear(3, 4), nn.Linear(4, 1)
        first, second = (rl.optim.SGD(m.parameters(), lr=0.1) for m in (make, judge))
        z, real, found = rl.randn(6, 3), rl.randn(6, 4), []
        for _ in range(6):
            second.zero_grad()
            made = make(z).tanh()
            (judge(made.detach()).exp().mean() - judge(real).mean()).backward()
            second.step()
            first.zero_grad()
            (-judge(made)).mean().backward()
            first.step()
            found += [p.grad.tolist() for m in (make, judge) for p in m.parameters()]
        return [np.array(x) for x in found]
    wanted = walked(monkeypatch, run)
    same(run(), wanted)
    assert all(replayed[-4:])


def replace(model: Small) -> None:
    model.one.weight.grad = rl.ones(8, 4)


def drop(model: Small) -> None:
    model.two.bias.grad = None


def by_numpy(model: Small) -> None:
    model.one.weight.grad.numpy()[0, 0] = 3


def share(model: Small) -> None:
    model.one.weight.grad = model.two.weight.grad.new_ones(32).view(8, 4)


def tie(model: Small) -> None:
    both = rl.ones(24)
    model.two.weight.grad = both.view(3, 8)
    model.two.bias.grad = both[:3]


def turned(model: Small) -> None:
    model.one.weight.grad = rl.ones(4, 8).T


def of_a_graph(model: Small) -> None:
    model.one.weight.grad = rl.ones(8, 4, requires_grad=True) * 2


def hooked(model: Small) -> None:
    model.one.weight.register_hook(lambda g: g * 2)


def frozen(model: Small) -> None:
    model.one.weight.requires_grad_(not model.one.weight.requires_grad)


@pytest.mark.parametrize("change", (replace, drop, by_numpy, share, tie, turned, of_a_graph, hooked, frozen), ids=lambda f: f.__name__)
def test_whatever_gradients_become_in_between(change, monkeypatch):
    def run() -> list[Any]:
        model, found = Small(), []
        for i in range(12):
            if i % 5 == 0:
                model.zero_grad()
            if i % 4 == 3:
                change(model)
            model.loss().backward()
            found += [None if p.grad is None else p.grad.tolist() for p in model.parameters()]
        return found
    wanted = walked(monkeypatch, run)
    assert run() == wanted


def test_a_rule_that_holds_a_tensor_is_walked(replayed, monkeypatch):
    """What a function refers to is compared where it can be; two tensors are never the same."""
    from rushlight.tensor.functions.precision import with_gradient

    def run() -> list[float]:
        found = []
        for i in range(5):
            x, factor = rl.ones(3, requires_grad=True), rl.full((3,), float(i))
            with_gradient("Scaled", (x,), lambda: x * 2, lambda g: (g * factor,)).sum().backward()  # noqa: B023
            found.append(x.grad.tolist())
        return found
    assert run() == [[float(i)] * 3 for i in range(5)] and not any(replayed)


def test_rules_that_refer_to_other_numbers_are_other_forms(replayed):
    from rushlight.tensor.functions.precision import with_gradient
    for factor in (2, 3, 2, 3, 2.5, [1, 2], [3, 2], [1, 2]):
        x = rl.ones(2, requires_grad=True)
        numbers = factor if isinstance(factor, list) else [factor]
        with_gradient("Scaled", (x,), lambda: x * 2, lambda g: (g * sum(numbers),)).sum().backward()  # noqa: B023
        assert x.grad.tolist() == [float(sum(numbers))] * 2
    assert replayed == [False, False, True, True, False, False, False, True]


def test_forms_hold_no_memory(replayed):
    model = Small()
    for _ in range(4):
        model.loss().backward()
    grads = [p.grad for p in model.parameters()]
    refs = [weakref.ref(g._storage) for g in grads]
    assert replayed[-1]
    del grads, model
    rl.realize()
    gc.collect()
    assert all(r() is None for r in refs)


def in_another_thread(run: Any, seconds: float | None = None) -> threading.Thread:
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(seconds)
    return thread


def test_a_gradient_that_another_thread_adds_to_while_the_form_is_made(monkeypatch):
    """What the pass adds to, and what it is compared with before it does, are one and the same value."""
    leaf, original, due = rl.ones(5, requires_grad=True), replay._grows, []

    def grows(*args: Any) -> bool:
        found = original(*args)
        if due:
            due.pop()
            in_another_thread(lambda: (leaf * 10).sum().backward())
        return found
    monkeypatch.setattr(replay, "_grows", grows)
    for _ in range(4):
        (leaf * 2).sum().backward()
    leaf.grad.tolist()
    for wanted in (20.0, 32.0, 44.0):
        due.append(True)
        (leaf * 2).sum().backward()
        assert leaf.grad.tolist() == [wanted] * 5 and not due


def test_a_pass_that_another_thread_runs_while_it_is_learnt(monkeypatch):
    """Nodes that have been run hold no operands any more: nothing is learnt of them."""
    original, threads = replay._template, []

    def template(form: Any, nodes: list[Any]) -> Any:
        cell = next(c for node in nodes for c in node.outs)
        threads.append(in_another_thread(lambda: realize_cell(cell), 0.2))
        return original(form, nodes)
    monkeypatch.setattr(replay, "_template", template)
    monkeypatch.setattr(replay, "_templates", Recent(100))
    leaf = rl.ones(5, requires_grad=True)
    for i in range(1, 8):
        (leaf * 2).sum().backward()
        assert leaf.grad is not None
        for t in threads:
            t.join()
        assert leaf.grad.tolist() == [2.0 * i] * 5
    assert threads


def test_zeros_of_either_sign_are_other_forms(replayed):
    x = rl.ones(3, requires_grad=True)
    signs = []
    for k in (0.0, 0.0, 0.0, -0.0, -0.0):
        x.grad = None
        (x * k).sum().backward()
        signs.append(np.signbit(x.grad.numpy()).tolist())
    assert signs == [[False] * 3] * 3 + [[True] * 3] * 2 and any(replayed)
