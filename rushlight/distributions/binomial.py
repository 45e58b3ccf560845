"""The binomial distribution."""

from __future__ import annotations

from typing import Any

from rushlight.autograd.grad_mode import no_grad
from rushlight.distributions import constraints
from rushlight.distributions.distribution import ProbsOrLogits
from rushlight.tensor import functions as F
from rushlight.tensor.sequences import arange
from rushlight.tensor.sampling import binomial

__all__ = ["Binomial"]


def _clamp_by_zero(x: Any) -> Any:
    """max(x, 0) with gradient 1/2 at 0."""
    return (x.clamp(min=0) + x - x.clamp(max=0)) / 2


class Binomial(ProbsOrLogits):
    """Successes in ``total_count`` trials: C(n, k) p^k (1 - p)^(n - k).

    `enumerate_support` and `entropy` need one total count for the whole batch: NotImplementedError otherwise.
    ValueError unless one of ``probs`` and ``logits`` is given.

    >>> import rushlight as rl
    >>> Binomial(2, rl.tensor(0.5)).log_prob(rl.tensor(1.))
    tensor(-0.6931)
    """

    arg_constraints = {"total_count": constraints.nonnegative_integer, "probs": constraints.unit_interval,
                       "logits": constraints.real}
    has_enumerate_support = True
    _parameters = {"total_count": 0, "probs": 0, "logits": 0}

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        shape = self._take_probs(probs, logits, total_count=total_count)
        self.total_count = self.total_count.type_as(self._param)
        super().__init__(shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Any:
        return self.total_count * self.probs

    @property
    def mode(self) -> Any:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        n, z = self.total_count, self.logits
        # log(1 + e^z) n as max(z, 0) n + log(1 + e^-|z|) n, which does not overflow
        normalizer = n * _clamp_by_zero(z) + n * (-z.abs()).exp().log1p() - F.lgamma(n + 1)
        return value * z - F.lgamma(value + 1) - F.lgamma(n - value + 1) - normalizer

    def _one_count(self, message: str) -> int:
        most = int(self.total_count.max())
        if not int(self.total_count.min()) == most:
            raise NotImplementedError(message)
        return most

    def entropy(self) -> Any:
        self._one_count("Inhomogeneous total count not supported by `entropy`.")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Any:
        most = self._one_count("Inhomogeneous total count not supported by `enumerate_support`.")
        values = arange(1 + most, dtype=self._param.dtype).view((-1, *[1] * len(self._batch_shape)))
        return values.expand((-1, *self._batch_shape)) if expand else values
