"""Methods that give the tensor as another dtype, device or shape."""

from __future__ import annotations

from typing import Any

from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType
from rushlight.ir.spec import channels_last_order, spec
from rushlight.tensor.core import Tensor
from rushlight.tensor.device import check_device
from rushlight.tensor.functions import shape
from rushlight.tensor.functions.common import cast, shape_of


def to(self: Tensor, *args: Any, dtype: DType | None = None, device: Any = None, non_blocking: bool = False,
       copy: bool = False, memory_format: Any = None) -> Tensor:
    """The tensor with another dtype or on another device: to(dtype), to(device), to(device, dtype), to(other)."""
    rest = list(args)
    while rest:
        a = rest.pop(0)
        if isinstance(a, DType):
            dtype = a
        elif isinstance(a, Tensor):
            dtype = a._spec.dtype
        elif isinstance(a, bool):
            if rest:  # the flags are non_blocking, which changes nothing on a CPU, and copy
                copy = rest.pop(0)
        elif a is not None:
            device = a
    if device is not None:
        check_device(device)
    out = self if dtype is None or dtype is self._spec.dtype else cast(self, dtype)
    if memory_format is not None:
        return _lying(out, memory_format, copy and out is self)
    return shape.clone(self) if copy and out is self else out


def _lying(t: Tensor, memory_format: Any, copy: bool = False) -> Tensor:
    """t in a memory format: itself where it lies so and no copy is asked for."""
    if memory_format.name == "preserve_format":
        return shape.clone(t) if copy else t
    if memory_format.order is None:
        return shape.clone(t, memory_format=memory_format) if copy or not t._spec.contiguous else t
    lies = channels_last_order(t._spec) == memory_format.order
    return t if lies and not copy else shape.in_order(t, memory_format, copy=True)


def _converter(dtype: DType, name: str) -> Any:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        out = cast(self, dtype)
        return out if memory_format is None else _lying(out, memory_format)
    method.__name__ = name
    method.__doc__ = f"The tensor as {dtype}."
    return method


double, half, bfloat16, long, short, char, byte, cfloat, cdouble = (_converter(d, n) for d, n in (
    (dtypes.float64, "double"), (dtypes.float16, "half"), (dtypes.bfloat16, "bfloat16"), (dtypes.int64, "long"),
    (dtypes.int16, "short"),
    (dtypes.int8, "char"), (dtypes.uint8, "byte"), (dtypes.complex64, "cfloat"), (dtypes.complex128, "cdouble")))
_float, _int, _bool = _converter(dtypes.float32, "float"), _converter(dtypes.int32,
                                                                      "int"), _converter(dtypes.bool_, "bool")


def _type(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of the tensor's type, or the tensor as another type."""
    from rushlight.autograd.graph import TYPE_NAMES, type_name
    if dtype is None:
        return type_name(self._spec.dtype)
    if isinstance(dtype, str):
        names = {v: k for k, v in TYPE_NAMES.items()}
        short = dtype.removeprefix("torch.")
        if short not in names:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = dtypes.by_name(names[short])
    return cast(self, getattr(dtype, "dtype", dtype))


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype of another."""
    return cast(self, other._spec.dtype)


def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor on the CPU: itself, where it lies in that memory format."""
    return self if memory_format is None else _lying(self, memory_format)


def cuda(self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """The tensor on a GPU. AssertionError without one."""
    check_device("cuda")
    return self


def xpu(self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """The tensor on an Intel GPU: AssertionError, there is none."""
    raise AssertionError("Torch not compiled with XPU enabled")


def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """The tensor itself: there is no accelerator to pin memory for."""
    return self


def share_memory_(self: Tensor) -> Tensor:
    """Move the memory, for all views of it, where other processes can map it. Returns the tensor."""
    from rushlight.multiprocessing import shared
    return shared.share(self)


def to_dense(self: Tensor, dtype: Any = None, *, masked_grad: bool = True) -> Tensor:
    """The tensor itself: it is dense."""
    return self if dtype is None else cast(self, dtype)


def resolve_conj(self: Tensor) -> Tensor:
    """The tensor itself."""
    return self


resolve_neg = resolve_conj


def view(self: Tensor, *args: Any, size: Any = None, dtype: Any = None) -> Tensor:
    if size is None and dtype is None:
        return shape.view_method(self, *args)
    return shape.view_method(self, *(args if size is None else (size,)), dtype=dtype)


view.__doc__ = shape.view_method.__doc__


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """The same memory in the shape of another tensor."""
    return shape.view_method(self, other._spec.shape)


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """The same elements in the shape of another tensor."""
    return shape.reshape(self, other._spec.shape)


def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """Summed to a shape that broadcasts to this one."""
    target = shape_of(*size)
    s = spec(self._spec.dtype, target)
    if s.expand(self._spec.shape) is None:
        raise RuntimeError(f"size {{{list(target)}}} is not expandable to size {{{list(self._spec.shape)}}}.")
    if not target or target != self._spec.shape:  # a sum of integers is int64
        self = cast(self, dtypes.int64) if self._spec.dtype.kind in "biu" else self
    return shape.sum_to(self, target)


def index(self: Tensor, positions: Any, dims: Any) -> Any:
    """The tensor with the dimensions at these positions indexed by first-class dims: see `functorch.dim`.

    >>> import rushlight as rl
    >>> from rushlight.functorch.dim import dims
    >>> i = dims()
    >>> rl.ones(2, 3).index(0, i).sum(i)
    tensor([2., 2., 2.])
    """
    from rushlight.functorch.dim import indexing
    return indexing.index(self, positions, dims)


# what cannot stand here under its own name, which Python's builtins have
NAMED: dict[str, Any] = {"type": _type, "float": _float, "int": _int, "bool": _bool}
for _name, _method in NAMED.items():
    _method.__name__ = _method.__qualname__ = _name
