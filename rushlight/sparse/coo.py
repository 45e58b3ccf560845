"""Tensors of coordinates (COO): positions and a value for each."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from rushlight.sparse.storage import FOR_DENSE
from rushlight.sparse.tensor import SparseTensor
from rushlight.tensor import formats
from rushlight.tensor.core import Tensor, unwrap


class CooTensor(SparseTensor):
    """Coordinates (sparse dimensions, n) and values (n, dense dimensions…);
    equal coordinates stand for the sum of their values."""

    layout = formats.sparse_coo
    is_sparse = True
    _at: Tensor
    _coalesced: bool

    @classmethod
    def build(cls, indices: Tensor, values: Tensor, shape: Any, coalesced: bool = False) -> CooTensor:
        """Of components that fit (see `creation.sparse_coo_tensor` for checks)."""
        t = cls._make(shape, values)
        t._at, t._coalesced = indices, coalesced
        return t  # type: ignore[no-any-return]

    def with_values(self, values: Tensor) -> CooTensor:
        """The same coordinates with other values."""
        return CooTensor.build(self._at, values,
                               (*self._spec.shape[:self.sparse_dim()], *values._spec.shape[1:]), self._coalesced)

    def sparse_dim(self) -> int:
        """How many dimensions have coordinates."""
        return int(self._at._spec.shape[0])

    def dense_dim(self) -> int:
        """How many dimensions a value has."""
        return len(self._spec.shape) - self.sparse_dim()

    def is_coalesced(self) -> bool:
        """Whether the coordinates are known to be sorted and different."""
        return self._coalesced

    def _indices(self) -> Tensor:
        return self._at

    def _coalesced_(self, coalesced: bool) -> CooTensor:
        self._coalesced = coalesced
        return self

    def indices(self) -> Tensor:
        """The coordinates. RuntimeError unless coalesced."""
        if not self._coalesced:
            raise RuntimeError("Cannot get indices on an uncoalesced tensor, please call .coalesce() first")
        return self._at

    def values(self) -> Any:
        """The values. RuntimeError unless coalesced."""
        if not self._coalesced:
            raise RuntimeError("Cannot get values on an uncoalesced tensor, please call .coalesce() first")
        return super().values()

    def crow_indices(self) -> NoReturn:
        """Of compressed tensors only: RuntimeError."""
        raise RuntimeError("crow_indices expected sparse row compressed tensor layout but got Sparse")

    def col_indices(self) -> NoReturn:
        """Of compressed tensors only: RuntimeError."""
        raise RuntimeError("col_indices expected sparse row compressed tensor layout but got Sparse")

    # --- patterns, read as NumPy arrays
    # ---------------------------------------------------------------------------------
    def places(self) -> np.ndarray:
        """The coordinates as an array."""
        return unwrap(self._at)

    def flat(self) -> np.ndarray:
        """For each value the number of its place among all of the sparse dimensions."""
        shape = self._spec.shape[:self.sparse_dim()]
        at = self.places()
        return np.ravel_multi_index(tuple(at), shape) if shape and at.size else np.zeros(at.shape[1], np.int64)

    def coalesce(self) -> CooTensor:
        """The same tensor with sorted coordinates, each once, the values of equal ones added."""
        from rushlight.sparse.patterns import merge
        if self._coalesced:
            return self
        return merge(self.places(), self._vals, self._spec.shape)

    def _distinct(self) -> CooTensor:
        return self.coalesce()

    def to_dense(self, dtype: Any = None, *, masked_grad: Any = None) -> Any:
        """The dense tensor, differentiable in the values."""
        from rushlight.sparse.patterns import dense
        out = dense(self)
        return out if dtype is None else out.to(dtype)

    def to_sparse(self, *args: Any, layout: Any = None, **kw: Any) -> Any:
        """The tensor itself, or in another sparse layout."""
        from rushlight.sparse.conversion import convert
        return self if not args and layout is None else convert(self, args[0] if args else None, layout)

    def to_sparse_coo(self) -> CooTensor:
        """The tensor itself."""
        return self

    def to_sparse_csr(self, dense_dim: Any = None) -> Any:
        """The tensor with compressed rows."""
        from rushlight.sparse.conversion import compress
        return compress(self, formats.sparse_csr)

    def to_sparse_csc(self, dense_dim: Any = None) -> Any:
        """The tensor with compressed columns."""
        from rushlight.sparse.conversion import compress
        return compress(self, formats.sparse_csc)

    def zero_(self) -> CooTensor:
        """Forget all values."""
        return self._become(CooTensor.build(self._at[:, :0], self._vals.detach()[:0], self._spec.shape, True))

    def sparse_mask(self, mask: Any) -> Any:
        """The values at the places of another sparse tensor."""
        from rushlight.sparse.patterns import masked
        return masked(self, mask)

    # --- movement of sparse dimensions
    # ----------------------------------------------------------------------------------
    def permute(self, *dims: Any) -> CooTensor:
        """The dimensions in another order; sparse ones stay among themselves."""
        from rushlight.sparse.patterns import permute
        return permute(self, dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims)

    def transpose(self, dim0: int, dim1: int) -> CooTensor:
        """Two sparse dimensions exchanged."""
        order = list(range(len(self._spec.shape)))
        order[dim0], order[dim1] = order[dim1], order[dim0]
        return self.permute(order)

    def t(self) -> CooTensor:
        """The transposed matrix. RuntimeError for more than two dimensions."""
        if len(self._spec.shape) > 2 or self.dense_dim():
            raise RuntimeError("t() expects a tensor with <= 2 sparse and 0 dense dimensions, "
                               f"but got {self.sparse_dim()} sparse and {self.dense_dim()} dense dimensions")
        return self.permute(range(len(self._spec.shape) - 1, -1, -1))

    T = property(t)
    mT = property(lambda self: self.transpose(-2, -1))

    def unsqueeze(self, dim: int) -> CooTensor:
        """A new sparse dimension of size 1."""
        from rushlight.sparse.patterns import unsqueeze
        return unsqueeze(self, dim)

    def index_select(self, dim: int, index: Tensor) -> CooTensor:
        """The given places along a dimension."""
        from rushlight.sparse.patterns import index_select
        return index_select(self, dim, index)

    def select(self, dim: int, index: int) -> Any:
        """One place along a dimension, which goes."""
        from rushlight.sparse.patterns import select
        return select(self, dim, index)

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(k, (int, np.integer)) for k in keys):
            raise NotImplementedError(FOR_DENSE.format("as_strided", "SparseCPU"))
        out: Any = self
        for d, k in enumerate(keys):
            if isinstance(out, CooTensor) and not -len(out) <= k < len(out):
                raise IndexError(f"index {k} is out of bounds for dimension {d} with size {len(out)}")
            out = out.select(0, int(k)) if isinstance(out, CooTensor) else out[int(k)]
        return out

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))
