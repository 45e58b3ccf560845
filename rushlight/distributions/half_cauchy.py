"""The half-Cauchy distribution."""

from __future__ import annotations

import math
from typing import Any

from rushlight.distributions.cauchy import Cauchy
from rushlight.distributions.half import Half
from rushlight.distributions.transforms import AbsTransform

__all__ = ["HalfCauchy"]


class HalfCauchy(Half):
    """The absolute value of a Cauchy number of median 0 and half width ``scale``.

    >>> import rushlight as rl
    >>> HalfCauchy(1.).log_prob(rl.tensor(0.))
    tensor(-0.4516)
    """

    base_dist: Cauchy

    def __init__(self, scale: Any, validate_args: bool | None = None):
        super().__init__(Cauchy(0, scale, validate_args=False), AbsTransform(), validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return self.scale.new_full(self._extended_shape(), math.inf)

    @property
    def variance(self) -> Any:
        return self.base_dist.variance
