"""Tensors on memory that exists, and the memory of tensors."""

from __future__ import annotations

import numpy as np

from rushlight.exec.realize import realize
from rushlight.ir.dtype import DType, of_numpy
from rushlight.ir.graph import Cell
from rushlight.ir.spec import spec
from rushlight.tensor.core import Tensor, new_tensor
from rushlight.tensor.state import state
from rushlight.tensor.storage import Storage


def wrap(array: np.ndarray, dtype: DType | None = None) -> Tensor:
    """A tensor that takes over a fresh array, without a copy where it is contiguous."""
    if not array.flags.c_contiguous or not array.flags.writeable:
        array = np.array(array, order="C")
    d = dtype or of_numpy(array.dtype)
    t = from_flat(array.reshape(-1), array.shape, None, 0)
    assert t._spec.dtype is d
    return t


def from_flat(array: np.ndarray, shape: tuple[int, ...], strides: tuple[int, ...] | None = None,
              offset: int = 0) -> Tensor:
    """A tensor with a new storage on flat memory."""
    d = of_numpy(array.dtype)
    cell = Cell(None, 0, array)
    return new_tensor(Storage(cell, array.size, d),
                      spec(d, tuple(shape), None if strides is None else tuple(strides), offset))


def from_storage(storage: Storage, dtype: DType, shape: tuple[int, ...], strides: tuple[int, ...] | None,
                 offset: int) -> Tensor:
    """A tensor on a storage that exists."""
    return new_tensor(storage, spec(dtype, tuple(shape), None if strides is None else tuple(strides), offset))


def flat_memory(storage: Storage) -> np.ndarray:
    """The realized memory of a storage, one-dimensional."""
    return storage.memory()


def unwrap(t: Tensor) -> np.ndarray:
    """The realized values for reading inside the package; not to be written to."""
    s = t._spec
    flat = t._storage.memory()
    size = s.dtype.itemsize
    if s.plain and flat.dtype == s.dtype.numpy and flat.size == s.numel:
        return flat.reshape(s.shape)
    from rushlight.exec.numpy.executor import view as array_view
    return array_view(flat, s.dtype.numpy, s.shape, tuple(n * size for n in s.strides), s.offset * size)


def start_pending() -> None:
    """Run everything that the calling thread has recorded and that is still of use; the last of it may run on meanwhile."""
    realize(state.graph, leave=True)


def realize_pending() -> None:
    """Run everything that the calling thread has recorded and that is still of use."""
    realize(state.graph)
