"""The categorical distribution."""

from __future__ import annotations

import math
from typing import Any

from rushlight.distributions import constraints
from rushlight.distributions.distribution import ONE_OF, Distribution, ProbsOrLogits
from rushlight.tensor import functions as F
from rushlight.tensor.drawing import multinomial
from rushlight.tensor.sequences import arange
from rushlight.tensor.functions.shape import Size
from rushlight.tensor.settings import finfo

__all__ = ["Categorical"]


class Categorical(ProbsOrLogits):
    """One of 0 … K-1 with probabilities ``probs`` along the last dimension (any positive multiple), or by ``logits``.

    ValueError unless one of ``probs`` and ``logits`` is given, with at least one dimension.

    >>> import rushlight as rl
    >>> Categorical(rl.tensor([1., 3.])).probs
    tensor([0.2500, 0.7500])
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True
    _binary = False
    _parameters = {"probs": 1, "logits": 1}
    _constants = ("_num_events",)

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        if (probs is None) == (logits is None):
            raise ValueError(ONE_OF)
        name, given = ("probs", probs) if probs is not None else ("logits", logits)
        if given.dim() < 1:
            raise ValueError(f"`{name}` parameter must be at least one-dimensional.")
        self._param = (given / given.sum(-1, keepdim=True) if probs is not None else
                       given.log_softmax(-1))
        setattr(self, name, self._param)
        self._num_events = self._param.shape[-1]
        super().__init__(self._param.shape[:-1], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Any:
        return self._param.new_full(self._extended_shape(), math.nan)

    variance = mean

    @property
    def mode(self) -> Any:
        return self.probs.argmax(-1)

    def sample(self, sample_shape: Any = ()) -> Any:
        sample_shape = Size(sample_shape)
        rows = self.probs.detach().reshape(-1, self._num_events)
        drawn = multinomial(rows, sample_shape.numel(), True).T
        return drawn.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        value, logits = F.broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return logits.gather(-1, value[..., :1]).squeeze(-1)

    def entropy(self) -> Any:
        return -(self.logits.clamp(min=finfo(self.logits.dtype).min) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Any:
        values = arange(self._num_events).view((-1, *[1] * len(self._batch_shape)))
        return values.expand((-1, *self._batch_shape)) if expand else values


class ByCategorical(Distribution):
    """What the distributions over vectors share that have the parameters of a `Categorical`.

    A subclass says so in ``_parameters``, which makes it one that `expand` copies.
    """

    def __init__(self, categorical: Categorical, validate_args: bool | None):
        self._categorical = categorical
        super().__init__(categorical.batch_shape, categorical.param_shape[-1:], validate_args=validate_args)

    @property
    def probs(self) -> Any:
        """Normalised probabilities."""
        return self._categorical.probs

    @property
    def logits(self) -> Any:
        """Normalised log-probabilities."""
        return self._categorical.logits

    @property
    def param_shape(self) -> Any:
        """The shape of the probabilities."""
        return self._categorical.param_shape
