"""The functions of torch.sparse."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.sparse.patterns import added, index_tensor
from rushlight.sparse.coo import CooTensor
from rushlight.sparse.tensor import SparseTensor
from rushlight.tensor import formats
from rushlight.tensor import functions as F
from rushlight.tensor.core import Tensor
from rushlight.tensor.creation import zeros
from rushlight.tensor.functions.common import wrap_dim, wrap_dims

__all__ = ["addmm", "mm", "sum", "softmax", "log_softmax", "sampled_addmm", "as_sparse_gradcheck"]


def mm(mat1: Tensor, mat2: Tensor, reduce: Any = None) -> Any:
    """The product of a sparse and a dense matrix (dense), or of two sparse ones (sparse); differentiable in both.

    With ``reduce`` "mean", "amax" ("max") or "amin" ("min") products of a CSR matrix are not summed but reduced in that
    way; rows without elements give 0. RuntimeError for other ways, NotImplementedError for other layouts.

    >>> import rushlight as rl
    >>> rl.sparse.mm(rl.eye(2).to_sparse(), rl.ones(2, 2))
    tensor([[1., 1.],
            [1., 1.]])
    """
    return F.mm(mat1, mat2) if reduce in (None, "sum") else _mm_reduced(mat1, mat2, reduce)


REDUCED = {"mean": "mean", "amax": "amax", "max": "amax", "amin": "amin", "min": "amin"}


def _mm_reduced(mat1: Any, mat2: Tensor, reduce: str) -> Tensor:
    if mat1.layout is not formats.sparse_csr:
        raise NotImplementedError(f"sparse.mm with reduce={reduce!r} takes a CSR matrix, not {mat1.layout}: "
                                  "use to_sparse_csr()")
    if reduce not in REDUCED:
        raise RuntimeError(f"sparse_mm_reduce: reduce type of {reduce} has not been enabled. "
                           f"There are sum, {', '.join(REDUCED)}.")
    coo = mat1.to_sparse_coo()
    rows, columns = (index_tensor(line) for line in coo.places())
    products = coo._vals[:, None] * mat2[columns]
    empty = zeros((mat1.shape[0], mat2.shape[1]), dtype=products.dtype)
    return empty.index_reduce(0, rows, products, REDUCED[reduce], include_self=False)


def spmm(input: Tensor, mat2: Tensor, out_dtype: Any = None, *, out: Any = None) -> Any:
    """`mm` under its old name."""
    return F.mm(input, mat2, out_dtype, out=out)


def addmm(mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1.0, alpha: float = 1.0) -> Any:
    """beta mat + alpha mat1 @ mat2 with a sparse mat1."""
    return F.addmm(mat, mat1, mat2, beta=beta, alpha=alpha)


def sampled_addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1.0, alpha: float = 1.0) -> Any:
    """alpha mat1 @ mat2 at the places of the sparse `input`, and beta times its values."""
    coo: CooTensor = input.to_sparse_coo()
    rows, columns = (index_tensor(line) for line in coo.places())
    products = (mat1[rows] * mat2.t()[columns]).sum(-1)
    out = coo.with_values(beta * coo._vals + alpha * products)
    return out if isinstance(input, CooTensor) else out.to_sparse_csr()


def sum(input: Tensor, dim: Any = None, dtype: Any = None) -> Any:
    """The sum of all elements, or over dimensions: sparse where sparse dimensions are left.

    >>> import rushlight as rl
    >>> rl.sparse.sum(rl.eye(2).to_sparse(), 0).to_dense()
    tensor([1., 1.])
    """
    if dtype is not None:
        input = input.to(dtype)
    if dim is None:
        return input.sum()
    return input.sum(wrap_dims(dim, len(input._spec.shape)))


def _normalized(s: Any, dim: int, dtype: Any, log: bool) -> CooTensor:
    """Softmax among the stored values that differ in one sparse dimension only; what is not stored counts as -inf."""
    if not isinstance(s, SparseTensor):
        raise TypeError("softmax of torch.sparse takes a sparse tensor: use torch.softmax for dense ones")
    own = s.to_sparse_coo().coalesce()
    own = own if dtype is None else own.with_values(own._vals.to(dtype))
    d, k = wrap_dim(dim, len(own._spec.shape)), own.sparse_dim()
    if d >= k:
        values = own._vals.log_softmax(d - k + 1) if log else own._vals.softmax(d - k + 1)
        return own.with_values(values)
    shape, at = list(own._spec.shape[:k]), own.places().copy()
    at[d], shape[d] = 0, 1
    flat = np.ravel_multi_index(tuple(at), tuple(shape)) if at.size else np.zeros(0, np.int64)
    lines, groups = np.unique(flat, return_inverse=True)
    groups, number = groups.reshape(-1), index_tensor(groups.reshape(-1))
    values = own._vals
    if not groups.size:
        return own
    top = values.detach().new_full((lines.size, *values.shape[1:]), -np.inf)
    spread = number.reshape(-1, *[1] * (values.ndim - 1)).expand(values.shape)
    top = top.scatter_reduce(0, spread, values.detach(), "amax")[number]
    shifted = values - top
    sums = added(shifted.exp(), groups, lines.size)[number]
    return own.with_values(shifted - sums.log() if log else shifted.exp() / sums)


def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Any:
    """exp(x) / Σ exp(x) along a dimension over the stored values: what is not stored counts as -inf.

    >>> import rushlight as rl
    >>> rl.sparse.softmax(rl.eye(2).to_sparse(), 1).to_dense()
    tensor([[1., 0.],
            [0., 1.]])
    """
    return _normalized(input, dim, dtype, False)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Any:
    """The logarithm of `softmax`."""
    return _normalized(input, dim, dtype, True)


def as_sparse_gradcheck(gradcheck: Any) -> Any:
    """gradcheck on sparse inputs is not supported: NotImplementedError when the result is called."""
    def check(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("gradcheck of sparse inputs is not supported: check the function of their values")
    return check
