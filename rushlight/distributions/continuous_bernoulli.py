"""The continuous Bernoulli distribution."""

from __future__ import annotations

import math
from typing import Any

from rushlight.autograd.grad_mode import no_grad
from rushlight.distributions import constraints
from rushlight.distributions.distribution import ONE_OF, ProbsOrLogits
from rushlight.distributions.exp_family import ExponentialFamily
from rushlight.distributions.utils import broadcast_all, clamp_probs, lazy_property, logits_to_probs
from rushlight.nn.functional.loss import binary_cross_entropy_with_logits
from rushlight.tensor import functions as F
from rushlight.tensor.drawing import rand

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(ProbsOrLogits, ExponentialFamily):
    """Values x in [0, 1] of density C(p) p^x (1 - p)^(1 - x) (G. Loaiza-Ganem and J. Cunningham, 2019).

    Between ``lims`` around p = 1/2, where the closed forms lose all digits, Taylor polynomials stand for them.
    ValueError unless one of ``probs`` and ``logits`` is given.

    >>> import rushlight as rl
    >>> ContinuousBernoulli(0.5).log_prob(rl.tensor(0.3))
    tensor(0.)
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _parameters = {"probs": 0, "logits": 0}
    _constants = ("_lims",)
    _mean_carrier_measure = 0

    def __init__(self, probs: Any = None, logits: Any = None, lims: tuple[float, float] = (0.499, 0.501),
                 validate_args: bool | None = None):
        if (probs is None) == (logits is None):
            raise ValueError(ONE_OF)
        if probs is not None:
            probs, = broadcast_all(probs)
            if validate_args is not None and not self.arg_constraints["probs"].check(probs).all():
                raise ValueError("The parameter probs has invalid values")
            probs = clamp_probs(probs)
        self._lims = lims
        super().__init__(self._take_probs(probs, logits), validate_args=validate_args)

    @lazy_property
    def probs(self) -> Any:
        """Probabilities inside (0, 1)."""
        return clamp_probs(logits_to_probs(self.logits, True))

    def _outside(self) -> Any:
        """Where the closed forms hold."""
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut(self) -> Any:
        """The probabilities, away from 1/2."""
        return F.where(self._outside(), self.probs, self._lims[0])

    def _log_constant(self) -> Any:
        p = self._cut()
        below, above = F.where(p <= 0.5, p, 0.0), F.where(p >= 0.5, p, 1.0)
        exact = ((-p).log1p() - p.log()).abs().log() - F.where(p <= 0.5, (-2 * below).log1p(), (2 * above - 1).log())
        x = (self.probs - 0.5).square()
        return F.where(self._outside(), exact, math.log(2) + (4 / 3 + 104 / 45 * x) * x)

    @property
    def mean(self) -> Any:
        p = self._cut()
        x = self.probs - 0.5
        return F.where(self._outside(), p / (2 * p - 1) + 1 / ((-p).log1p() - p.log()),
                       0.5 + (1 / 3 + 16 / 45 * x.square()) * x)

    @property
    def stddev(self) -> Any:
        return self.variance.sqrt()

    @property
    def variance(self) -> Any:
        p = self._cut()
        x = (self.probs - 0.5).square()
        exact = p * (p - 1) / (1 - 2 * p).square() + 1 / ((-p).log1p() - p.log()).square()
        return F.where(self._outside(), exact, 1 / 12 - (1 / 15 - 128 / 945 * x) * x)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.icdf(rand(self._extended_shape(sample_shape), dtype=self.probs.dtype))

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = F.broadcast_tensors(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none") + self._log_constant()

    def cdf(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        p = self._cut()
        exact = (p.pow(value) * (1 - p).pow(1 - value) + p - 1) / (2 * p - 1)
        inner = F.where(self._outside(), exact, value)
        return F.where(value <= 0, 0.0, F.where(value >= 1, 1.0, inner))

    def icdf(self, value: Any) -> Any:
        p = self._cut()
        exact = ((-p + value * (2 * p - 1)).log1p() - (-p).log1p()) / (p.log() - (-p).log1p())
        return F.where(self._outside(), exact, value)

    def entropy(self) -> Any:
        low, odds = (-self.probs).log1p(), self.probs.log()
        return self.mean * (low - odds) - self._log_constant() - low

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return (self.logits,)

    def _log_normalizer(self, x: Any) -> Any:
        outside = (x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5)
        cut = F.where(outside, x, self._lims[0] - 0.5)
        exact = ((cut.exp() - 1).abs()).log() - cut.abs().log()
        return F.where(outside, exact, 0.5 * x + x.square() / 24 - x.pow(4) / 2880)
