"""Methods of sparse tensors on dense ones: conversions, and errors for what only sparse tensors have."""

from __future__ import annotations

from typing import Any

from rushlight.tensor.core import Tensor


def _conversion(name: str) -> Any:
    """A method that `rushlight.sparse.conversion` defines."""
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        from rushlight.sparse import conversion
        return getattr(conversion, name)(self, *args, **kwargs)
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"See `rushlight.sparse.conversion.{name}`."
    return method


def _only_sparse(name: str, layout: str = "coordinate") -> Any:
    def method(self: Tensor) -> Any:
        raise RuntimeError(f"{name} expected sparse {layout} tensor layout but got Strided. Convert the tensor with .to_sparse() first.")
    method.__name__ = method.__qualname__ = name
    method.__doc__ = "Of sparse tensors only: RuntimeError."
    return method


def to_dense(self: Tensor, dtype: Any = None, *, masked_grad: Any = None) -> Tensor:
    """The tensor itself, in ``dtype`` where that is given."""
    return self if dtype is None else self.to(dtype)  # type: ignore[attr-defined, no-any-return]


def sparse_dim(self: Tensor) -> int:
    """How many dimensions are sparse: none."""
    return 0


def dense_dim(self: Tensor) -> int:
    """How many dimensions are dense: all."""
    return len(self._spec.shape)


COMPRESSED = {"crow_indices": "row compressed", "col_indices": "row compressed", "ccol_indices": "column compressed", "row_indices": "column compressed"}
METHODS = {
    **{name: _conversion(name) for name in ("to_sparse", "to_sparse_coo", "to_sparse_csr", "to_sparse_csc", "sparse_mask")},
    **{name: _only_sparse(name) for name in ("coalesce", "is_coalesced", "indices", "values", "_indices", "_values", "_nnz")},
    **{name: _only_sparse(name, layout) for name, layout in COMPRESSED.items()},
    "to_dense": to_dense, "sparse_dim": sparse_dim, "dense_dim": dense_dim,
}
