"""Distances between rows: no more memory than their number, forward and back."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rushlight.tensor.autocast import full
from rushlight.tensor.core import Tensor, wrap
from rushlight.tensor.functions.common import is_float, scalar_name
from rushlight.tensor.functions.norms import indicator, norm_root
from rushlight.tensor.functions.pointwise import where
from rushlight.tensor.functions.precision import with_gradient

FEW = 25  # rows: PyTorch computes Euclidean distances of more by products, unless told otherwise
BY_PRODUCTS = {"use_mm_for_euclid_dist_if_necessary": lambda rows: rows > FEW, "use_mm_for_euclid_dist": lambda rows: True,
               "donot_use_mm_for_euclid_dist": lambda rows: False}


@full
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The p-norm distances between the rows of x1 (…, n, d) and x2 (…, m, d), of shape (…, n, m).

    Euclidean ones of more than 25 rows are computed as |a|² + |b|² - 2ab, which is fast, and loses digits where rows are close together;
    ``compute_mode="donot_use_mm_for_euclid_dist"`` takes differences. RuntimeError for other shapes and types, and p < 0.

    >>> import rushlight as rl
    >>> rl.cdist(rl.tensor([[0.0, 0.0]]), rl.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    for name, x in (("X1", x1), ("X2", x2)):
        if len(x._spec.shape) < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {len(x._spec.shape)}D")
    if x1._spec.shape[-1] != x2._spec.shape[-1]:
        raise RuntimeError("X1 and X2 must have the same number of columns. "
                           f"X1: {x1._spec.shape[-1]} X2: {x2._spec.shape[-1]}")
    for name, x in (("X1", x1), ("X2", x2)):
        if not is_float(x):
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {scalar_name(x.dtype)}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    by_products = BY_PRODUCTS.get(compute_mode)
    if by_products is None:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    if x1._spec.shape[-1] and p == 2 and by_products(max(x1._spec.shape[-2], x2._spec.shape[-2])):
        return with_gradient("EuclideanDistBackward0", (x1, x2), lambda: _products(x1, x2), _products_vjp, (x1, x2), result=True)
    return with_gradient("CdistBackward0", (x1, x2), lambda: _differences(x1, x2, p),
                         lambda g, x1, x2, out: _differences_vjp(g, x1, x2, out, p), (x1, x2), result=True)


def pdist_rows(x: Tensor, p: float) -> Tensor:
    """Distances between all pairs of rows."""
    i, j = np.triu_indices(x._spec.shape[0], 1)
    return cdist(x, x, p, "donot_use_mm_for_euclid_dist")[wrap(i), wrap(j)]


def _products(x1: Tensor, x2: Tensor) -> Tensor:
    squares = (x1 * x1).sum(-1, keepdim=True) + (x2 * x2).sum(-1).unsqueeze(-2)
    return (squares - 2 * (x1 @ x2.mT)).clamp(min=0).sqrt()


def _products_vjp(g: Tensor, x1: Tensor, x2: Tensor, out: Tensor) -> tuple[Tensor, ...]:
    ratio = where(out == 0, 0, g / out)
    return ((x1 * ratio.sum(-1, keepdim=True) - ratio @ x2).sum_to_size(x1.shape),
            (x2 * ratio.sum(-2).unsqueeze(-1) - ratio.mT @ x1).sum_to_size(x2.shape))


def _differences(x1: Tensor, x2: Tensor, p: float) -> Tensor:
    d = x1.unsqueeze(-2) - x2.unsqueeze(-3)  # part of the loops that add up
    if d._spec.shape[-1] == 0:
        return d.sum(-1)
    if p == 2:
        return norm_root((d * d).sum(-1))
    if p == 0:
        return indicator(d.abs()).sum(-1)
    if p == math.inf:
        return d.abs().amax(-1)
    if p == 1:
        return d.abs().sum(-1)
    return (d.abs() ** p).sum(-1) ** (1 / p)


# of a norm: the derivative by a difference, times the gradient g of the distance (PyTorch's _cdist_backward)
_DERIVATIVES: dict[float, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    0: lambda d, out, g: d * 0 * g,
    1: lambda d, out, g: d.sign() * g,
    2: lambda d, out, g: where(out == 0, 0, g / out) * d,
    math.inf: lambda d, out, g: where(d.abs() == out, d.sign() * g, 0)}


def _general(d: Tensor, out: Tensor, g: Tensor, p: float) -> Tensor:
    zero = (out == 0) | (d == 0)
    size = where(zero, 1, d.abs())
    return where(zero, 0, d.sign() * size ** (p - 1) * g / where(out == 0, 1, out) ** (p - 1))


def _differences_vjp(g: Tensor, x1: Tensor, x2: Tensor, out: Tensor, p: float) -> tuple[Tensor, ...]:
    d, out, g = x1.unsqueeze(-2) - x2.unsqueeze(-3), out.unsqueeze(-1), g.unsqueeze(-1)
    each = _DERIVATIVES[p](d, out, g) if p in _DERIVATIVES else _general(d, out, g, p)
    return each.sum(-2).sum_to_size(x1.shape), -each.sum(-3).sum_to_size(x2.shape)


__all__ = ["cdist"]
