"""Sobol' sequences and the state of generators against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight as rl
from rushlight.quasirandom import SobolEngine

torch = pytest.importorskip("torch")
Theirs = torch.quasirandom.SobolEngine


@pytest.mark.parametrize("scramble", [False, True])
@pytest.mark.parametrize("dimension", [1, 2, 7, 64])
def test_points(dimension, scramble):
    ours, theirs = SobolEngine(dimension, scramble, seed=3), Theirs(dimension, scramble, seed=3)
    np.testing.assert_array_equal(ours.sobolstate.numpy(), theirs.sobolstate.numpy())
    np.testing.assert_array_equal(ours.shift.numpy(), theirs.shift.numpy())
    assert repr(ours) == repr(theirs)
    for n in (1, 3, 16):
        a, b = ours.draw(n), theirs.draw(n)
        assert a.dtype is rl.float32
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert ours.fast_forward(100) is ours
    theirs.fast_forward(100)
    np.testing.assert_array_equal(ours.draw(5, dtype=rl.float64).numpy(), theirs.draw(5, dtype=torch.float64).numpy())
    assert ours.num_generated == theirs.num_generated == 125
    np.testing.assert_array_equal(ours.reset().draw_base2(4).numpy(), theirs.reset().draw_base2(4).numpy())
    fresh, other = SobolEngine(dimension).fast_forward(9), Theirs(dimension).fast_forward(9)
    np.testing.assert_array_equal(fresh.draw(2).numpy(), other.draw(2).numpy())


def test_scrambling_from_the_global_generator():
    rl.manual_seed(5)
    torch.manual_seed(5)
    np.testing.assert_array_equal(SobolEngine(3, True).draw(8).numpy(), Theirs(3, True).draw(8).numpy())


def test_many_dimensions_read_the_table_of_scipy():
    pytest.importorskip("scipy")
    np.testing.assert_array_equal(SobolEngine(300).draw(9).numpy(), Theirs(300).draw(9).numpy())


def test_results_go_into_out():
    out = rl.empty(0)
    assert SobolEngine(2).draw(3, out=out) is out
    assert out.tolist() == [[0, 0], [0.5, 0.5], [0.75, 0.25]]


@pytest.mark.parametrize("bad", [lambda e: e(0), lambda e: e(21202),
                                 lambda e: (lambda s: (s.draw(3), s.draw_base2(2)))(e(2))])
def test_errors(bad):
    with pytest.raises(ValueError) as theirs:
        bad(Theirs)
    with pytest.raises(ValueError) as ours:
        bad(SobolEngine)
    assert str(ours.value) == str(theirs.value)


def test_integrals_converge_faster_than_random_ones():
    x = SobolEngine(4).draw(4096, dtype=rl.float64)
    assert abs(((x * 2).prod(1)).mean().item() - 1) < 2e-3


# --- torch.random -----------------------------------------------------------------------------------------------------
def test_fork_rng():
    for lib in (rl, torch):
        lib.manual_seed(1)
        before = lib.get_rng_state().numpy().copy()
        with pytest.raises(KeyError), lib.random.fork_rng():
            lib.rand(5)
            raise KeyError
        np.testing.assert_array_equal(lib.get_rng_state().numpy(), before)
        with lib.random.fork_rng(enabled=False):
            lib.rand(5)
        assert (lib.get_rng_state().numpy() != before).any()


def test_generator_methods():
    a, b = rl.Generator(), torch.Generator()
    assert a.initial_seed() == b.initial_seed() == rl.Generator().initial_seed()
    a.manual_seed(7)
    b.manual_seed(7)
    np.testing.assert_array_equal(a.get_state().numpy(), b.get_state().numpy())
    np.testing.assert_array_equal(rl.randn(5, generator=a).numpy(), torch.randn(5, generator=b).numpy())
    copy = a.clone_state()
    expected = rl.rand(3, generator=a).tolist()
    assert rl.rand(3, generator=copy).tolist() == expected
    other = rl.Generator()
    other.set_state(rl.tensor(b.get_state().numpy()))
    assert rl.rand(3, generator=other).tolist() == torch.rand(3, generator=b).tolist()
    assert other.graphsafe_set_state(a.graphsafe_get_state()) is other
    assert rl.rand(3, generator=other).tolist() == rl.rand(3, generator=a).tolist()
    assert a.device.type == b.device.type == "cpu"
    assert a.seed() == a.initial_seed()
    for method, args in (("get_offset", ()), ("set_offset", (0,))):
        with pytest.raises(RuntimeError):
            getattr(b, method)(*args)
        with pytest.raises(RuntimeError):
            getattr(a, method)(*args)
    for g, lib in ((a, rl), (b, torch)):
        with pytest.raises(TypeError):
            g.set_state([1, 2])
        with pytest.raises(RuntimeError):
            g.set_state(lib.zeros(3, dtype=lib.uint8))
        with pytest.raises(RuntimeError):
            g.manual_seed(1.5)


def test_seeds_of_the_global_generator():
    seed = rl.seed()
    assert rl.initial_seed() == rl.random.initial_seed() == seed == rl.default_generator.initial_seed()
    rl.random.manual_seed(4)
    torch.random.manual_seed(4)
    assert rl.random.thread_safe_generator() is torch.random.thread_safe_generator() is None
    np.testing.assert_array_equal(rl.random.get_rng_state().numpy(), torch.random.get_rng_state().numpy())
    rl.random.set_rng_state(rl.tensor(torch.manual_seed(9).get_state().numpy()))
    assert rl.rand(2).tolist() == torch.rand(2).tolist()
    assert set(torch.random.__all__) <= set(rl.random.__all__)
