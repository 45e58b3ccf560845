"""Between layouts: dense, COO, compressed rows and columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exec.numpy.indexing import positions
from rushlight.sparse.patterns import index_tensor
from rushlight.sparse.compressed import CompressedTensor
from rushlight.sparse.coo import CooTensor
from rushlight.sparse.tensor import SparseTensor
from rushlight.tensor import formats
from rushlight.tensor.core import Tensor, unwrap

BLOCKS = "rushlight has no block layouts: use torch.sparse_coo, torch.sparse_csr or torch.sparse_csc, not {}"
MATRICES = ("Only tensors with two dimensions can be converted to the SparseCsr or "
            "SparseCsc layout here but got self.dim() == {}.")


def from_dense(t: Any, sparse_dim: int | None = None) -> CooTensor:
    """The coordinates where a dense tensor is not zero in its first ``sparse_dim`` dimensions (all of them).
    RuntimeError for other counts."""
    n = len(t._spec.shape)
    k = n if sparse_dim is None else sparse_dim
    if not (0 < k <= n or n == 0):
        raise RuntimeError(f"sparse_dim must be in (0, {n}], but got {k}" if n else "sparse_dim must be 0")
    array = unwrap(t.detach())
    there = array != 0
    if k < n:
        there = there.any(axis=tuple(range(k, n)))
    at = positions(there).reshape(k, -1)
    flat = np.flatnonzero(there)
    values = t.reshape((-1, *t._spec.shape[k:]))[index_tensor(flat)]
    return CooTensor.build(index_tensor(at), values, t._spec.shape, True)


def convert(t: Any, sparse_dim: Any = None, layout: Any = None) -> Any:
    """A tensor of any layout in a sparse layout (COO). ValueError for one that rushlight does not have."""
    if isinstance(sparse_dim, formats.layout):
        sparse_dim, layout = None, sparse_dim
    coo = t.to_sparse_coo() if isinstance(t, SparseTensor) else from_dense(t, sparse_dim)
    if layout in (None, formats.sparse_coo):
        return coo
    if layout in (formats.sparse_csr, formats.sparse_csc):
        return t if getattr(t, "layout", None) is layout else compress(coo, layout)
    raise ValueError(BLOCKS.format(layout))


def compress(s: Any, layout: Any) -> CompressedTensor:
    """A COO matrix with compressed rows or columns. RuntimeError for other numbers of dimensions."""
    s = s if isinstance(s, SparseTensor) else from_dense(s)
    if len(s._spec.shape) != 2 or s.dense_dim():
        raise RuntimeError(MATRICES.format(len(s._spec.shape)))
    own = s.coalesce()
    at, values, first = own.places(), own._vals, 0
    if layout is formats.sparse_csc:
        order = np.lexsort((at[0], at[1]))
        at, values, first = at[:, order], values[index_tensor(order)], 1
    starts = np.concatenate([[0], np.cumsum(np.bincount(at[first], minlength=s._spec.shape[first]))])
    return CompressedTensor.build(index_tensor(starts), index_tensor(at[1 - first]), values, s._spec.shape, layout)


def expand(t: CompressedTensor) -> CooTensor:
    """A compressed matrix with coordinates."""
    starts, others = unwrap(t._starts), unwrap(t._others)
    lines = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    rows = t.layout is formats.sparse_csr
    return CooTensor.build(index_tensor(np.stack([lines, others] if rows else [others, lines])),
                           t._vals, t._spec.shape, rows)


def to_sparse(self: Tensor, sparse_dim: int | None = None, *, layout: Any = None, blocksize: Any = None,
              dense_dim: Any = None) -> Any:
    """The tensor in a sparse layout, COO unless told otherwise; differentiable.
    ``to_sparse(k)`` keeps all but k dimensions dense."""
    if blocksize is not None:
        raise ValueError(BLOCKS.format("a blocksize"))
    if dense_dim:
        raise NotImplementedError(f"to_sparse with dense_dim={dense_dim} is not supported: compressed sparse tensors have no "
                                  "dense dimensions here. to_sparse(k) keeps dimensions from the k-th on dense, in COO.")
    return convert(self, sparse_dim, layout)
