"""Methods that write into the tensor, or change what it shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ir.spec import channels_last_order, dense_strides, spec
from rushlight.ops.table import TABLE
from rushlight.tensor import creation, functions
from rushlight.tensor.core import Tensor, apply, assign, check_overlap, flat_memory, unwrap, wrap
from rushlight.tensor.formats import channels_last, channels_last_3d
from rushlight.tensor.functions import shape, subscripts
from rushlight.tensor.functions.checked import checked
from rushlight.tensor.functions.common import shape_of
from rushlight.tensor.inplace import assign_memory, values_there
from rushlight.tensor.state import state


def __setitem__(self: Tensor, index: Any, value: Any) -> None:
    subscripts.setitem(self, index, value)


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Store the values of src, broadcast and converted."""
    if not isinstance(src, Tensor):
        src = creation.tensor(src, dtype=self._spec.dtype)
    if src._spec.expand(self._spec.shape) is None:
        shape.expand(src, self._spec.shape)
    if src is not self:
        check_overlap(self, (src,))
        if (values := values_there(self, src)) is not None:
            return assign_memory(self, values)
    return assign(self, src, severs=True)


def fill_(self: Tensor, value: Any) -> Tensor:
    """Store one value everywhere."""
    if self._rg and state.grad:  # the old values stay in the history, with the gradient 0
        return assign(self, functions.fill(self, value))
    if isinstance(value, Tensor):
        if value._spec.shape:
            raise RuntimeError("fill_ only supports 0-dimension value tensor but got tensor "
                               f"with {len(value._spec.shape)} dimensions.")
        return assign(self, value, severs=True)
    return assign(self, apply(TABLE["full"], (checked(value, self._spec.dtype),), (self._spec.shape, self._spec.dtype)),
                  take=True, severs=True)


def zero_(self: Tensor) -> Tensor:
    """Store zeros."""
    return fill_(self, 0)


def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Store one value on the main diagonal; wrap goes on below a tall matrix's square."""
    if len(self._spec.shape) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(set(self._spec.shape)) > 1 and len(self._spec.shape) > 2:
        raise RuntimeError("all dimensions of input must be of equal length")
    step = sum(self._spec.strides)
    rows, cols = self._spec.shape[0], min(self._spec.shape[1:])
    n = min(rows, cols)
    fill_value = creation.scalar_tensor(checked(fill_value, self._spec.dtype, rounded=True), dtype=self._spec.dtype)
    self.as_strided((n,), (step,), self._spec.offset).fill_(fill_value)
    if wrap and len(self._spec.shape) == 2 and rows > cols + 1:
        done = cols + 1
        while done < rows:
            self[done:].as_strided((min(rows - done, cols),), (step,),
                                   self._spec.offset + done * self._spec.strides[0]).fill_(fill_value)
            done += cols + 1
    return self


def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Change the shape in place; new elements are unspecified. RuntimeError where a memory format does not fit the shape."""
    target = shape_of(*sizes)
    order = getattr(memory_format, "order", None)
    if order is not None and len(order) != len(target):
        raise RuntimeError(f"required rank {len(order)} tensor to use {memory_format.name} format")
    s = spec(self._spec.dtype, target, None if order is None else dense_strides(target, order), self._spec.offset)
    if s.extent() > self._storage.size:
        from rushlight.tensor.storage import fresh
        grown = np.zeros(s.extent(), self._storage.dtype.numpy)
        old = flat_memory(self._storage)
        grown[:old.size] = old
        self._storage = self._vc = fresh(grown, self._storage.dtype)
    self._spec = s
    return self


def resize_as_(self: Tensor, the_template: Tensor, memory_format: Any = None) -> Tensor:
    """Change the shape in place to that of another tensor, with preserve_format in its memory format too."""
    if memory_format is not None and memory_format.name == "preserve_format":
        memory_format = next((f for f in (channels_last, channels_last_3d) if f.order == channels_last_order(the_template._spec)), None)
    return resize_(self, the_template._spec.shape, memory_format=memory_format)


def set_(self: Tensor, source: Any = None, storage_offset: int = 0, size: Any = None, stride: Any = None) -> Tensor:
    """Show the memory of another tensor or storage."""
    if source is None:
        source = creation.empty(0, dtype=self._spec.dtype)
    inner = source._storage
    if isinstance(source, Tensor) and size is None:
        self._storage, self._spec, self._vc = inner, source._spec, inner
    else:
        target = (inner.size,) if size is None else shape_of(size)
        self._storage = self._vc = inner
        self._spec = spec(self._spec.dtype, target, None if stride is None else tuple(stride), storage_offset)
    return self


def apply_(self: Tensor, callable: Any) -> Tensor:
    """Replace each element by callable(element). Slow: one Python call per element."""
    array = unwrap(self)
    found = np.array([callable(v) for v in array.reshape(-1).tolist()])
    return assign(self, wrap(found.reshape(array.shape).astype(array.dtype)))


def map_(self: Tensor, tensor: Tensor, callable: Any) -> Tensor:
    """Replace each element by callable(a, b). Slow: one Python call per element."""
    a, b = unwrap(self), unwrap(tensor.expand(self._spec.shape))
    found = np.array([callable(x, y) for x, y in zip(a.reshape(-1).tolist(), b.reshape(-1).tolist())])
    return assign(self, wrap(found.reshape(a.shape).astype(a.dtype)))
