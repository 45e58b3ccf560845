"""Tensors of random numbers."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from rushlight import rng
from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType
from rushlight.ir.spec import iteration_order
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.creation import _positive, empty_like, ready
from rushlight.tensor.functions.common import give, shape_of
from rushlight.tensor.state import settings, state


def engine_of(generator: Any) -> Any:
    """The engine of a Generator, or the one that draws without a generator come from."""
    return rng.current() if generator is None else generator.engine


def _drawn(array: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    return wrap(array.reshape(shape))


def draws(sized: bool = False) -> Any:
    """Marks functions that draw random numbers: inside vmap, its ``randomness`` says how often they run.

    `sized`: the function takes nothing but a size, so that the samples' numbers can be drawn at once.
    """
    def mark(f: Any) -> Any:
        @functools.wraps(f)
        def call(*args: Any, **kwargs: Any) -> Any:
            level = state.level
            return f(*args, **kwargs) if level is None else level.draw(f, args, kwargs, sized)
        return call
    return mark


@draws(sized=True)
def rand(*size: Any, generator: Any = None, out: Any = None, dtype: DType | None = None, layout: Any = None,
         device: Any = None, requires_grad: bool = False, pin_memory: bool = False, names: Any = None,
         **kw: Any) -> Tensor:
    """Uniform numbers in [0, 1): the same as PyTorch's from the same seed.

    ``size`` is several integers or one sequence; the numbers follow ``generator`` or the default one.

    >>> import rushlight as rl
    >>> _ = rl.manual_seed(0)
    >>> rl.rand(3)
    tensor([0.4963, 0.7682, 0.0885])
    """
    shape = _positive(shape_of(kw.pop("size")) if "size" in kw else shape_of(*size))
    d = dtype or settings.default_dtype
    if d.is_complex:
        r = rng.uniform(engine_of(generator), 2 * math.prod(shape), 0.0, 1.0, d.to_real().numpy)
        return give(out, ready(_drawn(r.view(d.numpy), shape), requires_grad, device, layout))
    return give(out, ready(_drawn(rng.uniform(engine_of(generator), math.prod(shape), 0.0, 1.0, d.numpy), shape),
                           requires_grad, device, layout))


@draws(sized=True)
def randn(*size: Any, generator: Any = None, out: Any = None, dtype: DType | None = None, layout: Any = None,
          device: Any = None, requires_grad: bool = False, pin_memory: bool = False, names: Any = None,
          **kw: Any) -> Tensor:
    """Normal numbers of mean 0 and variance 1: the same as PyTorch's from the same seed.

    ``size`` is several integers or one sequence; the numbers follow ``generator`` or the default one.

    >>> import rushlight as rl
    >>> _ = rl.manual_seed(0)
    >>> rl.randn(3)
    tensor([ 1.5410, -0.2934, -2.1788])
    """
    shape = _positive(shape_of(kw.pop("size")) if "size" in kw else shape_of(*size))
    d = dtype or settings.default_dtype
    if d.is_complex:
        r = rng.normal(engine_of(generator), 2 * math.prod(shape), 0.0, math.sqrt(0.5), d.to_real().numpy)
        return give(out, ready(_drawn(r.view(d.numpy), shape), requires_grad, device, layout))
    return give(out, ready(_drawn(rng.normal(engine_of(generator), math.prod(shape), 0.0, 1.0, d.numpy), shape),
                           requires_grad, device, layout))


@draws()
def randint(*args: Any, low: int = 0, high: int | None = None, size: Any = None, generator: Any = None, out: Any = None,
            dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
            pin_memory: bool = False) -> Tensor:
    """Integers in [low, high). randint(high, size) or randint(low, high, size).

    int64 unless ``dtype`` says otherwise. RuntimeError where low is not below high.

    >>> import rushlight as rl
    >>> _ = rl.manual_seed(0)
    >>> rl.randint(0, 10, (5,))
    tensor([4, 9, 3, 0, 3])
    """
    rest = list(args)
    if size is None:
        size = rest.pop()
    if len(rest) == 2:
        low, high = rest
    elif len(rest) == 1:
        low, high = (low, rest[0]) if high is None else (rest[0], high)
    shape = _positive(shape_of(size))
    low, high = int(low), int(high)
    if high <= low:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    d = dtype or dtypes.int64
    values = rng.randint(engine_of(generator), math.prod(shape), low, high, np.dtype(np.int64)).astype(d.numpy)
    return give(out, ready(_drawn(values, shape), requires_grad, device, layout))


@draws()
def randperm(n: int, *, generator: Any = None, out: Any = None, dtype: DType = dtypes.int64, layout: Any = None,
             device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A random order of 0 … n-1: the same as PyTorch's from the same seed.

    int64 unless ``dtype`` says otherwise, shape (n,).

    >>> import rushlight as rl
    >>> _ = rl.manual_seed(0)
    >>> rl.randperm(4)
    tensor([0, 1, 3, 2])
    """
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    return give(out, ready(wrap(rng.randperm(engine_of(generator), n, np.dtype(np.int64)).astype(dtype.numpy)),
                           requires_grad, device, layout))


def in_memory_order(values: np.ndarray, s: Any) -> np.ndarray:
    """Flat random numbers in the shape of a spec: PyTorch fills memory from
    its start, whatever the order of dimensions."""
    order = None if s.contiguous else iteration_order(s.shape, [s])
    if order is None:
        return values.reshape(s.shape)
    inverse = sorted(range(len(order)), key=order.__getitem__)
    return values.reshape([s.shape[d] for d in order]).transpose(inverse)


def _like_random(function: Any, name: str) -> Any:
    fill = {"rand_like": "uniform_", "randn_like": "normal_", "randint_like": "random_"}[name]

    def like(input: Tensor, *args: Any, dtype: DType | None = None, layout: Any = None, device: Any = None,
             requires_grad: bool = False, memory_format: Any = None, generator: Any = None, **kw: Any) -> Tensor:
        if (memory_format is not None or not input._spec.contiguous) and not kw and state.level is None:  # in the order of memory
            t = empty_like(input, dtype=dtype, memory_format=memory_format)
            getattr(t, fill)(*((0, *args) if len(args) == 1 else args), generator=generator)
        else:
            t = function(*args, size=input._spec.shape, dtype=dtype or input._spec.dtype, generator=generator, **kw)
        return ready(t, requires_grad, device, layout)
    like.__name__ = like.__qualname__ = name
    like.__doc__ = f"`{function.__name__}` in the shape and dtype of ``input``."
    return like


rand_like, randn_like, randint_like = _like_random(rand, "rand_like"), _like_random(randn, "randn_like"), _like_random(
    randint, "randint_like")


@draws()
def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Any = None, out: Any = None,
           dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
           pin_memory: bool = False) -> Tensor:
    """Normal numbers; mean and std are numbers or tensors."""
    if isinstance(std, Tensor) and std._spec.dtype.is_complex:
        raise RuntimeError("normal expects standard deviation to be non-complex")
    if not isinstance(std, Tensor) and std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        model = mean if isinstance(mean, Tensor) else std
        shape = (model * 1 + (std if isinstance(std, Tensor) else 0) * 0)._spec.shape
        base = randn(shape, generator=generator, dtype=dtype or model._spec.dtype)
        return give(out, base * std + mean)
    d = dtype or settings.default_dtype
    shape = shape_of(size)
    if d.is_complex:
        return give(out, ready(randn(shape, generator=generator, dtype=d) * std + mean, requires_grad, device, layout))
    return give(out, ready(_drawn(rng.normal(engine_of(generator), math.prod(shape), float(mean), float(std), d.numpy),
                                  shape), requires_grad, device, layout))


@draws()
def bernoulli(input: Tensor, p: Any = None, *, generator: Any = None, out: Any = None) -> Tensor:
    """1 with probability input (or p), else 0."""
    prob = input if p is None else p
    if isinstance(prob, Tensor):
        values = rng.bernoulli(engine_of(generator), unwrap(prob.detach().broadcast_to(input._spec.shape)))
    else:
        values = rng.bernoulli(engine_of(generator), float(prob), input._spec.numel)
    return give(out, wrap(np.asarray(values).reshape(input._spec.shape).astype(input._spec.dtype.numpy)))


@draws()
def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None,
                out: Any = None) -> Tensor:
    """num_samples column numbers of each row, drawn with the row's weights.

    Weights (n,) or (rows, n) of floats that are not negative; int64 out.
    RuntimeError for too many draws without replacement.

    >>> import rushlight as rl
    >>> rl.multinomial(rl.tensor([0.0, 1.0]), 2, replacement=True)
    tensor([1, 1])
    """
    weights = unwrap(input.detach())
    if input._spec.dtype.kind != "f":
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {input.dtype}")
    if not 1 <= weights.ndim <= 2:
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    return give(out, wrap(np.ascontiguousarray(
        rng.multinomial(engine_of(generator), weights, num_samples, replacement), np.int64)))


@draws()
def poisson(input: Tensor, generator: Any = None) -> Tensor:
    """Poisson numbers with the elements as rates."""
    return wrap(np.asarray(rng.poisson(engine_of(generator), unwrap(input.detach()))).astype(input._spec.dtype.numpy))


__all__ = ["rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal", "bernoulli",
           "multinomial", "poisson"]
