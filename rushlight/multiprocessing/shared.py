"""Tensors in memory that several processes map: anonymous files, handed over by their descriptors."""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from multiprocessing import reduction
from typing import Any

import numpy as np

from rushlight.ir.spec import spec
from rushlight.tensor.core import Tensor, new_tensor
from rushlight.tensor.memory import realize_pending
from rushlight.tensor.storage import Storage, fresh


class _File:
    """An open anonymous file, closed when nobody needs it any more."""

    def __init__(self, fd: int):
        self.fd = fd
        weakref.finalize(self, os.close, fd)


_files: weakref.WeakKeyDictionary[Storage, _File] = weakref.WeakKeyDictionary()


def is_shared(t: Tensor) -> bool:
    """Whether the tensor's memory is shared."""
    return t._storage in _files


def _anonymous(size: int) -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("rushlight")
    else:
        fd, name = tempfile.mkstemp()
        os.unlink(name)
    os.ftruncate(fd, max(size, 1))
    return fd


def _mapped(file: _File, dtype: Any, count: int) -> Any:
    memory = mmap.mmap(file.fd, max(count * dtype.itemsize, 1))
    return np.frombuffer(memory, dtype.numpy, count)


def share(t: Tensor) -> Tensor:
    """Move the tensor's memory, for all its views, into shared memory. Returns the tensor."""
    storage = t._storage
    if storage in _files:
        return t
    if storage.home is not None and storage.exposed():
        raise RuntimeError("this tensor's memory belongs to somebody outside (NumPy, DLPack), "
                           "so it cannot be moved into shared memory; clone() it first")
    realize_pending()
    flat = storage.memory()
    file = _File(_anonymous(flat.nbytes))
    memory = _mapped(file, storage.dtype, flat.size)
    memory[:] = flat
    storage.cell.buffer = storage.home = memory
    storage.owner, storage.forever = memory.base, True  # others may read and write at any time
    _files[storage] = file
    return t


def _rebuild(kind: Any, handle: Any, count: int, dtype: Any, shape: Any, strides: Any, offset: int, requires_grad: bool,
             extra: dict[str, Any]) -> Tensor:
    file = _File(handle.detach())
    memory = _mapped(file, dtype[0], count)
    storage = fresh(memory, dtype[0])
    storage.home, storage.owner, storage.forever = memory, memory.base, True
    _files[storage] = file
    t = new_tensor(storage, spec(dtype[1], shape, strides, offset))
    t.__class__ = kind
    t.__dict__.update(extra)
    t._rg = requires_grad
    return t


def _reduce(t: Tensor) -> Any:
    if t._grad_fn is not None:
        raise RuntimeError("Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd "
                           "does not support crossing process boundaries. If you just want to transfer the data, "
                           "call detach() on the tensor before serializing (e.g., putting it on the queue).")
    try:
        share(t)
    except RuntimeError:  # memory of somebody else goes by value
        return t.__reduce_ex__(2)
    s = t._spec
    keep = ("_storage", "_spec", "_vc", "_acc", "_base", "_view", "_seen", "_grad_fn", "_rg", "grad", "_leaf_hooks")
    extra = {k: v for k, v in t.__dict__.items() if k not in keep}
    handle = reduction.DupFd(_files[t._storage].fd)
    return _rebuild, (type(t), handle, t._storage.size, (t._storage.dtype, s.dtype),
                      s.shape, s.strides, s.offset, t._rg, extra)


def register() -> None:
    """Tell multiprocessing's pickler about tensors and parameters."""
    from rushlight.nn import Buffer, Parameter
    for kind in (Tensor, Parameter, Buffer):
        reduction.ForkingPickler.register(kind, _reduce)
