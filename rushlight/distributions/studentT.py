"""Student's t distribution."""

from __future__ import annotations

import math
from typing import Any

from rushlight.distributions import constraints
from rushlight.distributions.chi2 import Chi2
from rushlight.distributions.distribution import Distribution
from rushlight.distributions.utils import _standard_normal
from rushlight.tensor import functions as F

__all__ = ["StudentT"]


class StudentT(Distribution):
    """Student's t: loc + scale X √(df / Z) with X standard normal and Z chi-squared of ``df`` degrees of freedom.

    The mean is NaN up to df 1, the variance NaN up to 1 and infinite up to 2.

    >>> import rushlight as rl
    >>> StudentT(1.).log_prob(rl.tensor(0.))
    tensor(-1.1447)
    """

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    _parameters = {"df": 0, "loc": 0, "scale": 0, "_chi2": None}

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None):
        shape = self._take(df=df, loc=loc, scale=scale)
        self._chi2 = Chi2(self.df)
        super().__init__(shape, validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return F.where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        value = self.scale.square() * self.df / (self.df - 2)
        return F.where(self.df > 2, value, F.where(self.df > 1, value.new_full((), math.inf), math.nan))

    def rsample(self, sample_shape: Any = ()) -> Any:
        x = _standard_normal(self._extended_shape(sample_shape), self.df.dtype)
        z = self._chi2.rsample(sample_shape)
        return self.loc + self.scale * (x * (z / self.df).rsqrt())

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        y, half = (value - self.loc) / self.scale, 0.5 * self.df
        normalizer = (self.scale.log() + 0.5 * (self.df.log() + math.log(math.pi))
                      + F.lgamma(half) - F.lgamma(half + 0.5))
        return -(half + 0.5) * (y * y / self.df).log1p() - normalizer

    def entropy(self) -> Any:
        half = 0.5 * self.df
        log_beta = F.lgamma(half) + math.lgamma(0.5) - F.lgamma(half + 0.5)
        slope = F.digamma(half + 0.5) - F.digamma(half)
        return self.scale.log() + (half + 0.5) * slope + 0.5 * self.df.log() + log_beta
