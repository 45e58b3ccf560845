"""rushlight.rng by itself: fixed values, exact rounding, properties, and the Generator class."""

from __future__ import annotations

import copy
import math
import pickle
import threading
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rushlight as rl
from rushlight import rng
from rushlight.random import Generator, default_generator, fork_rng
from rushlight.rng import compiled, exact
from rushlight.rng.exact import fma32, fma64, rounded
from rushlight.rng.integers import apply_exchanges, inside_out


def test_mt19937_published_values():
    engine = rng.Engine(5489)
    assert engine.random() == 3499211612
    assert engine.words(9999)[-1] == 4123659995  # the 10,000th number, given in the C++ standard


# The first values of PyTorch 2.13 after manual_seed(0).
GOLDEN = {
    "rand": (lambda e: rng.uniform(e, 3, 0.0, 1.0, "float32"),
        ["0x1.fc2ab00000000p-2", "0x1.89545e0000000p-1", "0x1.6a67500000000p-4"]),
    "rand float64": (lambda e: rng.uniform(e, 3, 0.0, 1.0, "float64"),
        ["0x1.f0aac97c4aa2fp-1", "0x1.6a675d821ccc0p-1", "0x1.d6687b744a5f6p-2"]),
    "uniform_": (lambda e: rng.uniform(e, 3, -0.0357, 0.0357, "float32"),
        ["-0x1.18434a0000000p-12", "0x1.39c5460000000p-6", "-0x1.e168060000000p-6"]),
    "randn of 3": (lambda e: rng.normal(e, 3, 0.0, 1.0, "float32"),
        ["0x1.8a7eb80000000p+0", "-0x1.2c78a00000000p-2", "-0x1.16e2920000000p+1"]),
    "randn of 17": (lambda e: rng.normal(e, 17, 0.0, 1.0, "float32")[[0, 1, 8, 16]],
        ["-0x1.20370a0000000p+0", "-0x1.b2288c0000000p+0", "0x1.df54aa0000000p-2", "0x1.dd18600000000p-1"]),
    "normal_ of 40": (lambda e: rng.normal(e, 40, 0.3, 0.02, "float32")[[0, 8, 39]],
        ["0x1.1c24900000000p-2", "0x1.39ccda0000000p-2", "0x1.5626ee0000000p-2"]),
    "randn float64 of 16": (lambda e: rng.normal(e, 16, 0.0, 1.0, "float64")[[0, 8]],
        ["-0x1.27bb92e9262dcp+1", "-0x1.4bae386384915p+0"]),
    "randint": (lambda e: rng.randint(e, 6, 0, 10, "int64"),
        [4, 9, 3, 0, 3, 9]),
    "randint wide": (lambda e: rng.randint(e, 2, 0, 1 << 40, "int64"),
        [741280623151, 506137267392]),
    "randperm": (lambda e: rng.randperm(e, 10, "int64"),
        [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]),
    "bernoulli": (lambda e: rng.bernoulli(e, 0.5, 8),
        [0, 0, 1, 0, 0, 0, 1, 1]),
    "exponential_": (lambda e: rng.exponential(e, 2, 1.0, "float32"),
        ["0x1.c110d60000000p+1", "0x1.3afa7e0000000p+0"]),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values(name):
    draw, want = GOLDEN[name]
    want = [float.fromhex(w) if isinstance(w, str) else w for w in want]
    assert draw(rng.Engine(0)).tolist() == want


@given(st.integers(0, 2**32 - 1), st.integers(-30, 30), st.integers(-60, 30))
def test_fma32_rounds_once(seed, scale, offset):
    r = np.random.default_rng(seed)
    a, b = r.standard_normal((2, 64)).astype("f4") * np.float32(2.0) ** np.float32(scale // 2)
    c = (r.standard_normal(64) * 2.0 ** offset).astype("f4")
    for got, x, y, z in zip(fma32(a, b, c), a, b, c, strict=True):
        assert got == nearest32(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)))


def nearest32(exact: Fraction) -> np.float32:
    near = np.float32(float(exact))
    around = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    return min(around, key=lambda f: (abs(Fraction(float(f)) - exact), int(f.view("i4")) & 1))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("tiny", [2.0**-60, -(2.0**-60), 0.0])
def test_fma32_at_a_halfway_sum(tiny, sign):
    # # The product 1 + 2**-11 + 2**-24 lies halfway between two float32 numbers;
    # only the tiny addend says which is nearer.
    a, b = np.float32(sign * (1 + 2.0**-12)), np.float32(1 + 2.0**-12)
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(tiny)
    assert fma32(a, b, np.float32(tiny))[0] == nearest32(exact)


@given(st.integers(0, 2**32 - 1), st.integers(-100, 100))
def test_fma64_rounds_once(seed, offset):
    r = np.random.default_rng(seed)
    a, b = r.standard_normal((2, 32))
    c = -a * b if offset == 0 else r.standard_normal(32) * 2.0**offset
    for got, x, y, z in zip(fma64(a, b, c), a, b, c, strict=True):
        assert float(got) == float(Fraction(x) * Fraction(y) + Fraction(z))


@pytest.mark.parametrize("tiny", [2.0**-120, -(2.0**-120), 0.0])
def test_fma64_at_a_halfway_sum(tiny):
    a, b = 1 + 2.0**-26, 1 + 2.0**-27  # the product ends in 2**-53, half a last digit
    for sign in (1, -1):
        exact = sign * Fraction(a) * Fraction(b) + Fraction(tiny)
        assert float(fma64(sign * a, b, tiny)) == float(exact)


@given(st.data(), st.integers(0, 40))
def test_exchanges_and_inside_out_equal_their_loops(data, n):
    targets = [data.draw(st.integers(i, n - 1)) for i in range(n)]
    order = list(range(n))
    for i, t in enumerate(targets):
        order[i], order[t] = order[t], order[i]
    assert apply_exchanges(np.array(targets, np.int64), n).tolist() == order
    places = [data.draw(st.integers(0, i)) for i in range(n)]
    built = [0] * n
    for i, z in enumerate(places):
        built[i] = i
        built[i], built[z] = built[z], i
    assert inside_out(np.array(places, np.int64)).tolist() == built


@pytest.mark.parametrize("draw, mean, deviation", [
    (lambda e: rng.normal(e, 200_000, 2.0, 3.0, "float32"), 2, 3),
    (lambda e: rng.uniform(e, 200_000, -1.0, 3.0, "float32"), 1, 4 / math.sqrt(12)),
    (lambda e: rng.exponential(e, 200_000, 0.5, "float64"), 2, 2),
    (lambda e: rng.geometric(e, 200_000, 0.25, "float32"), 4, math.sqrt(12)),
    (lambda e: rng.poisson(e, np.full(20_000, 3.0)), 3, math.sqrt(3)),
    (lambda e: rng.poisson(e, np.full(20_000, 40.0)), 40, math.sqrt(40)),
    (lambda e: rng.bernoulli(e, 0.2, 200_000), 0.2, 0.4),
    (lambda e: rng.multinomial(e, np.array([1.0, 2.0, 1.0], "f4"), 100_000, True), 1, math.sqrt(0.5)),
])
def test_moments(draw, mean, deviation):
    values = draw(rng.Engine(1)).astype(np.float64)
    assert abs(values.mean() - mean) < 5 * deviation / math.sqrt(values.size)
    assert abs(values.std() - deviation) < 0.05 * deviation


def test_bad_arguments():
    engine = rng.Engine(0)
    for call in (lambda: rng.randint(engine, 3, 5, 5, "int64"), lambda: rng.randperm(engine, -1, "int64"),
                 lambda: rng.bernoulli(engine, 1.5, 3), lambda: rng.geometric(engine, 3, 1.0, "float32"),
                 lambda: rng.cauchy(engine, 3, 0.0, 0.0, "float32"), lambda: rng.poisson(engine, np.array([-1.0])),
                 lambda: rng.log_normal(engine, 3, 0.0, 0.0, "float32"),
                 lambda: rng.multinomial(engine, np.array([0.0, 0.0]), 1, False),
                 lambda: rng.multinomial(engine, np.array([1.0, np.nan]), 1, True),
                 lambda: rng.multinomial(engine, np.array([1.0, 1.0]), 3, False),
                 lambda: engine.set_state(np.zeros(5056, np.uint8)), lambda: engine.set_state(np.zeros(3, np.uint8))):
        before = engine.get_state()
        with pytest.raises(RuntimeError):
            call()
        assert np.array_equal(before, engine.get_state())


def test_threads_share_a_stream_without_losing_numbers():
    engine, parts = rng.Engine(3), []
    threads = [threading.Thread(target=lambda: parts.append(engine.words(20_000))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert np.array_equal(np.sort(np.concatenate(parts)), np.sort(rng.Engine(3).words(160_000)))


def test_generator_state_clone_copy_and_pickle():
    g = Generator().manual_seed(5)
    rl.randn(3, generator=g)
    others = [g.clone_state(), copy.deepcopy(g), pickle.loads(pickle.dumps(g)), Generator().set_state(g.get_state())]
    want = rl.randn(20, generator=g).tolist()
    for other in others:
        assert other.initial_seed() == 5 and other.device == g.device
        assert rl.randn(20, generator=other).tolist() == want


def test_generator_errors():
    g = Generator("cpu")
    for kind, call in ((RuntimeError, lambda: g.manual_seed(1.5)), (RuntimeError, lambda: g.manual_seed(True)),
                       (ValueError, lambda: g.manual_seed(1 << 64)), (TypeError, lambda: g.set_state([1])),
                       (TypeError, lambda: g.set_state(rl.zeros(5056))), (RuntimeError, lambda: g.get_offset()),
                       (RuntimeError, lambda: g.set_state(rl.zeros(5056, dtype=rl.uint8))),
                       (AttributeError, lambda: setattr(g, "device", "cpu"))):
        with pytest.raises(kind):
            call()
    assert g.initial_seed() == 67280421310721


def test_global_stream_and_fork_rng():
    assert rl.manual_seed(4) is default_generator and rl.initial_seed() == 4
    state = rl.get_rng_state()
    assert state.dtype == rl.uint8 and tuple(state.shape) == (5056,)
    with pytest.raises(KeyError), fork_rng():
        inside = rl.rand(4).tolist()
        raise KeyError
    assert rl.rand(4).tolist() == inside
    rl.set_rng_state(state)
    with fork_rng(enabled=False):
        assert rl.rand(4).tolist() == inside
    assert rl.rand(4).tolist() != inside
    assert rl.seed() == rl.initial_seed()


@pytest.mark.parametrize("steps", [-4, -1, 1, 4])
def test_what_is_near_is_rounded_as_what_is_exact(steps):
    """Also where the exact number lies next to the middle between two numbers of fewer bits."""
    middles = (np.arange(1, 2000) + 0.5) * 2.0 ** -20 + 1.0
    x = np.concatenate([middles, np.nextafter(middles, 0), np.nextafter(middles, 9), np.random.default_rng(0).random(5000), -middles])

    def near(v):
        for _ in range(abs(steps)):
            v = np.nextafter(v, np.inf if steps > 0 else -np.inf)
        return v
    for kind in (np.float16, np.float32):
        np.testing.assert_array_equal(rounded(float, near, x, lambda v: v.astype(kind)), x.astype(kind))
    np.testing.assert_array_equal(rounded(float, near, x, lambda v: v * 1.0), x)  # nothing is rounded away: all are computed exactly


@pytest.mark.parametrize("function", [math.log, math.log1p, math.cos, math.sin, math.tan])
def test_a_kernel_calls_the_same_function_of_the_c_library(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bits of calls one by one, whether a kernel makes them or Python."""
    x = np.random.default_rng(5).uniform(1e-9, 6.3, 1 << 14)
    expected = np.array([function(v) for v in x.tolist()])
    assert exact.libm(function, x).tobytes() == expected.tobytes()
    monkeypatch.setattr(compiled.Chance, "there", True)
    assert compiled.wanted_map(x.size) == compiled._available()
    assert exact.libm(function, x).tobytes() == exact.libm(function, x[:, None].repeat(2, 1)[:, 0]).tobytes() == expected.tobytes()
