"""Learning-rate schedulers and weight averaging against PyTorch, on real optimizers."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
STEPS = 40


class Halving:
    """A schedule that is an object: its attributes are saved."""

    def __init__(self, period: int):
        self.period = period

    def __call__(self, epoch: int) -> float:
        return 0.5 ** (epoch // self.period)


def make(m: Any, lr: float = 0.1, kind: str = "SGD", **kw: Any) -> Any:
    a, b = (m.nn.Parameter(m.tensor([1.0, -2.0])) for _ in range(2))
    if kind == "SGD":
        kw.setdefault("momentum", 0.9)
    return getattr(m.optim, kind)([{"params": [a]}, {"params": [b], "lr": lr * 3}], lr=lr, **kw)


def one(name: str, *args: Any, **kw: Any) -> Any:
    return lambda s, o: getattr(s, name)(o, *args, **kw)


def swa(**kw: Any) -> Any:
    return lambda s, o: (rushlight if "rushlight" in s.__name__ else torch).optim.swa_utils.SWALR(o, **kw)


CASES: dict[str, Any] = {
    "lambda": one("LambdaLR", lambda e: 0.95 ** e),
    "lambda list": one("LambdaLR", [lambda e: 1 / (e + 1), Halving(7)]),
    "multiplicative": one("MultiplicativeLR", lambda e: 0.9 + 0.01 * (e % 3)),
    "multiplicative object": one("MultiplicativeLR", Halving(30)),
    "step": one("StepLR", 7, gamma=0.3),
    "multistep": one("MultiStepLR", [3, 8, 8, 25], gamma=0.5),
    "constant": one("ConstantLR", factor=0.25, total_iters=9),
    "linear": one("LinearLR", start_factor=0.2, end_factor=0.7, total_iters=15),
    "linear defaults": one("LinearLR"),
    "exponential": one("ExponentialLR", 0.93),
    "polynomial": one("PolynomialLR", total_iters=22, power=1.7),
    "cosine": one("CosineAnnealingLR", 9, eta_min=0.004),
    "restarts": one("CosineAnnealingWarmRestarts", 5, T_mult=2, eta_min=0.001),
    "restarts same": one("CosineAnnealingWarmRestarts", 6),
    "cyclic": one("CyclicLR", 0.01, [0.1, 0.4], step_size_up=4, step_size_down=7),
    "cyclic 2": one("CyclicLR", [0.01, 0.02], 0.3, step_size_up=5, mode="triangular2"),
    "cyclic exp": one("CyclicLR", 0.01, 0.3, step_size_up=5, mode="exp_range", gamma=0.97, cycle_momentum=False),
    "cyclic own": one("CyclicLR", 0.01, 0.3, step_size_up=5, scale_fn=lambda x: 1 / (1 + x), scale_mode="iterations"),
    "cyclic object": one("CyclicLR", 0.01, 0.3, step_size_up=5, scale_fn=Halving(2)),
    "onecycle": one("OneCycleLR", [0.3, 0.5], total_steps=STEPS),
    "onecycle 3": one("OneCycleLR", 0.3, epochs=4, steps_per_epoch=10,
                      three_phase=True, anneal_strategy="linear", pct_start=0.4),
    "onecycle rates only": one("OneCycleLR", 0.3, total_steps=50, cycle_momentum=False,
                               div_factor=10.0, final_div_factor=100.0),
    "swa": swa(swa_lr=0.01, anneal_epochs=12),
    "swa linear": swa(swa_lr=[0.01, 0.2], anneal_epochs=5, anneal_strategy="linear"),
    "swa at once": swa(swa_lr=0.01, anneal_epochs=0),
    "sequential": lambda s, o: s.SequentialLR(o, [s.ConstantLR(o, factor=0.1, total_iters=5),
                                                  s.LinearLR(o, 0.5, total_iters=6), s.ExponentialLR(o, 0.9)], [5, 17]),
    "warm-up": lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, total_iters=8), s.CosineAnnealingLR(o, 32)], [8]),
    "chained": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, factor=0.1, total_iters=6),
                                                s.ExponentialLR(o, 0.9), s.StepLR(o, 10)], optimizer=o),
    "sequential of chained": lambda s, o: s.SequentialLR(
        o, [s.ChainedScheduler([s.ConstantLR(o, 0.5, 4), s.StepLR(o, 3)]), s.PolynomialLR(o, 20)], [11]),
}


def settings(o: Any) -> list[list[float]]:
    return [[float(g["lr"]), float(g.get("momentum", 0)), float(g.get("betas", (0,))[0])] for g in o.param_groups]


def train(m: Any, o: Any) -> None:
    for g in o.param_groups:
        for p in g["params"]:
            p.grad = m.tensor([0.1, 0.2])
    o.step()


def parameters(o: Any) -> np.ndarray:
    return np.array([p.tolist() for g in o.param_groups for p in g["params"]])


def run(m: Any, build: Any, kind: str = "SGD") -> tuple[list[Any], Any]:
    o = make(m, kind=kind)
    s = build(m.optim.lr_scheduler, o)
    trace = [settings(o)]
    for _ in range(STEPS - 1):
        train(m, o)
        s.step()
        assert [float(v) for v in s.get_last_lr()] == [row[0] for row in settings(o)]
        trace.append(settings(o))
    return trace, parameters(o)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("default:Detected call of")  # PyTorch gives it too when a chain starts late in a sequence
@pytest.mark.filterwarnings("error")
def test_schedule(name: str) -> None:
    want, end = run(torch, CASES[name])
    got, mine = run(rushlight, CASES[name])
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(mine, end, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["cyclic", "onecycle"])
def test_cycles_move_beta1(name: str) -> None:
    np.testing.assert_allclose(run(rushlight, CASES[name], "Adam")[0], run(torch, CASES[name], "Adam")[0], rtol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_state_dict_round_trip(name: str) -> None:
    o = make(rushlight)
    s = CASES[name](rushlight.optim.lr_scheduler, o)
    for _ in range(13):
        train(rushlight, o)
        s.step()
    saved, saved_o = copy.deepcopy(s.state_dict()), copy.deepcopy(o.state_dict())
    theirs = CASES[name](torch.optim.lr_scheduler, make(torch)).state_dict()
    assert set(saved) ^ set(theirs) <= {"_anneal_strategy", "_scale_fn_ref"}
    fresh = make(rushlight)
    again = CASES[name](rushlight.optim.lr_scheduler, fresh)
    fresh.load_state_dict(saved_o)
    given = copy.deepcopy(saved)
    again.load_state_dict(given)
    assert set(given) == set(saved)  # loading leaves the caller's dict alone
    for _ in range(20):
        for optimizer, scheduler in ((o, s), (fresh, again)):
            train(rushlight, optimizer)
            scheduler.step()
        assert settings(fresh) == settings(o)
        assert again.get_last_lr() == s.get_last_lr()


def test_objects_save_their_attributes() -> None:
    o, one_object, other = make(rushlight), Halving(3), Halving(9)
    saved = rushlight.optim.lr_scheduler.LambdaLR(o, [one_object, lambda e: 1.0]).state_dict()
    assert saved["lr_lambdas"] == [{"period": 3}, None]
    rushlight.optim.lr_scheduler.LambdaLR(make(rushlight), [other, lambda e: 1.0]).load_state_dict(saved)
    assert other.period == 3


PLATEAUS = [
    {"patience": 2}, {"mode": "max", "patience": 1, "factor": 0.5},
    {"threshold": 0.3, "threshold_mode": "abs", "patience": 0, "cooldown": 3},
    {"mode": "max", "threshold": 0.1, "threshold_mode": "abs", "patience": 1, "min_lr": [0.02, 0.1]},
    {"patience": 0, "factor": 0.1, "eps": 1e-3},
]


@pytest.mark.parametrize("kw", PLATEAUS, ids=str)
def test_plateau(kw: dict[str, Any]) -> None:
    metric = np.random.default_rng(0).standard_normal(STEPS).cumsum() / 4 + 2
    traces = []
    for m in (torch, rushlight):
        o = make(m)
        s = m.optim.lr_scheduler.ReduceLROnPlateau(o, **kw)
        rows = []
        for i, value in enumerate(metric):
            train(m, o)
            s.step(m.tensor(value) if i % 2 else float(value))
            rows.append([*s.get_last_lr(), s.best, s.num_bad_epochs, s.cooldown_counter, s.last_epoch])
            if i == 20:  # go on in a fresh scheduler
                state = s.state_dict()
                s = m.optim.lr_scheduler.ReduceLROnPlateau(o)
                s.load_state_dict(state)
        traces.append(rows)
    assert traces[0][-1][0] < 0.1, "the case must reduce the rate"
    np.testing.assert_allclose(traces[1], traces[0], rtol=1e-9)


@pytest.mark.parametrize("name", ["step", "multistep", "constant", "linear", "exponential", "polynomial",
                                  "cosine", "lambda", "restarts", "restarts same"])
def test_step_to_an_epoch(name: str) -> None:
    for epoch in (0, 1, 4, 9, 16, 37):
        traces = []
        for m in (torch, rushlight):
            o = make(m)
            s = CASES[name](m.optim.lr_scheduler, o)
            o.step()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                s.step(epoch)
            s.step()
            traces.append((settings(o), s.last_epoch))
        np.testing.assert_allclose(traces[1][0], traces[0][0], rtol=1e-9)
        assert traces[1][1] == traces[0][1]


@pytest.mark.parametrize("name", ["lambda", "multiplicative", "step", "multistep", "linear",
                                  "exponential", "polynomial", "cosine"])
def test_resume_at_an_epoch(name: str) -> None:
    traces = []
    for m in (torch, rushlight):
        o = make(m)
        for g in o.param_groups:
            g["initial_lr"] = g["lr"]
        build = {"lambda": lambda s, o: s.LambdaLR(o, lambda e: 0.95 ** e, 6), "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda e: 0.9, 6),
                 "step": lambda s, o: s.StepLR(o, 7, 0.3, 6), "multistep": lambda s, o: s.MultiStepLR(o, [7, 9], 0.3, 6),
                 "linear": lambda s, o: s.LinearLR(o, 0.2, 0.7, 15, 6), "exponential": lambda s, o: s.ExponentialLR(o, 0.9, 6),
                 "polynomial": lambda s, o: s.PolynomialLR(o, 20, 2.0, 6), "cosine": lambda s, o: s.CosineAnnealingLR(o, 9, 0.0, 6)}[name]
        s = build(m.optim.lr_scheduler, o)
        rows = [settings(o)]
        for _ in range(10):
            train(m, o)
            s.step()
            rows.append(settings(o))
        traces.append(rows)
    np.testing.assert_allclose(traces[1], traces[0], rtol=1e-9)


def test_tensor_rates_change_in_place() -> None:
    p = rushlight.nn.Parameter(rushlight.tensor([1.0]))
    rate = rushlight.tensor(0.5)
    o = rushlight.optim.SGD([p], lr=rate)
    s = rushlight.optim.lr_scheduler.ExponentialLR(o, 0.5)
    p.grad = rushlight.tensor([1.0])
    o.step()
    s.step()
    assert o.param_groups[0]["lr"] is rate
    assert (rate.item(), p.item(), s.base_lrs[0].item()) == (0.25, 0.5, 0.5)


MISTAKES: dict[str, Any] = {
    "not an optimizer": lambda m, s, o: s.StepLR(3, 1),
    "plateau of nothing": lambda m, s, o: s.ReduceLROnPlateau(3),
    "resume": lambda m, s, o: s.StepLR(o, 1, last_epoch=3),
    "lambdas": lambda m, s, o: s.LambdaLR(o, [lambda e: 1.0]),
    "multiplicative": lambda m, s, o: s.MultiplicativeLR(o, [1.0, 2.0]),
    "constant": lambda m, s, o: s.ConstantLR(o, factor=1.5),
    "linear": lambda m, s, o: s.LinearLR(o, start_factor=0),
    "linear end": lambda m, s, o: s.LinearLR(o, end_factor=2),
    "restarts": lambda m, s, o: s.CosineAnnealingWarmRestarts(o, 0),
    "restarts mult": lambda m, s, o: s.CosineAnnealingWarmRestarts(o, 3, 0),
    "restarts eta": lambda m, s, o: s.CosineAnnealingWarmRestarts(o, 3, eta_min="0"),
    "restarts epoch": lambda m, s, o: s.CosineAnnealingWarmRestarts(o, 3).step(-1),
    "cyclic mode": lambda m, s, o: s.CyclicLR(o, 0.1, 0.2, mode="square"),
    "cyclic length": lambda m, s, o: s.CyclicLR(o, [0.1], 0.2),
    "cyclic momentum": lambda m, s, o: s.CyclicLR(make(m, kind="Adagrad"), 0.1, 0.2),
    "onecycle none": lambda m, s, o: s.OneCycleLR(o, 0.1),
    "onecycle steps": lambda m, s, o: s.OneCycleLR(o, 0.1, total_steps=-1),
    "onecycle epochs": lambda m, s, o: s.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=3),
    "onecycle share": lambda m, s, o: s.OneCycleLR(o, 0.1, total_steps=5, pct_start=2.0),
    "onecycle way": lambda m, s, o: s.OneCycleLR(o, 0.1, total_steps=5, anneal_strategy="step"),
    "onecycle momentum": lambda m, s, o: s.OneCycleLR(make(m, kind="Adagrad"), 0.1, total_steps=5),
    "plateau factor": lambda m, s, o: s.ReduceLROnPlateau(o, factor=1.0),
    "plateau mode": lambda m, s, o: s.ReduceLROnPlateau(o, mode="mean"),
    "plateau threshold": lambda m, s, o: s.ReduceLROnPlateau(o, threshold_mode="x"),
    "plateau least": lambda m, s, o: s.ReduceLROnPlateau(o, min_lr=[0.1]),
    "sequential none": lambda m, s, o: s.SequentialLR(o, [], []),
    "sequential milestones": lambda m, s, o: s.SequentialLR(o, [s.StepLR(o, 1)], [3]),
    "sequential plateau": lambda m, s, o: s.SequentialLR(o, [s.ReduceLROnPlateau(o)], []),
    "sequential object": lambda m, s, o: s.SequentialLR(o, [3], []),
    "chained none": lambda m, s, o: s.ChainedScheduler([]),
    "chained plateau": lambda m, s, o: s.ChainedScheduler([s.StepLR(o, 1), s.ReduceLROnPlateau(o)]),
    "chained others": lambda m, s, o: s.ChainedScheduler([s.StepLR(o, 1), s.StepLR(make(m), 1)]),
    "swa length": lambda m, s, o: m.optim.swa_utils.SWALR(o, [0.1]),
    "swa way": lambda m, s, o: m.optim.swa_utils.SWALR(o, 0.1, anneal_strategy="step"),
    "swa epochs": lambda m, s, o: m.optim.swa_utils.SWALR(o, 0.1, anneal_epochs=-1),
    "ema": lambda m, s, o: m.optim.swa_utils.get_ema_avg_fn(1.5),
    "ema lists": lambda m, s, o: m.optim.swa_utils.get_ema_multi_avg_fn(-0.5),
    "two averages": lambda m, s, o: m.optim.swa_utils.AveragedModel(m.nn.Linear(1, 1), avg_fn=max, multi_avg_fn=max),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_errors(name: str) -> None:
    with pytest.raises(Exception) as want:
        MISTAKES[name](torch, torch.optim.lr_scheduler, make(torch))
    with pytest.raises(type(want.value)) as got:
        MISTAKES[name](rushlight, rushlight.optim.lr_scheduler, make(rushlight))
    assert type(got.value) is type(want.value)
    assert str(got.value)[:40] == str(want.value)[:40]


def test_onecycle_ends() -> None:
    o = make(rushlight)
    s = rushlight.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=3)
    o.step()
    s.step()
    s.step()
    s.step()
    with pytest.raises(ValueError, match="Tried to step 4 times. The specified number of total steps is 3"):
        s.step()


def test_warnings_of_call_order() -> None:
    for m in (torch, rushlight):
        schedule = m.optim.lr_scheduler
        with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
            schedule.StepLR(make(m), 3).step()
        o = make(m)
        s = schedule.StepLR(o, 3)
        o.step = lambda: None
        with pytest.warns(UserWarning, match=r"Seems like `optimizer.step\(\)` has been overridden"):
            s.step()
        with pytest.warns(UserWarning, match=r"please use `get_last_lr\(\)`"):
            s.get_lr()
        with pytest.warns(UserWarning, match="The epoch parameter in"):
            s.step(5)


def models(m: Any) -> tuple[Any, Any]:
    model = m.nn.Sequential(m.nn.Linear(3, 4), m.nn.BatchNorm1d(4), m.nn.Linear(4, 2))
    return model, m.optim.swa_utils


@pytest.mark.parametrize("how", ["mean", "ema", "ema lists", "swa lists", "swa one", "buffers", "own"])
def test_averaged_model(how: str) -> None:
    results = []
    for m in (torch, rushlight):
        model, u = models(m)
        kw = {"mean": {}, "ema": {"avg_fn": u.get_ema_avg_fn(0.9)},
              "ema lists": {"multi_avg_fn": u.get_ema_multi_avg_fn(0.7)},
              "swa lists": {"multi_avg_fn": u.get_swa_multi_avg_fn()}, "swa one": {"avg_fn": u.get_swa_avg_fn()},
              "buffers": {"use_buffers": True}, "own": {"avg_fn": lambda a, b, n: a * 0.5 + b / (n + 2)}}[how]
        averaged = u.AveragedModel(model, **kw)
        rng = np.random.default_rng(0)
        for _ in range(4):
            with m.no_grad():
                for p in [*model.parameters(), *(b for b in model.buffers() if b.ndim)]:
                    p.copy_(m.tensor(rng.random(tuple(p.shape)).astype("f4")))
            averaged.update_parameters(model)
        x = m.tensor(np.random.default_rng(1).standard_normal((5, 3)).astype("f4"))
        averaged.eval()
        results.append(({k: v.detach().numpy() for k, v in averaged.state_dict().items()},
                        averaged(x).detach().numpy()))
    (want, out), (got, mine) = results
    assert list(got) == list(want)
    assert got["n_averaged"] == 4
    for key in want:
        np.testing.assert_allclose(got[key], want[key], rtol=1e-5, atol=1e-7, err_msg=key)
    np.testing.assert_allclose(mine, out, rtol=1e-4, atol=1e-5)


def test_update_bn() -> None:
    data = np.random.default_rng(0).standard_normal((6, 8, 3)).astype("f4")
    results = []
    for m in (torch, rushlight):
        norm, u = m.nn.BatchNorm1d(3, momentum=0.3), m.optim.swa_utils
        model = m.nn.Sequential(norm)
        model.eval()
        u.update_bn([(m.tensor(b), 0) if i % 2 else m.tensor(b) for i, b in enumerate(data)], model)
        assert norm.momentum == 0.3
        assert not model.training
        results.append([norm.running_mean.numpy(), norm.running_var.numpy(), norm.num_batches_tracked.numpy()])
        u.update_bn(iter(()), m.nn.Sequential(m.nn.Linear(1, 1)))  # nothing to do without batch norms
    for got, want in zip(results[1], results[0]):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert math.isclose(float(results[1][0][0]), float(data.mean((0, 1))[0]), abs_tol=1e-6)
