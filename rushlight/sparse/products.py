"""Products with sparse matrices: rows gathered, weighted by the values, and added into the rows of the result."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.sparse.patterns import index_tensor, merge
from rushlight.sparse.coo import CooTensor
from rushlight.tensor.creation import zeros


def matmul(a: Any, b: Any) -> Any:
    """The product of two matrices of which one at least is sparse;
    sparse where both are. RuntimeError for other shapes."""
    shapes = a._spec.shape, b._spec.shape
    if any(len(s) != 2 for s in shapes) or any(isinstance(t, CooTensor) and t.dense_dim() for t in (a, b)):
        raise RuntimeError(f"sparse products are of matrices, but got {len(shapes[0])}D and {len(shapes[1])}D tensors")
    (m, n), (n2, p) = shapes
    if n != n2:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({m}x{n} and {n2}x{p})")
    if not isinstance(b, CooTensor):
        return _sparse_dense(a, b, m, p)
    if not isinstance(a, CooTensor):
        return _sparse_dense(b.t(), a.t(), p, m).t()
    return _sparse_sparse(a.coalesce(), b.coalesce(), m, p)


def _sparse_dense(a: CooTensor, b: Any, m: int, p: int) -> Any:
    if a.dtype is not b.dtype:
        raise RuntimeError(f"addmm: expected m1 and m2 to have the same dtype, but got {a.dtype} and {b.dtype}")
    rows, columns = a.places()
    weighted = a._vals.unsqueeze(1) * b[index_tensor(columns)]
    return zeros((m, p), dtype=b.dtype).index_add(0, index_tensor(rows), weighted)


def _sparse_sparse(a: CooTensor, b: CooTensor, m: int, p: int) -> CooTensor:
    """Every value of a meets the values in the row of b that its column names."""
    rows, columns = a.places()
    starts = np.searchsorted(b.places()[0], np.arange(b._spec.shape[0] + 1))
    counts = starts[columns + 1] - starts[columns]
    left = np.repeat(np.arange(columns.size), counts)
    before = np.cumsum(counts) - counts
    right = np.arange(left.size) - before[left] + starts[columns[left]]
    values = a._vals[index_tensor(left)] * b._vals[index_tensor(right)]
    return merge(np.stack([rows[left], b.places()[1][right]]), values, (m, p))
