"""Methods that tell shape, dtype and memory."""

from __future__ import annotations

import sys
from typing import Any

from rushlight.tensor.core import Tensor
from rushlight.tensor.functions import common, shape
from rushlight.tensor.methods.reading import __bool__


def size(self: Tensor, dim: int | None = None) -> Any:
    """The sizes of all dimensions, or of one."""
    return (shape.Size(self._spec.shape) if dim is None else
            self._spec.shape[common.wrap_dim(dim, len(self._spec.shape))])


def stride(self: Tensor, dim: int | None = None) -> Any:
    """The strides of all dimensions, or of one, in elements."""
    return self._spec.strides if dim is None else self._spec.strides[common.wrap_dim(dim, len(self._spec.shape))]


def dim(self: Tensor) -> int:
    """The number of dimensions."""
    return len(self._spec.shape)


ndimension = dim


def numel(self: Tensor) -> int:
    """The number of elements."""
    return self._spec.numel


nelement = numel


def element_size(self: Tensor) -> int:
    """Bytes per element."""
    return self._spec.dtype.itemsize


def storage_offset(self: Tensor) -> int:
    """Where the first element stands in the storage."""
    return self._spec.offset


def is_contiguous(self: Tensor, memory_format: Any = None) -> bool:
    """Whether the memory is in row-major (or the given) order."""
    order = getattr(memory_format, "order", None)
    if order is None:
        return self._spec.contiguous
    return len(order) == len(self._spec.shape) and self._spec.permute(order).contiguous


def is_floating_point(self: Tensor) -> bool:
    """Whether the dtype is a float."""
    return self._spec.dtype.is_floating_point


def is_complex(self: Tensor) -> bool:
    """Whether the dtype is complex."""
    return self._spec.dtype.is_complex


def is_signed(self: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return self._spec.dtype.is_signed


def is_nonzero(self: Tensor) -> bool:
    """Whether the only element is not zero."""
    return __bool__(self)


def is_conj(self: Tensor) -> bool:
    """Always False: conjugates are computed."""
    return False


is_neg = is_conj


def is_inference(self: Tensor) -> bool:
    """Whether the tensor was made in inference mode."""
    return self._inference


def is_pinned(self: Tensor, device: Any = None) -> bool:
    """Always False on the CPU."""
    return False


def is_shared(self: Tensor) -> bool:
    """Whether the memory is in shared memory."""
    shared = sys.modules.get("rushlight.multiprocessing.shared")
    return shared is not None and shared.is_shared(self)


def is_same_size(self: Tensor, other: Tensor) -> bool:
    """Whether the shapes are equal."""
    return self._spec.shape == other._spec.shape


def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both show the same memory in the same way."""
    return self._storage is tensor._storage and self._spec is tensor._spec


def get_device(self: Tensor) -> int:
    """-1 on the CPU."""
    return -1


def untyped_storage(self: Tensor) -> Any:
    """The memory as bytes."""
    from rushlight.tensor.public_storage import UntypedStorage
    return UntypedStorage(self._storage)


def storage(self: Tensor) -> Any:
    """The memory as elements."""
    from rushlight.tensor.public_storage import TypedStorage
    return TypedStorage(self._storage, self._spec.dtype)
