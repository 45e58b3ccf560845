"""Random numbers with parameters per element that are differentiable, or that only distributions draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight import rng
from rushlight.autograd.function import Function, once_differentiable
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.drawing import draws, engine_of
from rushlight.tensor.implicit import beta_derivatives, gamma_derivative

__all__ = ["binomial", "_standard_gamma", "_standard_gamma_grad", "_sample_dirichlet", "_dirichlet_grad"]


def _floating(name: str, t: Tensor) -> None:
    if t._spec.dtype.kind != "f":
        raise NotImplementedError(f"\"{name}\" not implemented for '{t._spec.dtype.name.capitalize()}'")


def _numbers(t: Tensor) -> np.ndarray:
    return unwrap(t.detach()).astype(np.float64)


@draws()
def binomial(count: Tensor, prob: Tensor, generator: Any = None) -> Tensor:
    """Successes in ``count`` trials of probability ``prob``: two floating tensors
    of one shape, the same numbers as PyTorch's.

    Fewer than 10 expected successes: waiting times; else W. Hörmann's transformed rejection. It has no gradient.
    RuntimeError for different dtypes.

    >>> import rushlight as rl
    >>> _ = rl.manual_seed(0); rl.binomial(rl.full((3,), 10.), rl.full((3,), 0.5))
    tensor([7., 5., 5.])
    """
    _floating("binomial_cpu", count)
    if count._spec.dtype is not prob._spec.dtype:
        raise RuntimeError(f"Found dtype {prob._spec.dtype.name} but expected {count._spec.dtype.name}")
    shape = np.broadcast_shapes(count._spec.shape, prob._spec.shape)
    pair = [np.broadcast_to(unwrap(t.detach()), shape) for t in (count, prob)]
    return wrap(rng.binomial(engine_of(generator), *pair).astype(count._spec.dtype.numpy))


class StandardGammaBackward(Function):
    """Gamma numbers with implicit gradients."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor, generator: Any) -> Tensor:
        x = wrap(rng.standard_gamma(engine_of(generator), unwrap(alpha)))
        ctx.save_for_backward(alpha, x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return g * _standard_gamma_grad(*ctx.saved_tensors), None


@draws()
def _standard_gamma(input: Tensor, generator: Any = None) -> Tensor:
    """Gamma numbers of scale 1 with the elements as shapes; their gradient is `_standard_gamma_grad`."""
    _floating("gamma_cpu", input)
    return StandardGammaBackward.apply(input, generator)


def _standard_gamma_grad(input: Tensor, output: Tensor) -> Tensor:
    """dx/dα of gamma numbers ``output`` of shape ``input``."""
    return wrap(gamma_derivative(_numbers(input), _numbers(output)).astype(output._spec.dtype.numpy))


class SampleDirichletBackward(Function):
    """Dirichlet numbers with implicit gradients."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor, generator: Any) -> Tensor:
        x = wrap(rng.dirichlet(engine_of(generator), unwrap(alpha)))
        ctx.save_for_backward(alpha, x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        alpha, x = ctx.saved_tensors
        total = alpha.sum(-1, True).expand(alpha.shape)
        # x_i moves as a beta number does; the others keep their shares of the rest 1 - x_i
        return _dirichlet_grad(x, alpha, total) * (g - (x * g).sum(-1, True)), None


@draws()
def _sample_dirichlet(input: Tensor, generator: Any = None) -> Tensor:
    """Dirichlet numbers, the parameters along the last dimension, with implicit gradients."""
    _floating("dirichlet", input)
    return SampleDirichletBackward.apply(input, generator)


def _dirichlet_grad(x: Tensor, alpha: Tensor, total: Tensor) -> Tensor:
    """dx/dα / (1 - x) of beta numbers x with parameters α and total - α."""
    at, a, whole = _numbers(x), _numbers(alpha), _numbers(total)
    slope, _ = beta_derivatives(at, a, whole - a)
    return wrap((slope / (1 - at)).astype(x._spec.dtype.numpy))
