"""Methods of sparse tensors on dense ones: conversions, and errors for what only sparse tensors have."""

from __future__ import annotations

from typing import Any

from rushlight.tensor import formats
from rushlight.tensor.core import Tensor


def to_sparse(self: Tensor, sparse_dim: int | None = None, *, layout: Any = None, blocksize: Any = None,
              dense_dim: Any = None) -> Any:
    """The tensor in a sparse layout, COO unless told otherwise;
    ``to_sparse(k)`` makes the first k dimensions sparse. Differentiable.

    >>> import rushlight as rl
    >>> rl.eye(2).to_sparse().indices()
    tensor([[0, 1],
            [0, 1]])
    """
    from rushlight.sparse import conversion
    return conversion.to_sparse(self, sparse_dim, layout=layout, blocksize=blocksize, dense_dim=dense_dim)


def to_sparse_coo(self: Tensor) -> Any:
    """The tensor with coordinates."""
    return to_sparse(self)


def to_sparse_csr(self: Tensor, dense_dim: Any = None) -> Any:
    """The matrix with compressed rows. RuntimeError for other numbers of dimensions."""
    from rushlight.sparse import conversion
    return conversion.compress(self, formats.sparse_csr)


def to_sparse_csc(self: Tensor, dense_dim: Any = None) -> Any:
    """The matrix with compressed columns. RuntimeError for other numbers of dimensions."""
    from rushlight.sparse import conversion
    return conversion.compress(self, formats.sparse_csc)


def sparse_mask(self: Tensor, mask: Any) -> Any:
    """The elements at the places of a sparse tensor. RuntimeError for other shapes."""
    from rushlight.sparse.patterns import masked
    return masked(self, mask.to_sparse_coo())


def _only_sparse(name: str, layout: str = "coordinate") -> Any:
    def method(self: Tensor) -> Any:
        raise RuntimeError(f"{name} expected sparse {layout} tensor layout but got Strided. "
                           "Convert the tensor with .to_sparse() first.")
    method.__name__ = method.__qualname__ = name
    method.__doc__ = "Of sparse tensors only: RuntimeError."
    return method


def to_dense(self: Tensor, dtype: Any = None, *, masked_grad: Any = None) -> Tensor:
    """The tensor itself, in ``dtype`` where that is given."""
    return self if dtype is None else self.to(dtype)


def sparse_dim(self: Tensor) -> int:
    """How many dimensions are sparse: none."""
    return 0


def dense_dim(self: Tensor) -> int:
    """How many dimensions are dense: all."""
    return len(self._spec.shape)


COMPRESSED = {"crow_indices": "row compressed", "col_indices": "row compressed", "ccol_indices": "column compressed",
              "row_indices": "column compressed"}
METHODS = {
    "to_sparse": to_sparse, "to_sparse_coo": to_sparse_coo, "to_sparse_csr": to_sparse_csr,
    "to_sparse_csc": to_sparse_csc, "sparse_mask": sparse_mask,
    **{name: _only_sparse(name)
       for name in ("coalesce", "is_coalesced", "indices", "values", "_indices", "_values", "_nnz")},
    **{name: _only_sparse(name, layout) for name, layout in COMPRESSED.items()},
    "to_dense": to_dense, "sparse_dim": sparse_dim, "dense_dim": dense_dim,
}
