"""Sparse tensors: a shape over dense component tensors of the lazy graph.

A sparse tensor has no memory and no history of its own. Its values are a dense tensor, whose history is the sparse
tensor's: ``requires_grad``, ``grad_fn`` and ``grad`` are those of the values, so that autograd needs to know nothing of
sparsity. The indices are dense int64 tensors that are never differentiated.

Elementwise operations, products and sums reach `rushlight.sparse.rules` by way of the recorder; what is a method only,
or needs no recording, is defined here.
"""

from __future__ import annotations

from typing import Any, NoReturn

from rushlight.autograd.grad_mode import no_grad
from rushlight.ir.spec import spec
from rushlight.sparse.storage import FOR_DENSE, SparseStorage, backend
from rushlight.tensor import formats
from rushlight.tensor.core import Tensor, gradient_edge


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

    def _distinct(self) -> Any:
        """The tensor with one value for each place."""
        return self

    def _become(self, other: Any) -> Any:
        """Take over what another sparse tensor of this shape holds: what writing in place does."""
        if not isinstance(other, type(self)):
            raise RuntimeError("a sparse tensor cannot take dense values in place. "
                               "Use the operation without the underscore.")
        self.__dict__.update({k: v for k, v in other.__dict__.items() if k not in ("_storage", "_vc", "_spec")})
        self._vc.version += 1
        return self

    # --- history: that of the values ----------------------------------------------------------------------------------
    @property
    def _rg(self) -> bool:  # type: ignore[override]
        return self._vals.requires_grad

    @property
    def _grad_fn(self) -> Any:
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
        return bool(self._vals.is_leaf)

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
        self._vals.requires_grad_(requires_grad)
        return self

    def retain_grad(self) -> None:
        """Keep the gradient of the values."""
        self._vals.retain_grad()

    def detach(self) -> Any:
        """The same pattern and values without history."""
        return self.with_values(self._vals.detach())

    @property
    def data(self) -> Any:
        """`detach`."""
        return self.detach()

    def backward(self, gradient: Any = None, retain_graph: Any = None, create_graph: bool = False,
                 inputs: Any = None) -> None:
        """Backward from the values, weighted by those of a sparse gradient of the same pattern."""
        weights = gradient._vals if isinstance(gradient, SparseTensor) else gradient
        self._vals.backward(weights, retain_graph, create_graph, inputs)

    # --- what it is
    # -----------------------------------------------------------------------------------------------------
    def values(self) -> Any:
        """The stored values; a view of them that keeps their history."""
        return self._vals.view(self._vals.shape) if self._vals.requires_grad else self._vals.detach()

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

    # --- values in Python
    # -----------------------------------------------------------------------------------------------
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
            raise RuntimeError("Boolean value of Tensor with more than one value is "
                               "ambiguous. Use .values().any() or .all().")
        return bool(self.item())

    # --- copies
    # -----------------------------------------------------------------------------------------------------------
    def clone(self, *, memory_format: Any = None) -> Any:
        """A copy of pattern and values."""
        return self.with_values(self._vals.clone())

    def __deepcopy__(self, memo: Any) -> Any:
        with no_grad():
            copy = self.detach().clone().requires_grad_(self.requires_grad)
        memo[id(self)] = copy
        return copy

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise NotImplementedError("sparse tensors cannot be pickled or saved; save indices(), values() and the shape")

    # --- shapes that it does not take
    # -----------------------------------------------------------------------------------
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
        own = self._distinct()
        return own.with_values(own._vals ** exponent)

    __pow__ = pow

    def type(self, dtype: Any = None, non_blocking: bool = False, **kwargs: Any) -> Any:
        """The name of the type, or the tensor in another one."""
        if dtype is None:
            from rushlight.autograd.graph import type_name
            return type_name(self.dtype).replace("torch.",
                                                 "torch.sparse." if self.layout is formats.sparse_coo
                                                 else "torch.sparse_csr.")
        return self.to(dtype)

    # --- in place
    # -----------------------------------------------------------------------------------------------------------
    def add_(self, other: Any, *, alpha: Any = 1) -> Any:
        """Add a sparse tensor in place."""
        return self._become(self + (other if alpha == 1 else other * alpha))

    def sub_(self, other: Any, *, alpha: Any = 1) -> Any:
        """Subtract a sparse tensor in place."""
        return self._become(self - (other if alpha == 1 else other * alpha))

    def mul_(self, other: Any) -> Any:
        """Multiply the values in place."""
        return self._become(self * other)

    def div_(self, other: Any, *, rounding_mode: Any = None) -> Any:
        """Divide the values in place."""
        return self._become(self.div(other, rounding_mode=rounding_mode))

    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

    def copy_(self, src: Any, non_blocking: bool = False) -> Any:
        """Take over pattern and values of a sparse tensor."""
        return self._become(src.clone())

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        from rushlight.sparse.printing import describe
        return describe(self)

    __str__ = __repr__


def _no_view(name: str) -> Any:
    def method(self: SparseTensor, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(FOR_DENSE.format(name, backend(self.layout)))
    method.__name__ = method.__qualname__ = name
    method.__doc__ = "There is no view of a sparse tensor: NotImplementedError."
    return method


for _name in """narrow expand expand_as view_as as_strided unfold diagonal flatten unflatten chunk split
        tensor_split unbind ravel squeeze_ unsqueeze_ transpose_ t_ resize_ set_ fill_""".split():
    setattr(SparseTensor, _name, _no_view(_name))
