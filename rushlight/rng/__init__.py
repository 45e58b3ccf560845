"""PyTorch's CPU random numbers in NumPy: the same values from the same seed.

Every function takes an `Engine` and gives the numbers, and leaves the state, of PyTorch 2.13 on an x86-64 processor
with AVX2 for a contiguous CPU tensor of that size. Known limits:

- Older PyTorch built with Intel MKL draws `bernoulli_(number)` and `exponential_` from MKL's streams, and PyTorch
  without AVX2 rounds some normal and uniform numbers differently in the last digit.
- float64 functions are those of the C library that Python runs on; another C library may differ in the last digit.
- `poisson` uses Python's lgamma, which can decide a borderline rejection differently (none seen in the tests), and
  `multinomial` without replacement may order equal keys differently.
"""

from rushlight.rng.binomial import binomial
from rushlight.rng.continuous import cauchy, exponential, log_normal, normal, uniform
from rushlight.rng.discrete import bernoulli, geometric, multinomial, poisson
from rushlight.rng.engine import DEFAULT_SEED, Engine
from rushlight.rng.gamma import dirichlet, standard_gamma
from rushlight.rng.integers import randint, random_, randperm
from rushlight.rng.streams import current, default, own_stream

__all__ = ["DEFAULT_SEED", "Engine", "bernoulli", "binomial", "cauchy", "current", "default", "dirichlet",
           "exponential", "geometric", "log_normal", "multinomial", "normal", "own_stream",
           "poisson", "randint", "random_", "randperm", "standard_gamma", "uniform"]
