"""The geometric distribution."""

from __future__ import annotations

from typing import Any

from rushlight.autograd.grad_mode import no_grad
from rushlight.distributions import constraints
from rushlight.distributions.distribution import ProbsOrLogits
from rushlight.nn.functional.loss import binary_cross_entropy_with_logits
from rushlight.tensor import functions as F
from rushlight.tensor.creation import empty
from rushlight.tensor.settings import finfo

__all__ = ["Geometric"]


class Geometric(ProbsOrLogits):
    """The number of failures before the first success: (1 - p)^k p, k = 0, 1, …

    ValueError unless one of ``probs`` (positive) and ``logits`` is given.

    >>> import rushlight as rl
    >>> Geometric(0.5).log_prob(rl.tensor(2.))
    tensor(-2.0794)
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer
    _parameters = {"probs": 0, "logits": 0}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        super().__init__(self._take_probs(probs, logits), validate_args=validate_args)
        if self._validate_args and probs is not None:
            value = self.probs
            valid = value > 0
            if not valid.all():
                raise ValueError(f"Expected parameter probs ({type(value).__name__} of shape "
                                 f"{tuple(value.shape)}) of distribution {self!r} to be positive "
                                 f"but found invalid values:\n{value.detach()[~valid]}")

    @property
    def mean(self) -> Any:
        return 1 / self.probs - 1

    @property
    def mode(self) -> Any:
        return self.probs.new_zeros(self.probs.shape)

    @property
    def variance(self) -> Any:
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Any = ()) -> Any:
        dtype = self.probs.dtype
        with no_grad():
            u = empty(self._extended_shape(sample_shape), dtype=dtype).uniform_(finfo(dtype).tiny, 1)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        value, probs = F.broadcast_tensors(value, self.probs)
        certain = (probs == 1) & (value == 0)  # 0 · log 0 is 0
        return value * (-F.where(certain, 0.0, probs)).log1p() + self.probs.log()

    def entropy(self) -> Any:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs
