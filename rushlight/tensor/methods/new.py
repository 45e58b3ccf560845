"""Methods that make tensors of the same dtype."""

from __future__ import annotations

from typing import Any

from rushlight.tensor import creation
from rushlight.tensor.core import Tensor


def new_tensor_(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
                layout: Any = None, pin_memory: bool = False) -> Tensor:
    """A tensor of data in this tensor's dtype."""
    return creation.tensor(data, dtype=dtype or self._spec.dtype, device=device, requires_grad=requires_grad)


def new_full(self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
             requires_grad: bool = False, layout: Any = None, pin_memory: bool = False) -> Tensor:
    """One value, in this tensor's dtype."""
    return creation.full(size, fill_value, dtype=dtype or self._spec.dtype, device=device, requires_grad=requires_grad)


def new_zeros(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False,
              layout: Any = None, pin_memory: bool = False, **kw: Any) -> Tensor:
    """Zeros in this tensor's dtype."""
    return creation.zeros(*size, dtype=dtype or self._spec.dtype, device=device, requires_grad=requires_grad, **kw)


new_empty = new_zeros


def new_ones(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False,
             layout: Any = None, pin_memory: bool = False, **kw: Any) -> Tensor:
    """Ones in this tensor's dtype."""
    return creation.ones(*size, dtype=dtype or self._spec.dtype, device=device, requires_grad=requires_grad, **kw)


def new_empty_strided(self: Tensor, size: Any, stride: Any, *, dtype: Any = None, device: Any = None,
                      requires_grad: bool = False, layout: Any = None, pin_memory: bool = False) -> Tensor:
    """Unspecified values with given strides, in this tensor's dtype."""
    return creation.empty_strided(size, stride, dtype=dtype or self._spec.dtype, device=device,
                                  requires_grad=requires_grad)


def new(self: Tensor, *args: Any, **kw: Any) -> Tensor:
    """A tensor of this tensor's dtype by the rules of the old constructors."""
    return creation.legacy_tensor(args, kw, self._spec.dtype)
