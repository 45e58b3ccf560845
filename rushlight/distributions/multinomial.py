"""The multinomial distribution."""

from __future__ import annotations

from typing import Any

from rushlight.distributions import constraints
from rushlight.distributions.binomial import Binomial
from rushlight.distributions.categorical import ByCategorical, Categorical
from rushlight.distributions.utils import broadcast_all
from rushlight.tensor import functions as F
from rushlight.tensor.creation import ones_like, zeros
from rushlight.tensor.functions.shape import Size

__all__ = ["Multinomial"]


class Multinomial(ByCategorical):
    """How often each of K outcomes comes in ``total_count`` draws of `Categorical`: n! Π pᵢ^xᵢ / xᵢ!.

    NotImplementedError for a total count that is no int.

    >>> import rushlight as rl
    >>> Multinomial(2, rl.tensor([1., 1.])).log_prob(rl.tensor([1., 1.]))
    tensor(-0.6931)
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    total_count: int
    _parameters = {"_categorical": None}
    _constants = ("total_count", "_binomial")

    def __init__(self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        categorical = Categorical(probs=probs, logits=logits)
        self._binomial = Binomial(total_count=total_count, probs=categorical.probs)
        super().__init__(categorical, validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Any:
        return self.probs * self.total_count

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        sample_shape = Size(sample_shape)
        drawn = self._categorical.sample(Size((self.total_count, *sample_shape))).movedim(0, -1)
        counts = zeros(self._extended_shape(sample_shape), dtype=drawn.dtype)
        return counts.scatter_add(-1, drawn, ones_like(drawn)).type_as(self.probs)

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        logits = F.where((value == 0) & (logits == -float("inf")), 0.0, logits)
        return F.lgamma(value.sum(-1) + 1) - F.lgamma(value + 1).sum(-1) + (logits * value).sum(-1)

    def entropy(self) -> Any:
        n = self.probs.new_full((), float(self.total_count))
        counts = self._binomial.enumerate_support(expand=False)[1:]
        weighted = self._binomial.log_prob(counts).exp() * F.lgamma(counts + 1)
        return self.total_count * self._categorical.entropy() - F.lgamma(n + 1) + weighted.sum((0, -1))
