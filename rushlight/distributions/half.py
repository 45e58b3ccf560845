"""What the distributions of absolute values share."""

from __future__ import annotations

import math
from typing import Any

from rushlight.distributions import constraints
from rushlight.distributions.transformed_distribution import TransformedDistribution
from rushlight.tensor import functions as F


class Half(TransformedDistribution):
    """The absolute value of a number whose distribution, ``base_dist``, is symmetric around 0."""

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        public = next(c for c in type(self).__mro__ if Half in c.__bases__)
        return super().expand(batch_shape, self._get_checked_instance(public, _instance))

    @property
    def scale(self) -> Any:
        """The width of the whole distribution."""
        return self.base_dist.scale

    @property
    def mode(self) -> Any:
        return self.scale.new_zeros(self.scale.shape)

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        return F.where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, prob: Any) -> Any:
        return self.base_dist.icdf((prob + 1) / 2)

    def entropy(self) -> Any:
        return self.base_dist.entropy() - math.log(2)
