"""Exponential families: entropies and divergences from the derivatives of the log normalizer."""

from __future__ import annotations

from typing import Any

from rushlight.autograd.api import grad
from rushlight.autograd.grad_mode import enable_grad
from rushlight.distributions.distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """Densities exp(⟨t(x), θ⟩ - F(θ) + k(x)) with natural parameters θ, sufficient statistics t and log normalizer F.

    A subclass gives θ (``_natural_params``), F (``_log_normalizer``) and the mean of k (``_mean_carrier_measure``); the
    entropy F(θ) - ⟨θ, ∇F(θ)⟩ - E k and divergences within the family follow (F. Nielsen and R. Nock, 2010).
    """

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Any) -> Any:
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> Any:
        raise NotImplementedError

    def _normalizer_and_means(self) -> tuple[Any, list[Any], tuple[Any, ...]]:
        """F(θ), θ, and ∇F(θ), the means of the statistics."""
        carrier = self._mean_carrier_measure  # NotImplementedError first, as in PyTorch
        del carrier
        with enable_grad():
            params = [p.detach().requires_grad_() for p in self._natural_params]
            normalizer = self._log_normalizer(*params)
            return normalizer, params, grad(normalizer.sum(), params, create_graph=True)

    def entropy(self) -> Any:
        normalizer, params, means = self._normalizer_and_means()
        result = normalizer - self._mean_carrier_measure
        for p, m in zip(params, means, strict=True):
            result = result - (p * m).reshape((*self._batch_shape, -1)).sum(-1)
        return result
