"""The generalized Pareto distribution."""

from __future__ import annotations

import math
from typing import Any

from rushlight.distributions import constraints
from rushlight.distributions.distribution import Distribution
from rushlight.tensor import functions as F
from rushlight.tensor.drawing import rand

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """Exceedances over ``loc``: survival (1 + ξ z)^(-1/ξ), z = (x - loc) / scale, ξ = ``concentration``; exp(-z) where
    ξ is 0.

    The mean is NaN from ξ = 1 on, the variance from 1/2.

    >>> import rushlight as rl
    >>> GeneralizedPareto(0., 1., 0.).log_prob(rl.tensor(1.))
    tensor(-1.)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True
    _parameters = {"loc": 0, "scale": 0, "concentration": 0}

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None):
        super().__init__(self._take(loc=loc, scale=scale, concentration=concentration), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        end = F.where(self.concentration < 0, self.loc - self.scale / self.concentration, math.inf)
        return constraints.interval(self.loc, end)

    def _shape(self) -> tuple[Any, Any]:
        """Where ξ is 0, and ξ with a 1 in these places."""
        zero = F.isclose(self.concentration, self.concentration.new_zeros(()))
        return zero, F.where(zero, 1.0, self.concentration)

    def _log_survival(self, value: Any) -> Any:
        zero, xi = self._shape()
        z = (value - self.loc) / self.scale
        return F.where(zero, -z, -(xi * z).log1p() / xi)

    @property
    def mean(self) -> Any:
        xi = self.concentration
        return F.where(xi < 1, self.loc + self.scale / (1 - xi), math.nan)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        xi = self.concentration
        return F.where(xi < 0.5, self.scale.square() / ((1 - xi).square() * (1 - 2 * xi)), math.nan)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.icdf(rand(self._extended_shape(sample_shape), dtype=self.loc.dtype))

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        zero, xi = self._shape()
        z = (value - self.loc) / self.scale
        return -self.scale.log() + F.where(zero, -z, -(1 / xi + 1) * (xi * z).log1p())

    def log_survival_function(self, value: Any) -> Any:
        """log P(X > value)."""
        if self._validate_args:
            self._validate_sample(value)
        return self._log_survival(value)

    def log_cdf(self, value: Any) -> Any:
        """log P(X ≤ value)."""
        if self._validate_args:
            self._validate_sample(value)
        return (-self._log_survival(value).exp()).log1p()

    def cdf(self, value: Any) -> Any:
        return self.log_cdf(value).exp()

    def icdf(self, value: Any) -> Any:
        zero, xi = self._shape()
        rest = (-value).log1p()
        return self.loc + self.scale * F.where(zero, -rest, (-xi * rest).expm1() / xi)

    def entropy(self) -> Any:
        return self.scale.log() + self.concentration + 1
