"""Committees of networks: combined answers, stacked weights, members that train as if alone."""

from __future__ import annotations

import copy
import doctest
import pickle
from collections.abc import Callable

import numpy as np
import pytest

import rushlight as rl
from rushlight import nn
from rushlight.ensemble import Committee, committee, mlp, networks
from rushlight.ensemble.committee import can_stack


def three(make: Callable[[], nn.Module] = lambda: mlp(5, 4, hidden=(8,))) -> list[nn.Module]:
    rl.manual_seed(1)
    return [make() for _ in range(3)]


X = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)


@pytest.mark.parametrize("stacked", [True, False])
def test_answers_are_combined(stacked: bool) -> None:
    models = three()
    x = rl.from_numpy(X)
    single = np.stack([m(x).detach().numpy() for m in models])
    e = np.exp(single - single.max(-1, keepdims=True))
    expected = {None: single, "mean": single.mean(0), "probability": (e / e.sum(-1, keepdims=True)).mean(0),
                "vote": np.eye(4)[single.argmax(-1)].mean(0)}
    for combine, want in expected.items():
        got = Committee(models, combine=combine, stacked=stacked)(x).detach().numpy()
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    weighed = Committee(models, weights=[1, 0, 3], stacked=stacked)(x).detach().numpy()
    np.testing.assert_allclose(weighed, (single[0] + 3 * single[2]) / 4, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", [lambda p: rl.optim.SGD(p, lr=0.1, momentum=0.9),
                                       lambda p: rl.optim.Adam(p, lr=0.01)], ids=["sgd", "adam"])
def test_stacked_members_train_as_if_alone(optimizer: Callable[..., rl.optim.Optimizer]) -> None:
    models = three()
    together = Committee(copy.deepcopy(models), combine=None, stacked=True)
    x, y = rl.from_numpy(X), rl.tensor([0, 1, 2, 3, 0, 1, 2])
    o = optimizer(together.parameters())
    for _ in range(5):
        o.zero_grad()
        sum(nn.functional.cross_entropy(a, y) for a in together(x)).backward()
        o.step()
    for model, member in zip(models, together.members(), strict=True):
        o = optimizer(model.parameters())
        for _ in range(5):
            o.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            o.step()
        for p, q in zip(model.parameters(), member.parameters(), strict=True):
            np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_dropout_differs_between_stacked_members() -> None:
    model = nn.Sequential(nn.Linear(5, 64), nn.Dropout(0.5))
    together = Committee([model, copy.deepcopy(model)], combine=None)
    assert together.stacked
    a, b = together(rl.from_numpy(X)).detach().numpy()
    assert ((a == 0) != (b == 0)).mean() > 0.3
    a, b = together.eval()(rl.from_numpy(X)).detach().numpy()
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("stacked", [True, False])
def test_a_committee_is_a_module(stacked: bool) -> None:
    """state_dict, pickle and deep copies keep its answers; members() gives them back."""
    together = Committee(three(), combine="probability", stacked=stacked)
    x = rl.from_numpy(X)
    want = together(x).detach().numpy()
    rl.manual_seed(9)
    other = Committee([mlp(5, 4, hidden=(8,)) for _ in range(3)], combine="probability", stacked=stacked)
    assert not np.allclose(other(x).detach().numpy(), want)
    other.load_state_dict(together.state_dict())
    for same in (other, copy.deepcopy(together), pickle.loads(pickle.dumps(together)),
                 Committee(together.members(), combine="probability", stacked=not stacked)):
        np.testing.assert_allclose(same(x).detach().numpy(), want, rtol=1e-5, atol=1e-6)


def test_what_is_stacked() -> None:
    conv = lambda: nn.Conv2d(1, 2, 3)
    norm = lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    assert can_stack(three()) and can_stack(three(lambda: nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 2))))
    assert not can_stack(three(conv)) and not can_stack(three(norm)) and not can_stack(three()[:1])
    assert not can_stack([nn.Linear(5, 4), nn.Linear(5, 4, bias=False)])
    assert not can_stack([mlp(5, 4, hidden=(8,)), mlp(5, 4, hidden=(9,))])
    assert Committee([mlp(5, 4, hidden=(8,)), nn.Linear(5, 4)])(rl.from_numpy(X)).shape == (7, 4)
    assert Committee(three(conv), combine=None)(rl.ones(2, 1, 5, 5)).shape == (3, 2, 2, 3, 3)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="at least one model"):
        Committee([])
    with pytest.raises(ValueError, match="combine must be one of"):
        Committee(three(), combine="median")
    with pytest.raises(ValueError, match="3 numbers of at least 0"):
        Committee(three(), weights=[1, 2])


def test_doctests() -> None:
    assert sum(doctest.testmod(m).failed for m in (committee, networks)) == 0
