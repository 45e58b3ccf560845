"""Tensors with compressed rows or columns (CSR, CSC, BSR, BSC)."""

from __future__ import annotations

from typing import Any, NoReturn

from rushlight.sparse.coo import CooTensor
from rushlight.sparse.tensor import SparseTensor
from rushlight.tensor import formats
from rushlight.tensor.core import Tensor


class CompressedTensor(SparseTensor):
    """A matrix with compressed rows (CSR) or columns (CSC): where each begins among the values, and the other
    coordinate of each value."""

    layout = property(lambda self: self._layout)
    is_sparse_csr = property(lambda self: self._layout is formats.sparse_csr)
    _layout: Any
    _starts: Tensor
    _others: Tensor

    @classmethod
    def build(cls, starts: Tensor, others: Tensor, values: Tensor, shape: Any, layout: Any) -> CompressedTensor:
        """Of components that fit (see `creation.sparse_csr_tensor` for checks)."""
        t = cls._make(shape, values)
        t._starts, t._others, t._layout = starts, others, layout
        return t  # type: ignore[no-any-return]

    def with_values(self, values: Tensor) -> CompressedTensor:
        """The same pattern with other values."""
        return CompressedTensor.build(self._starts, self._others, values, self._spec.shape, self.layout)

    def _component(self, name: str, layout: Any, kind: str, value: Tensor) -> Tensor:
        if self.layout is not layout:
            raise RuntimeError(f"{name} expected sparse {kind} compressed tensor layout but got "
                               f"{'SparseCsr' if kind == 'column' else 'SparseCsc'}")
        return value

    def crow_indices(self) -> Tensor:
        """Where each row begins. RuntimeError for other layouts."""
        return self._component("crow_indices", formats.sparse_csr, "row", self._starts)

    def col_indices(self) -> Tensor:
        """The column of each value. RuntimeError for other layouts."""
        return self._component("col_indices", formats.sparse_csr, "row", self._others)

    def ccol_indices(self) -> Tensor:
        """Where each column begins. RuntimeError for other layouts."""
        return self._component("ccol_indices", formats.sparse_csc, "column", self._starts)

    def row_indices(self) -> Tensor:
        """The row of each value. RuntimeError for other layouts."""
        return self._component("row_indices", formats.sparse_csc, "column", self._others)

    def sparse_dim(self) -> int:
        """Two."""
        return 2

    def dense_dim(self) -> int:
        """None here: values are numbers."""
        return 0

    def indices(self) -> NoReturn:
        """Of COO tensors only: RuntimeError."""
        raise RuntimeError("indices expected sparse coordinate tensor layout but got SparseCsr")

    def to_sparse_coo(self) -> CooTensor:
        """The tensor with coordinates."""
        from rushlight.sparse.conversion import expand
        return expand(self)

    def to_sparse(self, *args: Any, layout: Any = None, **kw: Any) -> Any:
        """The tensor with coordinates, or in another sparse layout."""
        from rushlight.sparse.conversion import convert
        return convert(self, args[0] if args else None, layout or formats.sparse_coo)

    def _as(self, layout: Any) -> Any:
        from rushlight.sparse.conversion import compress
        return self if self.layout is layout else compress(self.to_sparse_coo(), layout)

    def to_sparse_csr(self, dense_dim: Any = None) -> Any:
        """The tensor with compressed rows."""
        return self._as(formats.sparse_csr)

    def to_sparse_csc(self, dense_dim: Any = None) -> Any:
        """The tensor with compressed columns."""
        return self._as(formats.sparse_csc)

    def to_dense(self, dtype: Any = None, *, masked_grad: Any = None) -> Any:
        """The dense tensor, differentiable in the values."""
        return self.to_sparse_coo().to_dense(dtype)

    def transpose(self, dim0: int, dim1: int) -> CompressedTensor:
        """The transposed matrix: compressed rows become compressed columns."""
        if dim0 % 2 == dim1 % 2:
            return self
        other = formats.sparse_csc if self.layout is formats.sparse_csr else formats.sparse_csr
        return CompressedTensor.build(self._starts, self._others, self._vals, self._spec.shape[::-1], other)

    def t(self) -> CompressedTensor:
        """The transposed matrix."""
        return self.transpose(0, 1)

    T = mT = property(t)

    def __getitem__(self, key: Any) -> Any:
        return self.to_sparse_coo()[key]
