"""rushlight.rng against PyTorch: equal bits and an equal generator state after every call."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from rushlight import rng

torch = pytest.importorskip("torch")

SIZES = [*range(201), 1000, 4097, 40_003]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
INTEGERS = ["bool", "uint8", "int8", "int16", "int32", "int64"]


def np_dtype(name: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def bits(values) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = (values.view(torch.int16) if values.dtype == torch.bfloat16 else values).numpy()
    return values.view(f"u{values.itemsize}")


@pytest.fixture
def engine() -> rng.Engine:
    torch.manual_seed(7)
    return rng.Engine(7)


def same(engine: rng.Engine, mine: np.ndarray, theirs) -> None:
    assert mine.shape == tuple(theirs.shape)
    assert np.array_equal(bits(mine), bits(theirs))
    assert np.array_equal(engine.get_state(), torch.get_rng_state().numpy())


# name -> (ours, theirs), each of a size, a NumPy dtype or an empty tensor
REAL = {
    "rand": (lambda e, n, d: rng.uniform(e, n, 0.0, 1.0, d), lambda x: x.uniform_()),
    "uniform_ symmetric": (lambda e, n, d: rng.uniform(e, n, -0.0357, 0.0357, d),
                           lambda x: x.uniform_(-0.0357, 0.0357)),
    "uniform_": (lambda e, n, d: rng.uniform(e, n, 0.1, 3.7, d), lambda x: x.uniform_(0.1, 3.7)),
    "randn": (lambda e, n, d: rng.normal(e, n, 0.0, 1.0, d), lambda x: x.normal_()),
    "normal_": (lambda e, n, d: rng.normal(e, n, 0.3, 0.02, d), lambda x: x.normal_(0.3, 0.02)),
    "log_normal_": (lambda e, n, d: rng.log_normal(e, n, 1.0, 2.0, d), lambda x: x.log_normal_()),
    "log_normal_ infinite": (lambda e, n, d: rng.log_normal(e, n, 1.0, 900.0, d), lambda x: x.log_normal_(1.0, 900.0)),
    "exponential_": (lambda e, n, d: rng.exponential(e, n, 1.5, d), lambda x: x.exponential_(1.5)),
    "cauchy_": (lambda e, n, d: rng.cauchy(e, n, 0.5, 2.0, d), lambda x: x.cauchy_(0.5, 2.0)),
    "geometric_": (lambda e, n, d: rng.geometric(e, n, 0.3, d), lambda x: x.geometric_(0.3)),
    "random_": (rng.random_, lambda x: x.random_()),
    "random_(3, 200)": (lambda e, n, d: rng.random_(e, n, d, 3, 200), lambda x: x.random_(3, 200)),
    "bernoulli_": (lambda e, n, d: rng.bernoulli(e, 0.3, n).astype(d), lambda x: x.bernoulli_(0.3)),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", REAL)
def test_real_numbers(engine, name, dtype):
    ours, theirs = REAL[name]
    for n in SIZES:
        same(engine, ours(engine, n, np_dtype(dtype)), theirs(torch.empty(n, dtype=getattr(torch, dtype))))


def test_a_million_normal_numbers(engine):
    same(engine, rng.normal(engine, 1 << 20, 0.0, 1.0, "float32"), torch.randn(1 << 20))


@pytest.mark.parametrize("dtype", FLOATS)
def test_normal_numbers_of_a_tensor_that_is_not_contiguous(engine, dtype):
    theirs = torch.empty(5, 9, dtype=getattr(torch, dtype))
    theirs.t().normal_(0.5, 2.0)
    same(engine, rng.normal(engine, 45, 0.5, 2.0, np_dtype(dtype), contiguous=False).reshape(5, 9), theirs)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_random_of_integer_types(engine, dtype):
    for n in SIZES:
        same(engine, rng.random_(engine, n, dtype), torch.empty(n, dtype=getattr(torch, dtype)).random_())
        same(engine, rng.random_(engine, n, dtype, 1), torch.empty(n, dtype=getattr(torch, dtype)).random_(1, None))


@pytest.mark.filterwarnings("ignore:.*out of bounds")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("low, high", [(0, 2049), (-2051, 2051), (255, 4097), (-301, 60001), (0, 65504)])
def test_random_of_floating_types_with_bounds_they_cannot_hold(engine, low, high, dtype):
    mine = rng.random_(engine, 20_000, np_dtype(dtype), low, high)
    same(engine, mine, torch.empty(20_000, dtype=getattr(torch, dtype)).random_(low, high))
    assert mine.astype(np.float64).max() < high


@pytest.mark.parametrize("low, high", [(0, 10), (-5, 1000), (0, (1 << 28) - 1), (0, 1 << 28), (0, 1 << 32),
                                       (-(1 << 62), 1 << 62), (-(1 << 63), (1 << 63) - 1)])
def test_randint(engine, low, high):
    for n in SIZES:
        same(engine, rng.randint(engine, n, low, high, "int64"), torch.randint(low, high, (n,)))


@pytest.mark.parametrize("dtype", ["int64", "float64", "float32", "bfloat16"])
def test_full_64_bit_range(engine, dtype):
    theirs = torch.empty(99, dtype=getattr(torch, dtype)).random_(-(1 << 63), None)
    same(engine, rng.random_(engine, 99, np_dtype(dtype), -(1 << 63)), theirs)


@pytest.mark.parametrize("dtype", FLOATS)
def test_from_a_number_to_the_end(engine, dtype):
    theirs = torch.empty(99, dtype=getattr(torch, dtype)).random_(5, None)
    same(engine, rng.random_(engine, 99, np_dtype(dtype), 5), theirs)


@pytest.mark.parametrize("dtype", ["int64", "int32", "float32"])
def test_randperm(engine, dtype):
    for n in SIZES:
        same(engine, rng.randperm(engine, n, dtype), torch.randperm(n, dtype=getattr(torch, dtype)))


@pytest.mark.parametrize("dtype", FLOATS)
def test_bernoulli_with_a_probability_each(engine, dtype):
    for n in SIZES:
        p = torch.linspace(0, 1, n, dtype=getattr(torch, dtype))
        array = (p.float().numpy() if dtype == "bfloat16" else p.numpy()).astype(np_dtype(dtype))
        same(engine, rng.bernoulli(engine, array).astype(np_dtype(dtype)), torch.bernoulli(p))


def test_poisson(engine):
    for n in SIZES[:203]:
        rates = torch.arange(n) / 7
        same(engine, rng.poisson(engine, rates.numpy()).astype("f4"), torch.poisson(rates))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count, replacement", [(1, False), (1, True), (7, False), (9, True)])
def test_multinomial(engine, count, replacement, dtype):
    for n in range(7, 120):
        weights = torch.rand(3, n, dtype=getattr(torch, dtype))
        engine.set_state(torch.get_rng_state().numpy())
        mine = rng.multinomial(engine, weights.numpy(), count, replacement)
        same(engine, mine, torch.multinomial(weights, count, replacement))


@pytest.mark.parametrize("place", [41102971, 47888638, 56992496, 61053786])
def test_sign_of_a_normal_number_that_is_zero(place):
    # the word at this place of seed 0 makes u = 0, so the radius is -0.0 and so would be its product with a cosine > 0
    engine = rng.Engine(0)
    engine.words(place)
    torch.set_rng_state(torch.from_numpy(engine.get_state()))
    mine = rng.normal(engine, 16, 0.0, 1.0, "float32")
    assert mine[0] == 0 and mine[8] == 0
    same(engine, mine, torch.randn(16))


@pytest.mark.parametrize("warm", [0, 1, 2, 5, 15, 623, 624, 625, 1000])
def test_states_are_exchanged_both_ways(engine, warm):
    torch.randn(3)  # leaves the second half of a pair
    torch.rand(warm)
    mine = rng.Engine(1)
    mine.set_state(torch.get_rng_state().numpy())
    same(mine, rng.normal(mine, 5, 0.0, 1.0, "float32"), torch.randn(5))
    rng.uniform(mine, warm, 0.0, 1.0, "float32")
    torch.set_rng_state(torch.from_numpy(mine.get_state()))
    same(mine, rng.normal(mine, 7, 0.0, 1.0, "float64"), torch.randn(7, dtype=torch.float64))


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**53 + 1, 2**64 - 1, -1, -(2**63)])
def test_seeds(seed):
    mine, theirs = rng.Engine(seed), torch.Generator().manual_seed(seed)
    assert mine.initial_seed() == theirs.initial_seed()
    assert np.array_equal(mine.get_state(), theirs.get_state().numpy())
    assert np.array_equal(rng.uniform(mine, 9, 0.0, 1.0, "float32"), torch.rand(9, generator=theirs).numpy())


def test_public_functions_draw_the_same(engine):
    rl = pytest.importorskip("rushlight")
    for module in (rl, torch):
        module.manual_seed(11)
    for n in (1, 3, 15, 16, 17, 100):
        for call in (lambda m, n=n: m.rand(n), lambda m, n=n: m.randn(n), lambda m, n=n: m.randperm(n),
                     lambda m, n=n: m.randint(0, 10, (n,)), lambda m, n=n: m.empty(n).uniform_(-0.1, 0.3),
                     lambda m, n=n: m.empty(n).normal_(1.0, 0.2)):
            assert np.array_equal(call(rl).numpy(), call(torch).numpy())
