"""The half-normal distribution."""

from __future__ import annotations

import math
from typing import Any

from rushlight.distributions.normal import Normal
from rushlight.distributions.half import Half
from rushlight.distributions.transforms import AbsTransform

__all__ = ["HalfNormal"]


class HalfNormal(Half):
    """The absolute value of a normal number of mean 0 and standard deviation ``scale``.

    >>> import rushlight as rl
    >>> HalfNormal(1.).log_prob(rl.tensor(0.))
    tensor(-0.2258)
    """

    base_dist: Normal

    def __init__(self, scale: Any, validate_args: bool | None = None):
        super().__init__(Normal(0, scale, validate_args=False), AbsTransform(), validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Any:
        return self.scale.square() * (1 - 2 / math.pi)
