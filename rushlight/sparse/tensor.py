"""Sparse tensors: a shape over dense component tensors of the lazy graph.

A sparse tensor has no memory and no history of its own. Its values are a dense tensor, whose history is the sparse
tensor's: ``requires_grad``, ``grad_fn`` and ``grad`` are those of the values, so that autograd needs to know nothing of
sparsity. The indices are dense int64 tensors that are never differentiated.

Elementwise operations, products and sums reach `rushlight.sparse.rules` by way of the recorder; what is a method only,
or needs no recording, is defined here.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from rushlight.autograd.grad_mode import no_grad
from rushlight.ir.spec import spec
from rushlight.sparse.storage import FOR_DENSE, SparseStorage, backend
from rushlight.tensor import formats
from rushlight.tensor.core import Tensor, gradient_edge, unwrap


class SparseTensor(Tensor):
    """What COO and compressed tensors share."""

    _vals: Tensor
    layout: Any

    @classmethod
    def _make(cls, shape: Any, values: Tensor) -> Any:
        """An instance of that shape with these values; the subclass sets its indices."""
        t: Any = object.__new__(cls)
        t._spec = spec(values._spec.dtype, tuple(int(n) for n in shape))
        t._storage = t._vc = SparseStorage(t._spec.numel, t._spec.dtype)
        t._vals = values
        return t

    def with_values(self, values: Tensor) -> Any:
        """The same pattern with other values."""
        raise NotImplementedError

    def _become(self, other: Any) -> Any:
        """Take over what another sparse tensor of this shape holds: what writing in place does."""
        if not isinstance(other, type(self)):
            raise RuntimeError("a sparse tensor cannot take dense values in place. Use the operation without the underscore.")
        self.__dict__.update({k: v for k, v in other.__dict__.items() if k not in ("_storage", "_vc", "_spec")})
        self._vc.version += 1
        return self

    # --- history: that of the values ----------------------------------------------------------------------------------
    @property
    def _rg(self) -> bool:  # type: ignore[override]
        return self._vals.requires_grad

    @property
    def _grad_fn(self) -> Any:  # type: ignore[override]
        return gradient_edge(self._vals)[0] if self._vals.requires_grad else None

    @property
    def _out(self) -> int:  # type: ignore[override]
        return gradient_edge(self._vals)[1] if self._vals.requires_grad else 0

    @property
    def grad_fn(self) -> Any:
        """The node of the values."""
        return self._vals.grad_fn

    @property
    def is_leaf(self) -> bool:
        """Whether the values are a leaf."""
        return bool(self._vals.is_leaf)  # type: ignore[attr-defined]

    @property
    def grad(self) -> Any:
        """The gradient: sparse, of the same pattern."""
        g = self._vals.grad
        return None if g is None else self.with_values(g)

    @grad.setter
    def grad(self, value: Any) -> None:
        self._vals.grad = value._vals if isinstance(value, SparseTensor) else value

    @property
    def requires_grad(self) -> bool:
        """Whether the values require gradients."""
        return self._vals.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Record gradients of the values; returns the tensor."""
        self._vals.requires_grad_(requires_grad)  # type: ignore[attr-defined]
        return self

    def retain_grad(self) -> None:
        """Keep the gradient of the values."""
        self._vals.retain_grad()  # type: ignore[attr-defined]

    def detach(self) -> Any:
        """The same pattern and values without history."""
        return self.with_values(self._vals.detach())  # type: ignore[attr-defined]

    @property
    def data(self) -> Any:
        """`detach`."""
        return self.detach()

    def backward(self, gradient: Any = None, retain_graph: Any = None, create_graph: bool = False, inputs: Any = None) -> None:
        """Backward from the values, weighted by those of a sparse gradient of the same pattern."""
        weights = gradient._vals if isinstance(gradient, SparseTensor) else gradient
        self._vals.backward(weights, retain_graph, create_graph, inputs)  # type: ignore[attr-defined]

    # --- what it is -----------------------------------------------------------------------------------------------------
    def values(self) -> Any:
        """The stored values; a view of them that keeps their history."""
        return self._vals.view(self._vals.shape) if self._vals.requires_grad else self._vals.detach()  # type: ignore[attr-defined]

    def _values(self) -> Any:
        return SparseTensor.values(self)

    def _nnz(self) -> int:
        return int(self._vals._spec.shape[0])

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """False: there is no order of elements in memory."""
        return False

    def contiguous(self, memory_format: Any = None) -> Any:
        """The tensor itself."""
        return self

    def numel(self) -> int:
        """The number of elements of the shape, stored or not."""
        return self._spec.numel

    def __len__(self) -> int:
        if not self._spec.shape:
            raise TypeError("len() of a 0-d tensor")
        return self._spec.shape[0]

    def to_dense(self, dtype: Any = None, *, masked_grad: Any = None) -> Any:
        """The dense tensor, differentiable in the values."""
        raise NotImplementedError

    # --- values in Python -----------------------------------------------------------------------------------------------
    def numpy(self, *, force: bool = False) -> NoReturn:
        """There is no NumPy form: TypeError."""
        raise TypeError("can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first.")

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        self.numpy()

    def tolist(self) -> NoReturn:
        """There is no list form: RuntimeError."""
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage. Use .to_dense().tolist().")

    def data_ptr(self) -> NoReturn:
        """There is no memory: RuntimeError."""
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")

    def storage(self) -> NoReturn:
        """There is no storage: NotImplementedError."""
        raise NotImplementedError("Cannot access storage of SparseTensorImpl")

    untyped_storage = storage

    def item(self) -> Any:
        """The only element. RuntimeError for a shape of several."""
        if self._spec.numel != 1:
            raise RuntimeError(f"a Tensor with {self._spec.numel} elements cannot be converted to Scalar")
        return self.to_dense().item()

    def __bool__(self) -> bool:
        if self._spec.numel != 1:
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous. Use .values().any() or .all().")
        return bool(self.item())

    # --- copies -----------------------------------------------------------------------------------------------------------
    def clone(self, *, memory_format: Any = None) -> Any:
        """A copy of pattern and values."""
        return self.with_values(self._vals.clone())  # type: ignore[attr-defined]

    def __deepcopy__(self, memo: Any) -> Any:
        with no_grad():
            copy = self.detach().clone().requires_grad_(self.requires_grad)
        memo[id(self)] = copy
        return copy

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise NotImplementedError("sparse tensors cannot be pickled or saved; save indices(), values() and the shape")

    # --- shapes that it does not take -----------------------------------------------------------------------------------
    def reshape(self, *shape: Any) -> NoReturn:
        """There is no sparse reshape: RuntimeError."""
        raise RuntimeError("reshape is not implemented for sparse tensors")

    def view(self, *shape: Any) -> NoReturn:
        """There is no view of a sparse tensor: NotImplementedError."""
        raise NotImplementedError(FOR_DENSE.format("view", backend(self.layout)))

    def pow(self, exponent: Any) -> Any:
        """The stored values to a power; 0 stays 0. RuntimeError for an exponent that is no number or 0."""
        if isinstance(exponent, Tensor) or exponent == 0:
            raise RuntimeError("pow(sparse) takes a number other than 0: nothing else keeps zeros")
        own = self.coalesce() if isinstance(self, CooTensor) else self
        return own.with_values(own._vals ** exponent)  # type: ignore[operator]

    __pow__ = pow

    def type(self, dtype: Any = None, non_blocking: bool = False, **kwargs: Any) -> Any:
        """The name of the type, or the tensor in another one."""
        if dtype is None:
            from rushlight.autograd.graph import type_name
            return type_name(self.dtype).replace("torch.", "torch.sparse." if self.layout is formats.sparse_coo else "torch.sparse_csr.")
        return self.to(dtype)  # type: ignore[attr-defined]

    # --- in place -----------------------------------------------------------------------------------------------------------
    def add_(self, other: Any, *, alpha: Any = 1) -> Any:
        """Add a sparse tensor in place."""
        return self._become(self + (other if alpha == 1 else other * alpha))  # type: ignore[operator]

    def sub_(self, other: Any, *, alpha: Any = 1) -> Any:
        """Subtract a sparse tensor in place."""
        return self._become(self - (other if alpha == 1 else other * alpha))  # type: ignore[operator]

    def mul_(self, other: Any) -> Any:
        """Multiply the values in place."""
        return self._become(self * other)  # type: ignore[operator]

    def div_(self, other: Any, *, rounding_mode: Any = None) -> Any:
        """Divide the values in place."""
        return self._become(self.div(other, rounding_mode=rounding_mode))  # type: ignore[attr-defined]

    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

    def copy_(self, src: Any, non_blocking: bool = False) -> Any:
        """Take over pattern and values of a sparse tensor."""
        return self._become(src.clone())

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        from rushlight.sparse.printing import describe
        return describe(self)

    __str__ = __repr__


class CooTensor(SparseTensor):
    """Coordinates (sparse dimensions, n) and values (n, dense dimensions…); equal coordinates stand for the sum of their values."""

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
        return CooTensor.build(self._at, values, (*self._spec.shape[:self.sparse_dim()], *values._spec.shape[1:]), self._coalesced)

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

    # --- patterns, read as NumPy arrays ---------------------------------------------------------------------------------
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

    # --- movement of sparse dimensions ----------------------------------------------------------------------------------
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
            raise RuntimeError(f"t() expects a tensor with <= 2 sparse and 0 dense dimensions, but got {self.sparse_dim()} sparse and "
                               f"{self.dense_dim()} dense dimensions")
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


class CompressedTensor(SparseTensor):
    """A matrix with compressed rows (CSR) or columns (CSC): where each begins among the values, and the other coordinate of each value."""

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
            raise RuntimeError(f"{name} expected sparse {kind} compressed tensor layout but got {'SparseCsr' if kind == 'column' else 'SparseCsc'}")
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


def _no_view(name: str) -> Any:
    def method(self: SparseTensor, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(FOR_DENSE.format(name, backend(self.layout)))
    method.__name__ = method.__qualname__ = name
    method.__doc__ = "There is no view of a sparse tensor: NotImplementedError."
    return method


for _name in """narrow expand expand_as view_as as_strided unfold diagonal flatten unflatten chunk split
        tensor_split unbind ravel squeeze_ unsqueeze_ transpose_ t_ resize_ set_ fill_""".split():
    setattr(SparseTensor, _name, _no_view(_name))
