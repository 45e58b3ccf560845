"""The multivariate normal distribution."""

from __future__ import annotations

import math
from typing import Any

from rushlight.distributions import constraints
from rushlight.distributions.distribution import Distribution
from rushlight.distributions.utils import _standard_normal, lazy_property
from rushlight.tensor import functions as F
from rushlight.tensor.sequences import eye
from rushlight.tensor.functions.linalg import cholesky_inverse
from rushlight.tensor.functions.shape import Size, broadcast_shapes

__all__ = ["MultivariateNormal"]


def _batch_mv(bmat: Any, bvec: Any) -> Any:
    """Products of matrices (…, n, m) and vectors (…, m), batch dimensions broadcast."""
    return F.matmul(bmat, bvec.unsqueeze(-1)).squeeze(-1)


def _solve_lower(factor: Any, b: Any) -> Any:
    """L⁻¹ b for lower triangular L, batch dimensions broadcast."""
    from rushlight.linalg import solve_triangular
    return solve_triangular(factor, b, upper=False)


def _batch_mahalanobis(bL: Any, bx: Any) -> Any:
    """xᵀ (L Lᵀ)⁻¹ x."""
    return _solve_lower(bL, bx.unsqueeze(-1)).square().sum((-2, -1))


def _precision_to_scale_tril(P: Any) -> Any:
    """The Cholesky factor of P⁻¹, without the inverse: from that of P with rows and columns reversed."""
    from rushlight.linalg import cholesky
    reversed_factor = cholesky(P.flip((-2, -1))).flip((-2, -1)).mT
    return _solve_lower(reversed_factor, eye(P.shape[-1], dtype=P.dtype).expand(P.shape))


def _half_log_det(factor: Any) -> Any:
    """log det L of a triangular L."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def _one_matrix(given: dict[str, Any]) -> tuple[str, Any]:
    """The one matrix that was given, with its name."""
    there = [(name, m) for name, m in given.items() if m is not None]
    return there[0]


def factor_of(name: str, matrix: Any) -> Any:
    """The Cholesky factor of the covariance, from one of its three forms."""
    from rushlight.linalg import cholesky
    if name == "scale_tril":
        return matrix
    return cholesky(matrix) if name == "covariance_matrix" else _precision_to_scale_tril(matrix)


class _Covariance(Distribution):
    """Three forms of a covariance; those that were not given come from the Cholesky factor
    ``_unbroadcasted_scale_tril``."""

    _unbroadcasted_scale_tril: Any

    def _matrix_shape(self) -> Size:
        n = self._event_shape[-1]
        return Size((*self._batch_shape, n, n))

    @lazy_property
    def scale_tril(self) -> Any:
        """The lower Cholesky factor of the covariance."""
        return self._unbroadcasted_scale_tril.expand(self._matrix_shape())

    @lazy_property
    def covariance_matrix(self) -> Any:
        """The covariance."""
        factor = self._unbroadcasted_scale_tril
        return F.matmul(factor, factor.mT).expand(self._matrix_shape())

    @lazy_property
    def precision_matrix(self) -> Any:
        """The inverse of the covariance."""
        return cholesky_inverse(self._unbroadcasted_scale_tril).expand(self._matrix_shape())


class MultivariateNormal(_Covariance):
    """The normal distribution of vectors with mean ``loc`` and a covariance.

    The covariance comes as itself, as its inverse (``precision_matrix``) or as its lower Cholesky factor
    (``scale_tril``, the cheapest). ValueError unless exactly one is given, as a matrix, and ``loc`` as a vector.

    >>> import rushlight as rl
    >>> MultivariateNormal(rl.zeros(2), rl.eye(2)).log_prob(rl.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints = {"loc": constraints.real_vector, "covariance_matrix": constraints.positive_definite,
                       "precision_matrix": constraints.positive_definite, "scale_tril": constraints.lower_cholesky}
    support = constraints.real_vector
    has_rsample = True
    _parameters = {"loc": 1, "covariance_matrix": 2, "precision_matrix": 2, "scale_tril": 2}
    _constants = ("_unbroadcasted_scale_tril",)

    def __init__(self, loc: Any, covariance_matrix: Any = None, precision_matrix: Any = None, scale_tril: Any = None,
                 validate_args: bool | None = None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        given = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        if sum(m is not None for m in given.values()) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        name, matrix = _one_matrix(given)
        if matrix.dim() < 2:
            title = "scale_tril matrix" if name == "scale_tril" else name
            raise ValueError(f"{title} must be at least two-dimensional, with optional leading batch dimensions")
        batch = broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        setattr(self, name, matrix.expand((*batch, -1, -1)))
        self.loc = loc.expand((*batch, -1))
        super().__init__(batch, self.loc.shape[-1:], validate_args=validate_args)
        self._unbroadcasted_scale_tril = factor_of(name, matrix)

    @property
    def mean(self) -> Any:
        return self.loc

    mode = mean

    @property
    def variance(self) -> Any:
        spread = self._unbroadcasted_scale_tril.square().sum(-1)
        return spread.expand((*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape: Any = ()) -> Any:
        noise = _standard_normal(self._extended_shape(sample_shape), self.loc.dtype)
        return self.loc + _batch_mv(self._unbroadcasted_scale_tril, noise)

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        distance = _batch_mahalanobis(self._unbroadcasted_scale_tril, value - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + distance) - _half_log_det(
            self._unbroadcasted_scale_tril)

    def entropy(self) -> Any:
        result = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + _half_log_det(
            self._unbroadcasted_scale_tril)
        return result.expand(self._batch_shape)
