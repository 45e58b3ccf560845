"""Methods that read numbers: they realize the tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.tensor.core import Tensor, unwrap
from rushlight.tensor.functions import splitting
from rushlight.tensor.methods.gradients import detach


def item(self: Tensor) -> Any:
    """The only element as a Python number."""
    if self._spec.numel != 1:
        raise RuntimeError(f"a Tensor with {self._spec.numel} elements cannot be converted to Scalar. Its shape is "
                           f"{list(self._spec.shape)}; reduce it, for example with .sum(), or use .tolist().")
    s, memory = self._spec, self._storage.memory()
    if s.dtype is dtypes.bfloat16 or memory.dtype != s.dtype.numpy:
        value = unwrap(self).reshape(-1)[0]
        return value.item() if s.dtype is not dtypes.bfloat16 else float(value)
    return memory.item(s.offset)


def tolist(self: Tensor) -> Any:
    """The elements as nested lists of Python numbers."""
    array = unwrap(self)
    return (array.astype(np.float32) if self._spec.dtype is dtypes.bfloat16 else array).tolist()


def numpy(self: Tensor, *, force: bool = False) -> np.ndarray:
    """The values as a NumPy array on the same memory. RuntimeError for tensors
    that require gradients unless force=True."""
    if self.requires_grad:
        if not force:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        self = detach(self)
    if self._spec.dtype is dtypes.bfloat16:
        raise TypeError("Got unsupported ScalarType BFloat16")
    return _shared_array(self)


def _shared_array(t: Tensor) -> np.ndarray:
    from rushlight.exec.numpy.executor import view as array_view
    t._storage.share()
    s = t._spec
    size = s.dtype.itemsize
    home = t._storage.home
    if s.numel == 0:
        return np.empty(s.shape, s.dtype.numpy)
    if s.plain and home.dtype == s.dtype.numpy and home.size == s.numel:
        return home.reshape(s.shape)
    if home.dtype == s.dtype.numpy:
        return np.lib.stride_tricks.as_strided(home[s.offset:], s.shape, tuple(n * size for n in s.strides))
    return array_view(home, s.dtype.numpy, s.shape, tuple(n * size for n in s.strides), s.offset * size)


def __array__(self: Tensor, dtype: Any = None, copy: Any = None) -> np.ndarray:
    array = numpy(self) if self._spec.dtype is not dtypes.bfloat16 else unwrap(self).astype(np.float32)
    return array if dtype is None else array.astype(dtype, copy=False)


def __dlpack__(self: Tensor, *, stream: Any = None, max_version: Any = None, dl_device: Any = None,
               copy: Any = None) -> Any:
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    self._storage.share()
    self._storage.forever = True
    array = _shared_array(self)
    return array.__dlpack__() if max_version is None else array.__dlpack__(max_version=max_version)


def __dlpack_device__(self: Tensor) -> tuple[int, int]:
    return 1, 0


def data_ptr(self: Tensor) -> int:
    """The address of the first element."""
    self._storage.share()
    self._storage.forever = True
    return int(self._storage.home.ctypes.data) + self._spec.offset * self._spec.dtype.itemsize


def __bool__(self: Tensor) -> bool:
    if self._spec.numel != 1:
        if self._spec.numel == 0:
            raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous. "
                           f"Its shape is {list(self._spec.shape)}; use .any() or .all().")
    if self._storage.batched:
        from rushlight.func.batching import NO_CONTROL
        raise RuntimeError(NO_CONTROL)
    return bool(item(self))


def __int__(self: Tensor) -> int:
    return int(item(self))


def __float__(self: Tensor) -> float:
    return float(item(self))


def __complex__(self: Tensor) -> complex:
    return complex(item(self))


def __index__(self: Tensor) -> int:
    if self._spec.dtype.kind not in "biu" or self._spec.numel != 1:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(item(self))


def __len__(self: Tensor) -> int:
    if not self._spec.shape:
        raise TypeError("len() of a 0-d tensor")
    return self._spec.shape[0]


def __iter__(self: Tensor) -> Any:
    if not self._spec.shape:
        raise TypeError("iteration over a 0-d tensor")
    return iter(splitting.unbind(self, 0))


def __contains__(self: Tensor, element: Any) -> bool:
    if isinstance(element, (Tensor, int, float, bool, complex)):
        return bool((self == element).any())
    raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")


def __repr__(self: Tensor, *, tensor_contents: Any = None) -> str:
    from rushlight.tensor.printing import format_tensor
    if self._storage.batched:
        from rushlight.func import batching
        return batching.describe(self)
    fn = self.grad_fn
    kind = type(self).__name__
    return format_tensor(unwrap(self), self._spec.dtype, requires_grad=self.requires_grad,
                         grad_fn_name=fn.name() if fn is not None else None, is_parameter=kind == "Parameter")


def __format__(self: Tensor, text: str) -> str:
    if not self._spec.shape and type(self) is Tensor:
        return item(self).__format__(text)
    return object.__format__(self, text)
