"""The negative binomial distribution."""

from __future__ import annotations

from typing import Any

from rushlight.autograd.grad_mode import no_grad
from rushlight.distributions import constraints
from rushlight.distributions.distribution import ProbsOrLogits
from rushlight.distributions.gamma import Gamma
from rushlight.distributions.utils import lazy_property
from rushlight.tensor import functions as F
from rushlight.tensor.drawing import poisson

__all__ = ["NegativeBinomial"]


class NegativeBinomial(ProbsOrLogits):
    """Successes before ``total_count`` failures, the probability of a success being ``probs``.

    The density is Γ(n + k) / (k! Γ(n)) p^k (1 - p)^n. ValueError unless one of ``probs`` and ``logits`` is given.

    >>> import rushlight as rl
    >>> NegativeBinomial(1, rl.tensor(0.5)).log_prob(rl.tensor(2.))
    tensor(-2.0794)
    """

    arg_constraints = {"total_count": constraints.greater_than_eq(0), "probs": constraints.half_open_interval(0.0, 1.0),
                       "logits": constraints.real}
    support = constraints.nonnegative_integer
    _parameters = {"total_count": 0, "probs": 0, "logits": 0}

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        shape = self._take_probs(probs, logits, total_count=total_count)
        self.total_count = self.total_count.type_as(self._param)
        super().__init__(shape, validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Any:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self) -> Any:
        return self.mean / F.sigmoid(-self.logits)

    @lazy_property
    def _gamma(self) -> Any:
        return Gamma(self.total_count, (-self.logits).exp(), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        n, z = self.total_count, self.logits
        from rushlight.nn.functional.activation import logsigmoid
        normalizer = -F.lgamma(n + value) + F.lgamma(1 + value) + F.lgamma(n)
        normalizer = F.where(n + value == 0, 0.0, normalizer)
        return n * logsigmoid(-z) + value * logsigmoid(z) - normalizer
