"""The Wishart distribution."""

from __future__ import annotations

import math
import warnings
from numbers import Number
from typing import Any

from rushlight.distributions import constraints
from rushlight.distributions.chi2 import Chi2
from rushlight.distributions.exp_family import ExponentialFamily
from rushlight.distributions.multivariate_normal import _Covariance, _half_log_det, _one_matrix, factor_of
from rushlight.tensor import functions as F
from rushlight.tensor.creation import tensor
from rushlight.tensor.drawing import randn
from rushlight.tensor.sequences import arange, tril_indices
from rushlight.tensor.functions.linalg import cholesky_solve
from rushlight.tensor.functions.shape import Size, broadcast_shapes
from rushlight.tensor.settings import finfo

__all__ = ["Wishart"]


def _mvdigamma(x: Any, p: int) -> Any:
    """The derivative of `mvlgamma`."""
    return F.digamma(x.unsqueeze(-1) - arange(p, dtype=x.dtype).div(2)).sum(-1)


class Wishart(ExponentialFamily, _Covariance):
    """Positive definite matrices: Σ xᵢ xᵢᵀ of ``df`` normal vectors with a covariance given in one of three forms.

    Samples are Bartlett's: a triangle of normal numbers with roots of chi-squared ones on the diagonal; singular ones
    are drawn again, at most ``max_try_correction`` times (10). PyTorch 2.13 tests for the opposite and draws every good
    sample anew, so that its numbers differ. AssertionError unless exactly one matrix is given, ValueError
    for df ≤ n - 1.

    >>> import rushlight as rl
    >>> Wishart(rl.tensor(2.), rl.eye(2)).mean
    tensor([[2., 0.],
            [0., 2.]])
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0
    _parameters = {"df": 0, "covariance_matrix": 2, "precision_matrix": 2, "scale_tril": 2}
    _constants = ("_unbroadcasted_scale_tril",)

    def __init__(self, df: Any, covariance_matrix: Any = None, precision_matrix: Any = None, scale_tril: Any = None,
                 validate_args: bool | None = None):
        given = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        if sum(m is not None for m in given.values()) != 1:
            raise AssertionError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        name, matrix = _one_matrix(given)
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        if isinstance(df, Number):
            batch = Size(matrix.shape[:-2])
            self.df = tensor(df, dtype=matrix.dtype)
        else:
            batch = broadcast_shapes(matrix.shape[:-2], df.shape)
            self.df = df.expand(batch)
        event_shape = matrix.shape[-2:]
        n = event_shape[-1]
        if (self.df <= n - 1).any():
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}.")
        setattr(self, name, matrix.expand((*batch, -1, -1)))
        if (self.df < n).any():
            warnings.warn("Low df values detected. "
                          "Singular samples are highly likely to occur for ndim - 1 < df < ndim.", stacklevel=2)
        super().__init__(batch, event_shape, validate_args=validate_args)
        self._unbroadcasted_scale_tril = factor_of(name, matrix)
        self._set_chi2()

    def _set_chi2(self) -> None:
        self._batch_dims = [-(d + 1) for d in range(len(self._batch_shape))]
        degrees = self.df.unsqueeze(-1) - arange(self._event_shape[-1], dtype=self._unbroadcasted_scale_tril.dtype)
        self._dist_chi2 = Chi2(degrees.expand((*self._batch_shape, -1)))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new._set_chi2()
        return new

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        return {"covariance_matrix": constraints.positive_definite, "precision_matrix": constraints.positive_definite,
                "scale_tril": constraints.lower_cholesky, "df": constraints.greater_than(self.event_shape[-1] - 1)}

    @property
    def mean(self) -> Any:
        return self.df.view((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def mode(self) -> Any:
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        return F.where(factor <= 0, math.nan, factor).view((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def variance(self) -> Any:
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        return self.df.view((*self._batch_shape, 1, 1)) * (v.square() + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def _bartlett_sampling(self, sample_shape: Any = ()) -> Any:
        p = self._event_shape[-1]
        root = self._dist_chi2.rsample(sample_shape).sqrt()
        noise = root.clamp(min=finfo(root.dtype).eps).diag_embed(dim1=-2, dim2=-1)
        rows, columns = tril_indices(p, p, -1).unbind(0)
        noise[..., rows, columns] = randn((*sample_shape, *self._batch_shape, p * (p - 1) // 2), dtype=noise.dtype)
        factor = F.matmul(self._unbroadcasted_scale_tril, noise)
        return F.matmul(factor, factor.mT)

    def rsample(self, sample_shape: Any = (), max_try_correction: int | None = None) -> Any:
        sample_shape = Size(sample_shape)
        sample = self._bartlett_sampling(sample_shape)
        for _ in range(10 if max_try_correction is None else max_try_correction):
            singular = ~self.support.check(sample)
            singular = singular.reshape((*sample_shape, -1)).any(-1)
            if not singular.any():
                break
            warnings.warn("Singular sample detected.", stacklevel=2)
            again = self._bartlett_sampling(sample_shape)
            sample = F.where(singular.view((*sample_shape, *[1] * (len(self._batch_shape) + 2))), again, sample)
        return sample

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        from rushlight.linalg import slogdet
        p, factor = self._event_shape[-1], self._unbroadcasted_scale_tril
        normalizer = self.df * (p * math.log(2) / 2 + _half_log_det(factor)) + F.mvlgamma(self.df / 2, p)
        trace = cholesky_solve(value, factor).diagonal(dim1=-2, dim2=-1).sum(-1)
        return (self.df - p - 1) / 2 * slogdet(value).logabsdet - trace / 2 - normalizer

    def entropy(self) -> Any:
        p = self._event_shape[-1]
        factor = self._unbroadcasted_scale_tril
        return ((p + 1) * (p * math.log(2) / 2 + _half_log_det(factor)) + F.mvlgamma(self.df / 2, p)
                - (self.df - p - 1) / 2 * _mvdigamma(self.df / 2, p) + self.df * p / 2)

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x: Any, y: Any) -> Any:
        from rushlight.linalg import slogdet
        p = self._event_shape[-1]
        return (y + (p + 1) / 2) * (-slogdet(-2 * x).logabsdet + math.log(2) * p) + F.mvlgamma(y + (p + 1) / 2, p)
