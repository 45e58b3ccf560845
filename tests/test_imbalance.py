"""Weights, samplers, focal loss and synthetic samples for classes of very different size."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import rushlight as rl
from rushlight import imbalance
from rushlight.data import DataLoader, TensorDataset
from rushlight.imbalance import (FocalLoss, balanced_accuracy, balanced_sampler, class_counts, class_weights,
                                 focal_loss, recalls, resample)

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60)


@settings(deadline=None, max_examples=30)
@given(LABELS, st.sampled_from([None, 0.9, 0.999]))
def test_weights_weigh_one_sample_on_average(labels: list[int], beta: float | None) -> None:
    w = class_weights(labels, classes=6, beta=beta).numpy()
    counts = np.bincount(labels, minlength=6)
    assert w.dtype == np.float32 and np.array_equal(w > 0, counts > 0)
    assert np.isclose(w[labels].mean(), 1, rtol=1e-5)
    present = counts > 0
    size = counts if beta is None else (1 - beta ** counts) / (1 - beta)
    share = w[present] * size[present]
    np.testing.assert_allclose(share, share[0], rtol=1e-5)


def test_weights_are_scikit_learns_balanced_ones() -> None:
    sk = pytest.importorskip("sklearn.utils.class_weight")
    labels = np.array([0] * 50 + [1] * 30 + [2] * 3)
    want = sk.compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(class_weights(labels).numpy(), want, rtol=1e-6)


def test_balanced_sampler_in_a_loader() -> None:
    labels = rl.tensor([0] * 900 + [1] * 90 + [2] * 10)
    rl.manual_seed(0)
    loader = DataLoader(TensorDataset(labels), batch_size=100, sampler=balanced_sampler(labels))
    drawn = class_counts(rl.cat([y for (y,) in loader])).numpy()
    assert drawn.sum() == 1000 and np.abs(drawn - 333).max() < 60


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(0, 5), st.booleans(), st.sampled_from(["none", "mean", "sum"]))
def test_focal_loss_by_its_formula(seed: int, gamma: float, weighted: bool, reduction: str) -> None:
    g = np.random.default_rng(seed)
    scores, y, w = g.normal(0, 3, (6, 4)), g.integers(0, 4, 6), g.uniform(0.1, 2, 4)
    p = np.exp(scores - scores.max(1, keepdims=True))
    p = (p / p.sum(1, keepdims=True))[np.arange(6), y]
    want = -(1 - p) ** gamma * np.log(p) * (w[y] if weighted else 1)
    got = FocalLoss(gamma, rl.from_numpy(w) if weighted else None, reduction)(rl.from_numpy(scores), rl.from_numpy(y))
    reduced = {"none": want, "mean": want.mean(), "sum": want.sum()}[reduction]
    np.testing.assert_allclose(got.numpy(), reduced, rtol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_has_right_and_finite_gradients(gamma: float) -> None:
    x = rl.tensor([[1.0, -0.5, 0.2], [0.1, 0.3, 2.0]], dtype=rl.float64, requires_grad=True)
    assert rl.autograd.gradcheck(lambda t: focal_loss(t, rl.tensor([0, 1]), gamma), (x,))
    sure = rl.tensor([[200.0, 0.0]], requires_grad=True)
    focal_loss(sure, rl.tensor([0]), gamma).backward()
    assert sure.grad.abs().max().item() < 1e-6


def test_focal_loss_of_two_classes_is_the_detection_losss() -> None:
    from rushlight.vision.ops import sigmoid_focal_loss
    z = rl.randn(20, dtype=rl.float64)
    y = (rl.rand(20) < 0.5).long()
    ours = focal_loss(rl.stack([rl.zeros_like(z), z], 1), y, gamma=2.0, reduction="none")
    theirs = sigmoid_focal_loss(z, y.double(), alpha=-1, gamma=2.0)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-9)


def test_pictures_may_have_a_class_for_each_pixel() -> None:
    loss = focal_loss(rl.zeros(2, 3, 4, 4), rl.zeros(2, 4, 4, dtype=rl.int64), weight=rl.tensor([2.0, 1.0, 1.0]))
    assert np.isclose(loss.item(), 2 * (2 / 3) ** 2 * np.log(3))


@settings(deadline=None, max_examples=30)
@given(LABELS, st.integers(0, 1000))
def test_balanced_accuracy_is_scikit_learns(labels: list[int], seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    guess = np.random.default_rng(seed).integers(0, 5, len(labels))
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = metrics.balanced_accuracy_score(labels, guess)
    assert np.isclose(balanced_accuracy(guess, labels), want)


def test_smote_between_neighbours() -> None:
    pytest.importorskip("imblearn")
    g = np.random.default_rng(0)
    x = np.concatenate([g.uniform(0, 1, (60, 1, 4, 4)), g.uniform(5, 6, (8, 1, 4, 4))]).astype(np.float32)
    y = np.repeat([0, 1], [60, 8])
    more, labels = resample(rl.from_numpy(x), rl.from_numpy(y), "SMOTE", random_state=0)
    assert more.shape == (120, 1, 4, 4) and more.dtype == rl.float32 and labels.dtype == rl.int64
    assert class_counts(labels).tolist() == [60, 60]
    new = more[labels == 1].numpy()
    assert new.min() >= 5 and new.max() <= 6 and len(np.unique(new.reshape(60, -1), axis=0)) > 50
    fewer, labels = resample(rl.from_numpy(x), rl.from_numpy(y), "RandomUnderSampler", random_state=0)
    assert class_counts(labels).tolist() == [8, 8] and len(fewer) == 16
    from imblearn.over_sampling import RandomOverSampler
    assert class_counts(resample(x, y, RandomOverSampler(random_state=0))[1]).tolist() == [60, 60]
    with pytest.raises(ValueError, match="no method 'SMOOTH'; it has ADASYN"):
        resample(x, y, "SMOOTH")


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="at least one integer, none below 0"):
        class_counts([])
    with pytest.raises(ValueError, match="label 3 is beyond the last of 2 classes"):
        class_weights([0, 3], classes=2)
    with pytest.raises(ValueError, match="gamma must be"):
        focal_loss(rl.zeros(1, 2), rl.tensor([0]), gamma=-1.0)
    with pytest.raises(ValueError, match="not a valid value for reduction"):
        focal_loss(rl.zeros(1, 2), rl.tensor([0]), reduction="average")
    assert np.isnan(recalls([0], [0], classes=2).numpy()[1])


def test_doctests() -> None:
    pytest.importorskip("imblearn")
    assert doctest.testmod(imbalance).failed == 0
