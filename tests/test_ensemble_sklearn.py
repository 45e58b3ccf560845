"""Networks as scikit-learn estimators, and scikit-learn's ensembles of them, on its real data sets."""

from __future__ import annotations

import doctest
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import rushlight as rl
from rushlight import ensemble, nn
from rushlight.ensemble import (NeuralClassifier, NeuralRegressor, averaging, bagging, boosting,
                                combining, estimators, stacking, voting)
from rushlight.imbalance import focal_loss

# Equal to 1e-6, not to scikit-learn's 1e-7: networks compute in float32. test_weights_are_repetitions has what holds.
ROUNDING = {"check_sample_weight_equivalence_on_dense_data"}


@pytest.mark.parametrize("make", [NeuralClassifier, NeuralRegressor])
def test_scikit_learns_own_checks(make: type) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(make(epochs=100), on_fail=None, on_skip=None)
    assert len(results) > 50
    assert {r["check_name"] for r in results if r["status"] == "failed"} <= ROUNDING


@pytest.mark.parametrize("members", [1, 3])
def test_weights_are_repetitions(members: int) -> None:
    """Weight 2 is the sample twice, weight 0 is the sample left out
    (in one batch, where both see the same gradients)."""
    x, y = load_iris(return_X_y=True)
    x, weight = x[::2], np.random.default_rng(0).integers(0, 3, 75)
    y = y[::2]
    args = {"members": members, "epochs": 20, "batch_size": 1000, "random_state": 0}
    for make, target in ((NeuralClassifier, y), (NeuralRegressor, x[:, 0])):
        a = make(**args).fit(x, target, sample_weight=weight)
        b = make(**args).fit(np.repeat(x, weight, 0), np.repeat(target, weight))
        answer = "predict_proba" if make is NeuralClassifier else "predict"
        np.testing.assert_allclose(getattr(a, answer)(x), getattr(b, answer)(x), atol=1e-4)


def test_pipeline_grid_search_and_clone() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    names = np.array(["malignant", "benign"])[y]
    pipeline = make_pipeline(StandardScaler(), NeuralClassifier(epochs=15, random_state=0))
    assert cross_val_score(pipeline, x, names, cv=3).mean() > 0.95
    search = GridSearchCV(pipeline, {"neuralclassifier__lr": [1e-5, 1e-2]}, cv=2).fit(x, names)
    assert search.best_params_ == {"neuralclassifier__lr": 1e-2} and set(search.classes_) == set(names)
    copy = clone(search.best_estimator_)
    assert copy[-1].lr == 1e-2 and not hasattr(copy[-1], "module_")


def test_a_module_is_a_template() -> None:
    """Each fit draws the layers anew; keep_weights goes on from those given. The module itself stays as it was."""
    x, y = load_iris(return_X_y=True)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    before = network[0].weight.detach().numpy().copy()
    fresh = NeuralClassifier(network, lr=0.0, optimizer="sgd", epochs=1, random_state=0).fit(x, y)
    kept = NeuralClassifier(network, lr=0.0, optimizer="sgd", epochs=1, keep_weights=True).fit(x, y)
    assert not np.array_equal(fresh.module_.members()[0][0].weight.detach().numpy(), before)
    assert np.array_equal(kept.module_.members()[0][0].weight.detach().numpy(), before)
    NeuralClassifier(network, epochs=2, keep_weights=True).fit(x, y)
    assert np.array_equal(network[0].weight.detach().numpy(), before)
    built = NeuralClassifier(lambda inputs, outputs: nn.Linear(inputs, outputs), epochs=1).fit(x, y)
    assert built.module_.members()[0].weight.shape == (3, 4)


def test_repeats_with_a_seed_and_leaves_the_global_generator() -> None:
    x, y = load_iris(return_X_y=True)
    rl.manual_seed(5)
    want = rl.rand(3).tolist()
    rl.manual_seed(5)
    a, b, c = (NeuralClassifier(epochs=3, random_state=seed).fit(x, y).predict_proba(x) for seed in (0, 0, 1))
    assert np.array_equal(a, b) and not np.allclose(a, c)
    assert rl.rand(3).tolist() == want


def test_early_stopping_keeps_the_best_epoch() -> None:
    x, y = load_digits(return_X_y=True)
    x = x + np.random.default_rng(0).normal(0, 8, x.shape)  # noise that a large network learns by heart
    c = NeuralClassifier(hidden=(128,), early_stopping=True, validation_fraction=0.3,
                         patience=5, epochs=200, random_state=0)
    c.fit(x, y)
    assert c.n_iter_ == len(c.loss_curve_) == len(c.validation_curve_) == c.best_epoch_ + 5 < 200
    assert c.validation_curve_[c.best_epoch_ - 1] == min(c.validation_curve_)
    shorter = clone(c).set_params(epochs=c.best_epoch_).fit(x, y)
    np.testing.assert_allclose(c.predict_proba(x), shorter.predict_proba(x), atol=1e-5)


def test_pictures_reach_convolutions_with_their_shape() -> None:
    x, y = load_digits(return_X_y=True)
    a, b, p, q = train_test_split(x / 16, y, random_state=0)
    conv = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    c = NeuralClassifier(conv, input_shape=(1, 8, 8), epochs=8, members=2, random_state=0).fit(a, p)
    assert not c.module_.stacked and c.score(b, q) > 0.95
    with pytest.raises(ValueError, match="holds 81 numbers, but X has 64 features"):
        NeuralClassifier(conv, input_shape=(1, 9, 9)).fit(a, p)


def test_class_weight_finds_the_rare() -> None:
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.normal(0, 1, (950, 2)), generator.normal(1.5, 1, (50, 2))])
    y = np.repeat(["common", "rare"], [950, 50])
    share = [(NeuralClassifier(class_weight=w, epochs=30, random_state=0).fit(x, y).predict(x[950:]) == "rare").mean()
             for w in (None, "balanced", {"common": 1, "rare": 19})]
    assert share[0] < 0.6 < 0.75 < min(share[1:])


def test_other_losses_and_optimizers() -> None:
    x, y = load_iris(return_X_y=True)
    c = NeuralClassifier(criterion=focal_loss, optimizer=rl.optim.Adamax, random_state=0, epochs=150)
    assert c.fit(x, y).score(x, y) > 0.9
    r = NeuralRegressor(criterion=nn.functional.smooth_l1_loss, optimizer="rmsprop", lr=1e-3, random_state=0)
    assert r.fit(x[:, :3], x[:, 3]).score(x[:, :3], x[:, 3]) > 0.9


def test_regression_of_several_targets_of_any_scale() -> None:
    x, y = load_diabetes(return_X_y=True, scaled=True)
    x = StandardScaler().fit_transform(x)
    both = np.stack([1e4 * y, 1e-3 * x[:, 0] + 5], 1)
    r = NeuralRegressor(hidden=(32,), epochs=60, members=3, random_state=0).fit(x, both)
    assert r.predict(x).shape == both.shape and r.score(x, both) > 0.6
    assert NeuralRegressor(epochs=2).fit(x, y).predict(x).shape == y.shape


DIGITS = load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def digits() -> list[np.ndarray]:
    x, y = DIGITS
    return train_test_split(x[:900] / 16, y[:900], test_size=300, random_state=0)


@pytest.mark.parametrize("build", [
    lambda a, b: averaging([a, b, LogisticRegression()], weights=[2, 1, 1], epochs=15, random_state=0),
    lambda a, b: voting([a, b, LogisticRegression()], epochs=15, random_state=0),
    lambda a, b: bagging(a, 4, epochs=15, random_state=0),
    lambda a, b: boosting(a, 4, epochs=15, random_state=0),
    lambda a, b: stacking([a, LogisticRegression()], cv=3, epochs=15, random_state=0),
    lambda a, b: stacking([a, LogisticRegression()], final=nn.Linear(20, 10), cv=3, epochs=15),
    lambda a, b: BaggingClassifier(NeuralClassifier(a, epochs=15), n_estimators=3, random_state=0),
    lambda a, b: StackingClassifier([("net", NeuralClassifier(b, epochs=15)), ("line", LogisticRegression())], cv=2),
], ids=["averaging", "voting", "bagging", "boosting", "stacking", "neural final", "their bagging", "their stacking"])
def test_ensembles_of_modules_and_estimators(build: Callable[..., Any], digits: list[np.ndarray]) -> None:
    a, b, p, q = digits
    model = build(ensemble.mlp(64, 10, hidden=(32,)), ensemble.mlp(64, 10, hidden=(16, 16))).fit(a, p)
    assert model.score(b, q) > 0.88
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(b), model.predict(b))


@pytest.mark.parametrize("build", [
    lambda n: averaging([n, Ridge()], epochs=40),
    lambda n: bagging(n, 3, task="regression", epochs=40, random_state=0),
    lambda n: boosting(n, 3, task="regression", epochs=40, random_state=0),
    lambda n: stacking([n, Ridge()], cv=3, epochs=40)], ids=["averaging", "bagging", "boosting", "stacking"])
def test_ensembles_for_regression(build: Callable[..., Any]) -> None:
    x, y = load_diabetes(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    model = build(ensemble.mlp(10, 1, hidden=(16,))).fit(x[:300], y[:300])
    assert model.score(x[300:], y[300:]) > 0.35


def test_mistakes_are_named() -> None:
    x, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="one task"):
        averaging([LogisticRegression(), Ridge()])
    with pytest.raises(ValueError, match="one task"):
        averaging([Ridge()], task="classification")
    with pytest.raises(TypeError, match="a learner is a module"):
        bagging(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one learner"):
        stacking([])
    with pytest.raises(ValueError, match="optimizer must be one of"):
        NeuralClassifier(optimizer="adan").fit(x, y)
    with pytest.raises(ValueError, match="at least 2 classes, got 1 class"):
        NeuralClassifier().fit(x[:10], y[:10])
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        NeuralClassifier(epochs=0).fit(x, y)
    with pytest.raises(ValueError, match="validation_fraction must be between"):
        NeuralClassifier(early_stopping=True, validation_fraction=1.5).fit(x, y)


def test_without_scikit_learn_committees_work_and_estimators_name_the_extra() -> None:
    code = ("import sys; sys.modules['sklearn'] = None\nfrom rushlight import nn, ensemble\n"
            "ensemble.Committee([nn.Linear(1, 1)])\n"
            "try: ensemble.NeuralClassifier\nexcept ImportError as e: print(e)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "rushlight.ensemble.NeuralClassifier needs scikit-learn: pip install 'rushlight[sklearn]'\n"


def test_doctests() -> None:
    assert sum(doctest.testmod(m).failed for m in (estimators, combining)) == 0
