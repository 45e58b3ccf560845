"""Transforms of vectors and matrices: probabilities and Cholesky factors."""

from __future__ import annotations

import math
from typing import Any

from rushlight.distributions import constraints
from rushlight.distributions.transform import Transform
from rushlight.distributions.utils import tril_matrix_to_vec, vec_to_tril_matrix
from rushlight.nn.functional import pad, softplus
from rushlight.tensor import functions as F
from rushlight.tensor.sequences import arange, eye
from rushlight.tensor.functions.shape import Size
from rushlight.tensor.settings import finfo

__all__ = ["CorrCholeskyTransform", "LowerCholeskyTransform", "PositiveDefiniteTransform", "SoftmaxTransform",
           "StickBreakingTransform"]


def _resized(shape: Any, dims: int, new: Any) -> Size:
    if len(shape) < dims:
        raise ValueError("Too few dimensions on input")
    return Size((*shape[:len(shape) - dims], *new(*shape[len(shape) - dims:])))


class _Plain(Transform):
    """Transforms without parameters: two of a type are equal."""

    def __eq__(self, other: Any) -> bool:
        return type(other) is type(self)

    __hash__ = object.__hash__


class SoftmaxTransform(_Plain):
    """y = exp(x) / Σ exp(x) along the last dimension; not bijective, the inverse is the logarithm.

    >>> import rushlight as rl
    >>> SoftmaxTransform()(rl.zeros(2))
    tensor([0.5000, 0.5000])
    """

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Any) -> Any:
        weights = (x - x.max(-1, True)[0]).exp()
        return weights / weights.sum(-1, True)

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def forward_shape(self, shape: Any) -> Any:
        return _resized(shape, 1, lambda n: (n,))

    inverse_shape = forward_shape


class StickBreakingTransform(_Plain):
    """K real numbers as K + 1 probabilities: each takes a share of what the ones before it left of a stick.

    >>> import rushlight as rl
    >>> StickBreakingTransform()(rl.zeros(2))
    tensor([0.3333, 0.3333, 0.3333])
    """

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    @staticmethod
    def _later(n: int, like: Any) -> Any:
        """How many pieces come after each: n, n - 1, … 1."""
        return arange(n, 0, -1, dtype=like.dtype)

    def _call(self, x: Any) -> Any:
        share = F.sigmoid(x - self._later(x.shape[-1], x).log())
        left = (1 - share).cumprod(-1)
        return pad(share, [0, 1], value=1) * pad(left, [1, 0], value=1)

    def _inverse(self, y: Any) -> Any:
        head = y[..., :-1]
        left = (1 - head.cumsum(-1)).clamp(min=finfo(y.dtype).tiny)
        return head.log() - left.log() + self._later(head.shape[-1], y).log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        z = x - self._later(x.shape[-1], x).log()
        log_share = -softplus(-z)
        return (-z + log_share + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        return _resized(shape, 1, lambda n: (n + 1,))

    def inverse_shape(self, shape: Any) -> Any:
        return _resized(shape, 1, lambda n: (n - 1,))


class LowerCholeskyTransform(_Plain):
    """Square matrices as lower triangular ones with positive diagonal, through exp on the diagonal.

    >>> import rushlight as rl
    >>> LowerCholeskyTransform()(rl.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Any) -> Any:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Any) -> Any:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(_Plain):
    """Square matrices as positive definite ones L Lᵀ, L by `LowerCholeskyTransform`.

    >>> import rushlight as rl
    >>> PositiveDefiniteTransform()(rl.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x: Any) -> Any:
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y: Any) -> Any:
        from rushlight.linalg import cholesky
        return LowerCholeskyTransform().inv(cholesky(y))


class CorrCholeskyTransform(_Plain):
    """D(D-1)/2 real numbers as the Cholesky factor of a D×D correlation matrix.

    tanh of the numbers, row by row, are partial correlations; row i is broken from a unit vector's squared length as
    `StickBreakingTransform` breaks a stick (the LKJ construction of D. Lewandowski et al., 2009).

    >>> import rushlight as rl
    >>> CorrCholeskyTransform()(rl.zeros(1))
    tensor([[1., 0.],
            [0., 1.]])
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Any) -> Any:
        eps = finfo(x.dtype).eps
        r = vec_to_tril_matrix(x.tanh().clamp(min=-1 + eps, max=1 - eps), diag=-1)
        left = (1 - r * r).sqrt().cumprod(-1)
        r = r + eye(r.shape[-1], dtype=r.dtype)
        return r * pad(left[..., :-1], [1, 0], value=1)

    def _inverse(self, y: Any) -> Any:
        left = pad((1 - (y * y).cumsum(-1))[..., :-1], [1, 0], value=1)
        t = tril_matrix_to_vec(y, diag=-1) / tril_matrix_to_vec(left, diag=-1).sqrt()
        return (t.log1p() - (-t).log1p()) / 2

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        left = 1 - (y * y).cumsum(-1)
        stick = 0.5 * tril_matrix_to_vec(left, diag=-2).log().sum(-1)
        return stick - 2 * (x + softplus(-2 * x) - math.log(2.0)).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        def square(n: int) -> tuple[int, int]:
            d = round((0.25 + 2 * n) ** 0.5 + 0.5)
            if d * (d - 1) // 2 != n:
                raise ValueError("Input is not a flattened lower-diagonal number")
            return d, d
        return _resized(shape, 1, square)

    def inverse_shape(self, shape: Any) -> Any:
        def flat(n: int, m: int) -> tuple[int]:
            if n != m:
                raise ValueError("Input is not square")
            return (n * (n - 1) // 2,)
        return _resized(shape, 2, flat)
