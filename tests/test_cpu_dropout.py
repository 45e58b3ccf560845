"""Dropout and random masks as generated loops: the numbers of NumPy's path, whoever draws them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from executors import at_first_sight  # noqa: F401
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
import rushlight.nn.functional as F
from rushlight.exec.cpu import dropout, executor
from rushlight.exec.numpy import kernels
from rushlight.exec.realize import clear_plans
from rushlight.ops.table import TABLE
from rushlight.exec import splitmix
from rushlight.tensor.core import apply

pytestmark = pytest.mark.skipif(not executor.available(), reason="no compiler on this machine")
SHAPES = st.lists(st.integers(1, 20), min_size=1, max_size=4).map(tuple) | st.tuples(st.integers(1, 3), st.integers(30, 5000))


def test_the_numbers_are_those_of_splitmix64():
    """The generator as published, one after the other."""
    mask, state, wanted = (1 << 64) - 1, 0x0123456789ABCDEF, []
    for _ in range(500):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        wanted.append(((z ^ z >> 31) >> 40) / (1 << 24))
    assert splitmix.unit24(0x0123456789ABCDEF, 0, 500).tolist() == wanted
    assert splitmix.unit24(0x0123456789ABCDEF, 123, 321).tolist() == wanted[123:321]


def test_the_first_numbers_of_seed_0_are_the_known_ones():
    """0xE220A8397B1DCDAF and 0x6E789E6AA1B965F4 of the reference implementation."""
    assert splitmix.unit24(0, 0, 2).tolist() == [(0xE220A8397B1DCDAF >> 40) / (1 << 24), (0x6E789E6AA1B965F4 >> 40) / (1 << 24)]


def compiled(name: str, args: tuple[Any, ...], attrs: tuple[Any, ...] = ()) -> list[np.ndarray]:
    """An operation by the native executor, none of it by NumPy."""
    with rl.profile() as p:
        found = apply(TABLE[name], args, attrs)
        arrays = [np.array(t.tolist()) for t in (found if isinstance(found, list) else [found])]
    assert p.events and not any("numpy" in e.title for e in p.events)
    return arrays


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.sampled_from([0.0, 0.1, 0.5, 0.75, 0.999, 1.0]) | st.floats(0, 1), st.integers(0, 2**63 - 1), st.sampled_from([np.float32, np.float64]),
       st.sampled_from(["plain", "turned", "gaps"]))
def test_loops_draw_what_numpy_draws(shape, p, seed, dtype, lies):
    x = np.random.default_rng(0).standard_normal((*shape, 2)).astype(dtype)
    x = x[..., 0] if lies == "gaps" else np.ascontiguousarray(x[..., 0])
    values, mask = compiled("dropout", (rl.from_numpy(x.T if lies == "turned" else x), p, seed))
    if lies == "turned":  # a result lies as its operand does, and is drawn in the order of memory
        values, mask = values.T, mask.T
    wanted, kept = kernels.dropout(x, p, seed)
    assert np.array_equal(mask, kept) and np.array_equal(values.astype(dtype), wanted)
    assert np.array_equal(compiled("random_mask", (p, seed), (shape,))[0], splitmix.keep(p, seed, shape))


def test_a_mask_depends_on_the_place_in_memory_order_alone():
    assert np.array_equal(splitmix.keep(0.5, 9, (60, 70)).reshape(-1), splitmix.keep(0.5, 9, (4200,)))
    flat, square = (compiled("random_mask", (0.5, 9), (shape,))[0] for shape in ((4200,), (60, 70)))
    assert np.array_equal(flat, square.reshape(-1))


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_threads_draw_the_same(count):
    before = rl.get_num_threads()
    try:
        rl.set_num_threads(count)
        clear_plans()
        x = rl.ones(300, 1000)
        values, mask = compiled("dropout", (x, 0.3, 77))
        assert np.array_equal(mask, splitmix.keep(0.3, 77, (300, 1000)))
    finally:
        rl.set_num_threads(before)


def test_as_many_are_kept_as_asked_for():
    for p in (0.1, 0.5, 0.9):
        for seed in range(5):
            kept = splitmix.keep(p, seed, (400, 1000))
            deviation = math.sqrt(400_000 * p * (1 - p))
            assert abs(kept.sum() - 400_000 * (1 - p)) < 5 * deviation
            for dim, size in ((0, 400), (1, 1000)):  # neither rows nor columns stand out
                sums = kept.sum(dim)
                assert abs(sums - size * (1 - p)).max() < 6 * math.sqrt(size * p * (1 - p))
            pairs = (kept[:, 1:] & kept[:, :-1]).sum()
            assert abs(pairs - kept[:, 1:].size * (1 - p) ** 2) < 6 * math.sqrt(kept.size * (1 - p) ** 2)


def test_neighbouring_seeds_have_nothing_in_common():
    masks = np.stack([splitmix.keep(0.5, seed, (10_000,)) for seed in range(20)]) * 2.0 - 1
    shared = abs(masks @ masks.T / 10_000 - np.eye(20))
    assert shared.max() < 0.06


def test_a_gradient_flows_where_the_value_did():
    rl.manual_seed(0)
    x = rl.randn(30, 50, requires_grad=True)
    for p in (0.25, 1.0):
        x.grad = None
        y = F.dropout(x * 2, p)
        (y * 3).sum().backward()
        assert np.array_equal(np.array(x.grad.tolist()) != 0, np.array(y.tolist()) != 0)
        np.testing.assert_allclose(x.grad.detach(), np.where(np.array(y.tolist()) != 0, 6 / (1 - p) if p < 1 else 0, 0), rtol=1e-6)


def test_training_with_dropout_is_the_same_by_loops_and_by_numpy(monkeypatch):
    def run() -> list[Any]:
        clear_plans()
        rl.manual_seed(0)
        model = rl.nn.Sequential(rl.nn.Linear(20, 64), rl.nn.ReLU(), rl.nn.Dropout(0.5), rl.nn.LayerNorm(64), rl.nn.Dropout(0.1), rl.nn.Linear(64, 3))
        optimizer = rl.optim.SGD(model.parameters(), lr=0.1)
        x, y, losses = rl.randn(16, 20), rl.arange(16) % 3, []
        for _ in range(8):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses
    found = run()
    monkeypatch.setattr(dropout, "fits", lambda instr: False)
    np.testing.assert_array_equal(run(), found)


def test_equal_shapes_share_no_counters_in_memory():
    """What is cheap to draw again is not kept: no value of a plan with dropout has more than one byte for each element."""
    x = rl.ones(512, 256)
    with rl.profile() as p:
        (F.dropout(x, 0.1).exp() + F.dropout(x, 0.2).exp() + F.dropout(x, 0.3).exp()).sum().item()
    assert sum("splitmix" in e.title for e in p.events) and max(e.bytes for e in p.events) < 9 * x.numel() * 4


@pytest.mark.parametrize("layer", [rl.nn.Dropout1d(0.5), rl.nn.Dropout2d(0.5), rl.nn.Dropout3d(0.5), rl.nn.AlphaDropout(0.5)], ids=lambda m: type(m).__name__)
def test_other_dropouts(layer):
    rl.manual_seed(0)
    shape = {"Dropout1d": (4, 6, 30), "Dropout2d": (4, 6, 5, 6), "Dropout3d": (4, 6, 2, 3, 5)}.get(type(layer).__name__, (40, 50))
    y = np.array(layer(rl.ones(shape)).tolist()).reshape(24, -1) if len(shape) > 2 else np.array(layer(rl.ones(shape)).tolist())
    if len(shape) > 2:
        assert ((y == 0) | (y == 2)).all() and (y == y[:, :1]).all() and 0 < (y[:, 0] == 0).sum() < 24
    else:
        assert len(np.unique(y)) == 2 and 0.4 < (y == y.min()).mean() < 0.6
