"""PyTorch's CPU random numbers in NumPy: the same values from the same seed.

uniform, normal, randint and randperm equal PyTorch's bit for bit but for the last digit of normal numbers drawn 16 or
more at a time, whose logarithm, sine and cosine come from NumPy. bernoulli with one probability, exponential,
geometric, cauchy, poisson and multinomial follow their distributions; PyTorch draws those from Intel MKL.
"""

from rushlight.rng.engine import Engine
from rushlight.rng.sampling import (bernoulli, cauchy, exponential, geometric, log_normal, multinomial, normal, poisson, randint, randperm, uniform)

default = Engine()
default.manual_seed(67280421310721)

__all__ = ["Engine", "bernoulli", "cauchy", "default", "exponential", "geometric", "log_normal", "multinomial", "normal", "poisson", "randint", "randperm",
           "uniform"]
