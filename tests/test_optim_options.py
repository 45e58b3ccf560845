"""Optimizers with options drawn at random, on parameters of all kinds, step as PyTorch's do."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rushlight

BETAS, DECAY, SWITCH = [(0.9, 0.999), (0.5, 0.9)], [0, 0.1], [False, True]
OPTIONS: dict[str, dict[str, list[Any]]] = {
    "SGD": {"momentum": [0, 0.9], "dampening": [0, 0.1], "weight_decay": DECAY},
    "Adam": {"betas": BETAS, "eps": [1e-8, 1e-3], "weight_decay": DECAY, "amsgrad": SWITCH, "decoupled_weight_decay": SWITCH},
    "AdamW": {"betas": BETAS, "weight_decay": DECAY, "amsgrad": SWITCH},
    "RMSprop": {"alpha": [0.99, 0.5], "eps": [1e-8, 1e-3], "weight_decay": DECAY, "momentum": [0, 0.9], "centered": SWITCH},
    "Adagrad": {"lr_decay": [0, 0.1], "weight_decay": DECAY, "initial_accumulator_value": [0, 0.5], "eps": [1e-10, 1e-3]},
    "Adadelta": {"rho": [0.9, 0.5], "eps": [1e-6, 1e-3], "weight_decay": DECAY},
    "Adamax": {"betas": BETAS, "eps": [1e-8, 1e-3], "weight_decay": DECAY},
    "NAdam": {"betas": BETAS, "weight_decay": DECAY, "momentum_decay": [4e-3, 0.1], "decoupled_weight_decay": SWITCH},
    "RAdam": {"betas": BETAS, "weight_decay": DECAY, "decoupled_weight_decay": SWITCH},
    "ASGD": {"lambd": [1e-4, 0.1], "alpha": [0.75, 0.5], "t0": [1e6, 2], "weight_decay": DECAY},
    "Rprop": {"etas": [(0.5, 1.2), (0.3, 1.5)], "step_sizes": [(1e-6, 50), (1e-3, 0.05)]},
    "Adafactor": {"beta2_decay": [-0.8, -0.5], "d": [1.0, 2.0], "weight_decay": DECAY},
}
MOMENTUM = ("SGD", "Adam", "AdamW", "RMSprop", "NAdam", "RAdam", "Adamax")  # what OneCycleLR can cycle
SHAPES = [(3, 4), (7,), (), (1,), (16, 17), (2, 3, 5), (33,), (64, 64)]
STEPS = 6


class Case:
    """What a number draws: an optimizer with options, parameters, gradients, and what goes on beside."""

    def __init__(self, name: str, seed: int):
        r, rng = random.Random(seed), np.random.default_rng(seed)
        self.name = name
        self.options = {k: r.choice(v) for k, v in OPTIONS[name].items() if r.random() < 0.6} | {"maximize": r.random() < 0.3, "foreach": r.choice((None, False, True))}
        shapes = [r.choice(SHAPES) for _ in range(r.randint(1, 5))]
        self.values = [rng.standard_normal(s) for s in shapes]
        self.gradients = [[rng.standard_normal(s) for s in shapes] for _ in range(STEPS)]
        self.dtypes = [r.choice(["float32"] * 5 + ["float64"]) for _ in shapes]
        self.turned = [r.random() < 0.3 for _ in shapes]
        self.rate, self.groups, self.clip = r.choice((0.1, 0.01)), r.random() < 0.4 and len(shapes) > 1, r.choice((None, "norm", "value"))
        self.missing = r.random() < 0.4  # gradients, of some parameters at some steps
        self.scheduler = r.choice([None, "step"] + ["cycle"] * (name in MOMENTUM))
        self.rate_as_tensor = self.scheduler is None and r.random() < 0.3
        self.saved = r.choice((None, 3))  # before which step another optimizer takes over the state

    def optimizer(self, t: Any, params: list[Any]) -> Any:
        groups = [{"params": params[:1], "lr": self.rate * 2}, {"params": params[1:]}] if self.groups else params
        return getattr(t.optim, self.name)(groups, lr=t.tensor(self.rate) if self.rate_as_tensor else self.rate, **self.options)

    def parameters(self, t: Any) -> list[Any]:
        values = [t.tensor(v, dtype=getattr(t, d)) for v, d in zip(self.values, self.dtypes)]
        return [(v.t().contiguous().t() if turned and v.dim() == 2 else v).requires_grad_() for v, turned in zip(values, self.turned)]

    def run(self, t: Any) -> tuple[list[Any], list[float], dict[int, Any]]:
        """Parameters, learning rates and state after the steps."""
        params = self.parameters(t)
        optimizer = self.optimizer(t, params)
        schedulers = t.optim.lr_scheduler
        scheduler = {None: lambda: None, "step": lambda: schedulers.StepLR(optimizer, 2, 0.5),
                     "cycle": lambda: schedulers.OneCycleLR(optimizer, 0.1, total_steps=STEPS + 1)}[self.scheduler]()
        for step, gradients in enumerate(self.gradients):
            if step == self.saved:
                optimizer, before = self.optimizer(t, params), optimizer
                optimizer.load_state_dict(before.state_dict())
                if scheduler is not None:
                    scheduler.optimizer = optimizer
            optimizer.zero_grad(set_to_none=step % 2 == 0)
            for at, (p, g) in enumerate(zip(params, gradients)):
                if not (self.missing and at and (step + at) % 3 == 0):
                    (p * t.tensor(g, dtype=p.dtype)).sum().backward()
            if self.clip == "norm":
                t.nn.utils.clip_grad_norm_(params, 1.0)
            elif self.clip == "value":
                t.nn.utils.clip_grad_value_(params, 0.5)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
        return [p.detach().numpy() for p in params], [float(g["lr"]) for g in optimizer.param_groups], optimizer.state_dict()["state"]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", OPTIONS)
def test_steps_are_those_of_pytorch(name: str, seed: int) -> None:
    case = Case(name, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # schedulers of a replaced optimizer warn in both
        (want, rates, states), (have, own_rates, own_states) = case.run(torch), case.run(rushlight)
    np.testing.assert_allclose(own_rates, rates, rtol=1e-6)
    for at, (a, b) in enumerate(zip(want, have, strict=True)):
        np.testing.assert_allclose(b, a, rtol=2e-4, atol=2e-5, err_msg=f"parameter {at}, {vars(case)}")
    assert {k: list(v) for k, v in own_states.items()} == {k: list(v) for k, v in states.items()}


@pytest.mark.parametrize("name,options", [
    ("Adafactor", {"lr": -0.5}), ("Adafactor", {"d": 0.5}), ("Adafactor", {"eps": (-1, 0)}), ("Adafactor", {"eps": (None, -1)}), ("Adafactor", {"weight_decay": -1}),
    ("Muon", {"lr": -0.5}), ("Muon", {"momentum": -1}), ("Muon", {"weight_decay": -1}), ("Adagrad", {"foreach": True, "fused": True}),
    ("Adagrad", {"fused": True, "differentiable": True}), ("SGD", {"lr": [0.1, 0.2]}), ("SparseAdam", {"lr": [0.1, 0.2]}), ("Adam", {"lr": [0.1, 0.2]}), ("Adam", {"lr": "a"})])
def test_wrong_options_raise_as_in_pytorch(name: str, options: dict[str, Any]) -> None:
    errors = []
    for t in (torch, rushlight):
        given = {k: t.tensor(v) if isinstance(v, list) else v for k, v in options.items()}
        with pytest.raises((ValueError, RuntimeError, TypeError)) as caught:
            getattr(t.optim, name)([t.zeros(2, 2, requires_grad=True)], **given)
        errors.append(caught.value)
    assert type(errors[0]) is type(errors[1])
    assert isinstance(errors[0], TypeError) or str(errors[1]).startswith(str(errors[0]))
