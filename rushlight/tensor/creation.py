"""Functions that make tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType, float16, float32, of_numpy
from rushlight.ir.spec import dense_order, dense_strides, elementwise_strides, spec
from rushlight.ops.table import TABLE
from rushlight.tensor import formats
from rushlight.tensor.core import Tensor, apply, from_flat, new_tensor, unwrap, wrap
from rushlight.tensor.device import check_device
from rushlight.tensor.device import device as Device
from rushlight.tensor.functions.checked import checked
from rushlight.tensor.functions.common import fit, give, need_tensor, shape_of
from rushlight.tensor.promotion import number_dtype
from rushlight.tensor.state import settings
from rushlight.tensor.storage import Storage


def ready(t: Tensor, requires_grad: bool = False, device: Any = None, layout: Any = None,
          pin_memory: bool = False) -> Tensor:
    """The last step of every creation: device and layout checked, requires_grad set."""
    if device is not None:
        check_device(device)
    if layout is not None and layout is not formats.strided:
        raise NotImplementedError(f"only zeros and empty make tensors with layout={layout}: make a dense one, "
                                  "then convert it with to_sparse() or to_sparse_csr()")
    if requires_grad and t._spec.dtype.kind not in "fc":
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients. "
                           f"This one is {t._spec.dtype.name}.")
    return t.requires_grad_() if requires_grad else t


def tensor(data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False,
           pin_memory: bool = False) -> Tensor:
    """A new tensor with a copy of the data: numbers, nested sequences, NumPy arrays or tensors.

    >>> import rushlight as rl
    >>> rl.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    if isinstance(data, Tensor):
        out = data.detach().clone() if dtype is None else data.detach().to(dtype, copy=True)
        return ready(out, requires_grad, device)
    return ready(wrap(array_of(data, dtype), dtype), requires_grad, device)


def array_of(data: Any, dtype: DType | None = None) -> np.ndarray:
    """Data as a fresh NumPy array in the dtype that PyTorch infers."""
    if dtype is float16:  # rounded twice, as PyTorch does
        with np.errstate(over="ignore"):
            return array_of(data, float32).astype(np.float16)
    if isinstance(data, np.ndarray):
        target = (dtype or of_numpy(data.dtype.newbyteorder("="))).numpy
        if data.dtype.kind == "c" and target.kind != "c":
            return data.real.astype(target)
        return np.array(data, dtype=target, order="C")
    if isinstance(data, np.generic):
        return np.array(data, dtype=(dtype or of_numpy(data.dtype)).numpy)
    if isinstance(data, (bool, int, float, complex)):
        d = dtype or number_dtype(data)
        return np.array(_checked_number(data, d), dtype=d.numpy)
    if hasattr(data, "__array__") and not isinstance(data, (list, tuple)):
        return array_of(np.asarray(data), dtype)
    if not hasattr(data, "__len__") or isinstance(data, (str, bytes, dict, set)):
        if isinstance(data, str):
            raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
        if not hasattr(data, "__index__") and not hasattr(data, "__float__"):
            raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
        return array_of(data.__index__() if hasattr(data, "__index__") else float(data), dtype)
    leaves: list[Any] = []
    shape = _measure(data, leaves)
    if dtype is None:
        dtype = _infer(leaves)
    if dtype.kind in "iub" and any(isinstance(v, (float, complex)) for v in leaves):
        leaves = [_checked_number(v, dtype) for v in leaves]
    try:
        return np.array(leaves, dtype=dtype.numpy).reshape(shape)
    except OverflowError:
        if dtype.kind in "iu" and dtype.itemsize < 8:
            return np.array(leaves, dtype=np.int64).astype(dtype.numpy).reshape(shape)
        raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow") from None


def _checked_number(value: Any, d: DType) -> Any:
    if d.kind in "iu":
        if isinstance(value, float) and not math.isfinite(value):
            raise RuntimeError(f"cannot convert float {value} to {d.name}") if not math.isnan(value) else ValueError(
                "cannot convert float NaN to integer")
        info = np.iinfo(d.numpy)
        if not isinstance(value, complex) and not info.min <= int(value) <= info.max:
            if d.itemsize == 8 or not info.min <= int(value) <= info.max:
                raise RuntimeError(f"value cannot be converted to type {d.name} without overflow")
        return int(value)
    if d.kind == "f" and isinstance(value, complex):
        raise RuntimeError(f"value cannot be converted to type {d.name} without overflow") if value.imag else TypeError(
            "can't convert complex to float")
    return value


def _measure(data: Any, leaves: list[Any]) -> tuple[int, ...]:
    """The shape of nested sequences; their numbers go into leaves."""
    if isinstance(data, Tensor):
        array = unwrap(data.detach())
        leaves.extend(array.reshape(-1).tolist() if array.dtype.kind != "V"
                      else array.reshape(-1).astype(np.float32).tolist())
        return tuple(array.shape)
    if isinstance(data, np.ndarray):
        leaves.extend(data.reshape(-1).tolist())
        return tuple(data.shape)
    if isinstance(data, (bool, int, float, complex, np.generic)):
        leaves.append(data.item() if isinstance(data, np.generic) else data)
        return ()
    if isinstance(data, (str, bytes)):
        raise ValueError(f"too many dimensions '{type(data).__name__}'")
    if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
        if data is None or not (hasattr(data, "__index__") or hasattr(data, "__float__")):
            raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
        leaves.append(data.__index__() if hasattr(data, "__index__") else float(data))
        return ()
    shape: tuple[int, ...] | None = None
    for i, item in enumerate(data):
        inner = _measure(item, leaves)
        if shape is None:
            shape = inner
        elif inner != shape:
            if len(inner) != len(shape) and (not inner or not shape):
                raise TypeError(f"not a sequence: element {i} has shape {list(inner)}, "
                                f"the ones before it {list(shape)}")
            raise ValueError(f"expected sequence of length {shape[0]} at dim 1 (got {inner[0]})")
    return (len(data), *(shape or ()))


def _infer(leaves: list[Any]) -> DType:
    if not leaves:
        return settings.default_dtype
    kinds = {type(v) for v in leaves}
    if kinds == {bool}:
        return dtypes.bool_
    for kind in (complex, float, int):
        if any(issubclass(k, kind) for k in kinds):
            return number_dtype(kind(0))
    raise RuntimeError(f"Could not infer dtype of {type(leaves[0]).__name__}")


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """A tensor of the data, sharing memory with tensors and NumPy arrays where the dtype allows it.

    Any nesting of numbers, an array or a tensor; ``dtype`` and ``device`` convert.

    >>> import rushlight as rl
    >>> rl.as_tensor([1, 2.5])
    tensor([1.0000, 2.5000])
    """
    if isinstance(data, Tensor):
        return data.to(dtype) if dtype is not None else data
    if isinstance(data, np.ndarray) and (dtype is None or dtype.numpy == data.dtype):
        return from_numpy(data)
    return tensor(data, dtype=dtype, device=device)


def asarray(obj: Any, *, dtype: DType | None = None, device: Any = None, copy: bool | None = None,
            requires_grad: bool | None = None) -> Tensor:
    """A tensor of any object; memory is shared unless copy=True or a conversion needs a copy.

    A tensor keeps its history unless requires_grad=False.

    >>> import rushlight as rl
    >>> rl.asarray(rl.ones(1, requires_grad=True) + 2)
    tensor([3.], grad_fn=<AddBackward0>)
    """
    if isinstance(obj, Tensor):
        out = obj if dtype is None else obj.to(dtype)
        if copy:
            out = out.clone()
        elif out is not obj and copy is False:
            raise ValueError("can't alias tensor with different dtype: a copy would be needed")
        if requires_grad is False:
            return ready(out.detach(), False, device)
        return ready(out, requires_grad or out.requires_grad, device)
    if isinstance(obj, np.ndarray) and not copy:
        out = from_numpy(obj)
        out = out if dtype is None else out.to(dtype)
    elif hasattr(obj, "__dlpack__") and not copy:
        from rushlight.tensor.dlpack import from_dlpack
        out = from_dlpack(obj)
    else:
        out = tensor(obj, dtype=dtype)
    return ready(out, requires_grad, device)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor on the array's own memory: writes to one are seen in the other.

    The shape, strides and dtype are the array's. TypeError for other objects and dtypes that no tensor has.

    >>> import rushlight as rl
    >>> import numpy as np
    >>> rl.from_numpy(np.arange(3.0, dtype=np.float32))
    tensor([0., 1., 2.])
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    d = of_numpy(ndarray.dtype)
    size = d.itemsize
    if any(s < 0 for s in ndarray.strides):
        raise ValueError("At least one stride in the given numpy array is negative, "
                         "and tensors with negative strides are not currently supported. "
                         "(You can probably work around this by making a copy of your array  with array.copy().) ")
    if any(s % size for s in ndarray.strides):
        raise ValueError("given numpy array strides not a multiple of the element byte size. "
                         "Copy the numpy array to reallocate the memory.")
    strides = tuple(s // size for s in ndarray.strides)
    if ndarray.flags.c_contiguous:
        flat = ndarray.reshape(-1)
    else:
        reach = 1 + sum((n - 1) * s for n, s in zip(ndarray.shape, strides)) if ndarray.size else 0
        flat = np.lib.stride_tricks.as_strided(ndarray, (reach,), (size,))
    if flat is ndarray:
        flat = ndarray.view()
    owner = flat.base
    while isinstance(owner, np.ndarray) is False and getattr(owner, "base", None) is not None:
        owner = owner.base
    t = from_flat(flat, ndarray.shape, strides, 0)
    t._storage.home, t._storage.owner = flat, owner
    if not isinstance(owner, np.ndarray) or not ndarray.flags.c_contiguous:  # who holds the memory cannot be counted
        t._storage.forever = True
    if not ndarray.flags.writeable:
        import warnings
        warnings.warn("The given NumPy array is not writable, and PyTorch does not support non-writable tensors. "
                      "Copy the array to protect its data or make it writable.", UserWarning, stacklevel=2)
    return t


def frombuffer(buffer: Any, *, dtype: DType, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A one-dimensional tensor on the memory of a Python buffer."""
    raw = np.frombuffer(buffer, dtype=np.uint8)
    if len(raw) == 0 or offset >= len(raw):
        raise ValueError(f"offset ({offset} bytes) must be non-negative and no greater than "
                         f"buffer length ({len(raw)} bytes) minus 1")
    part = raw[offset:]
    n = len(part) // dtype.itemsize if count < 0 else count
    if n * dtype.itemsize > len(part):
        raise ValueError(f"requested buffer length ({n} * {dtype.itemsize} bytes) after offset ({offset} "
                         f"bytes) must not be greater than actual buffer length ({len(raw)} bytes)")
    flat = part[:n * dtype.itemsize].view(dtype.numpy)
    t = from_flat(flat, (n,))
    t._storage.home, t._storage.owner, t._storage.forever = flat, buffer, True
    return ready(t, requires_grad)


def full(size: Any, fill_value: Any, *, out: Any = None, dtype: DType | None = None, layout: Any = None,
         device: Any = None, requires_grad: bool = False, names: Any = None) -> Tensor:
    """A tensor of one value.

    ``size`` is a sequence; the dtype is that of the value unless given.

    >>> import rushlight as rl
    >>> rl.full((2, 2), 7)
    tensor([[7, 7],
            [7, 7]])
    """
    if isinstance(fill_value, Tensor):
        return ready(full(size, 0, dtype=dtype or fill_value.dtype) + fill_value, requires_grad, device, layout)
    d = dtype or number_dtype(fill_value)
    return give(out, ready(apply(TABLE["full"], (checked(fill_value, d),), (_positive(shape_of(size)), d)),
                           requires_grad, device, layout))


def _positive(shape: tuple[int, ...]) -> tuple[int, ...]:
    for n in shape:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(shape)}")
    return shape


def zeros(*size: Any, out: Any = None, dtype: DType | None = None, layout: Any = None, device: Any = None,
          pin_memory: bool = False, requires_grad: bool = False, names: Any = None, **kw: Any) -> Tensor:
    """A tensor of zeros.

    ``size`` is several integers or one sequence; the dtype is the default one
    unless given. RuntimeError for negative sizes.

    >>> import rushlight as rl
    >>> rl.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    return _constant(0, size, kw, out, dtype, device, requires_grad, layout)


def ones(*size: Any, out: Any = None, dtype: DType | None = None, layout: Any = None, device: Any = None,
         pin_memory: bool = False, requires_grad: bool = False, names: Any = None, **kw: Any) -> Tensor:
    """A tensor of ones.

    ``size`` is several integers or one sequence; the dtype is the default one
    unless given. RuntimeError for negative sizes.

    >>> import rushlight as rl
    >>> rl.ones(2, dtype=rl.int64)
    tensor([1, 1])
    """
    return _constant(1, size, kw, out, dtype, device, requires_grad, layout)


def empty(*size: Any, out: Any = None, dtype: DType | None = None, layout: Any = None, device: Any = None,
          requires_grad: bool = False, pin_memory: bool = False, memory_format: Any = None, names: Any = None,
          **kw: Any) -> Tensor:
    """A tensor whose values are unspecified (here zeros).

    Write to it before reading: another version may leave what the memory held.

    >>> import rushlight as rl
    >>> rl.empty(2, 3).shape
    torch.Size([2, 3])
    """
    t = _constant(0, size, kw, out, dtype, device, requires_grad, layout)
    return t if memory_format is None else like_layout(t, t, memory_format)


def _constant(value: int, size: tuple[Any, ...], kw: dict[str, Any], out: Any, dtype: Any, device: Any,
              requires_grad: bool, layout: Any = None) -> Tensor:
    if "size" in kw:
        size = (kw.pop("size"),)
    if kw:
        raise TypeError(f"unexpected keyword argument {next(iter(kw))!r}")
    for n in size:
        if isinstance(n, (float, str)) or n is None:
            raise TypeError(f"zeros(): argument 'size' must be tuple of ints, not {type(n).__name__}")
    if dtype is not None and not isinstance(dtype, DType):
        dtype = {float: dtypes.float64, int: dtypes.int64, bool: dtypes.bool_}[dtype]
    d = dtype or (out.dtype if out is not None else settings.default_dtype)
    shape = _positive(shape_of(*size))
    if layout is not None and layout is not formats.strided:
        return _empty_sparse("ones" if value else "zeros", shape, d, layout, requires_grad)
    return give(out, ready(apply(TABLE["full"], (fit(value, d),), (shape, d)), requires_grad, device))


def _empty_sparse(name: str, shape: tuple[int, ...], dtype: Any, layout: Any, requires_grad: bool) -> Tensor:
    """Zeros of a sparse layout. NotImplementedError for anything but zeros."""
    if name.startswith("ones"):
        raise NotImplementedError("Could not run 'aten::fill_.Scalar' with arguments from the 'SparseCPU' backend. "
                                  f"{name} has no sparse form: every element would be stored.")
    from rushlight.sparse import creation
    return ready(creation.empty(shape, dtype).to_sparse(layout=layout), requires_grad)


def full_like(input: Tensor, fill_value: Any, *, dtype: DType | None = None, layout: Any = None, device: Any = None,
              requires_grad: bool = False, memory_format: Any = None) -> Tensor:
    """One value in the shape and dtype of input."""
    d = dtype or input._spec.dtype
    t = apply(TABLE["full"], (checked(fill_value.item() if isinstance(fill_value, Tensor) else fill_value, d),),
              (input._spec.shape, d))
    return ready(like_layout(t, input, memory_format), requires_grad, device)


def like_layout(t: Tensor, model: Tensor, memory_format: Any = None) -> Tensor:
    """Equal numbers t in a memory format, or in the memory order of a dense model tensor."""
    s = model._spec
    if memory_format is not None and memory_format.name != "preserve_format":
        order = memory_format.order or tuple(range(len(s.shape)))
        if len(order) != len(s.shape):
            raise RuntimeError(f"required rank {len(order)} tensor to use {memory_format.name} format")
        return new_tensor(t._storage, spec(t._spec.dtype, s.shape, dense_strides(s.shape, order), 0))
    if s.ordinary or t._spec.shape != s.shape:
        return t
    strides = s.strides if dense_order(s.shape, s.strides) is not None else elementwise_strides(s.shape, (s,))
    return new_tensor(t._storage, spec(t._spec.dtype, s.shape, strides, 0))


def _like(value: int, name: str) -> Any:
    def function(input: Tensor, *, dtype: DType | None = None, layout: Any = None, device: Any = None,
                 requires_grad: bool = False, memory_format: Any = None, pin_memory: bool = False) -> Tensor:
        if not isinstance(input, Tensor):
            need_tensor(name, 1, "input", input)
        if (layout or input.layout) is not formats.strided:
            return _empty_sparse(name, input._spec.shape, dtype or input._spec.dtype,
                                 layout or input.layout, requires_grad)
        return full_like(input, value, dtype=dtype, device=device, requires_grad=requires_grad, memory_format=memory_format)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{name.split('_')[0]} in the shape and dtype of ``input``."
    return function


zeros_like, ones_like, empty_like = _like(0, "zeros_like"), _like(1, "ones_like"), _like(0, "empty_like")


def empty_strided(size: Any, stride: Any, *, dtype: DType | None = None, layout: Any = None, device: Any = None,
                  requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """Unspecified values with given strides."""
    shape, strides = shape_of(size), shape_of(stride)
    if len(shape) != len(strides):
        raise RuntimeError(f"mismatch in length of strides and shape: {list(shape)} and {list(strides)}")
    s = spec(dtype or settings.default_dtype, shape, strides, 0)
    base = zeros(s.extent(), dtype=s.dtype)
    return ready(new_tensor(base._storage, s), requires_grad, device)


def empty_permuted(size: Any, physical_layout: Any, *, dtype: DType | None = None, layout: Any = None,
                   device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """Unspecified values whose dimensions lie in memory in the given order."""
    shape, order = shape_of(size), tuple(physical_layout)
    if len(shape) != len(order) or sorted(order) != list(range(len(order))):
        raise RuntimeError("Number of dimensions in size does not match the length of the physical_layout; "
                           f"i.e. len(size) = {len(shape)} is not equal to len(physical_layout) = {len(order)}"
                           if len(shape) != len(order) else "Duplicate dim not allowed in physical_layout")
    strides = [0] * len(shape)
    step = 1
    for d in reversed(order):
        strides[d] = step
        step *= shape[d]
    return empty_strided(shape, strides, dtype=dtype, requires_grad=requires_grad, device=device)


def legacy_tensor(args: tuple[Any, ...], kwargs: dict[str, Any], dtype: DType | None = None) -> Tensor:
    """torch.Tensor(...): sizes give an empty tensor, a sequence its values, in the default dtype."""
    d = dtype or settings.default_dtype
    kwargs.pop("device", None)
    if "data" in kwargs:
        args = (kwargs.pop("data"),)
    if not args:
        return zeros(0, dtype=d)
    first = args[0]
    if len(args) == 1 and isinstance(first, Tensor):
        if dtype is None and first.dtype is not d:
            raise TypeError(f"expected {d} (got {first.dtype})")
        return first.detach() if first.dtype is d else first.detach().to(d)
    if len(args) == 1 and isinstance(first, Storage):
        return new_tensor(first, spec(d, (first.size,)))
    if len(args) == 1 and type(first).__name__ == "Size":
        return zeros(first, dtype=d)
    if all(isinstance(a, (int, np.integer)) and not isinstance(a, bool) for a in args):
        return zeros(*args, dtype=d)
    if len(args) == 1 and isinstance(first, (list, tuple, np.ndarray, range)) or hasattr(first, "__len__"):
        return tensor(list(first) if isinstance(first, range) else first, dtype=d)
    if isinstance(first, Device):
        return zeros(0, dtype=d)
    raise TypeError(f"new(): data must be a sequence (got {type(first).__name__})")


def scalar_tensor(s: Any, *, dtype: DType | None = None, device: Any = None, layout: Any = None,
                  requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A 0-d tensor of a number."""
    kind = dtype or settings.default_dtype
    return ready(wrap(np.array(checked(s.item() if isinstance(s, Tensor) else s, kind, rounded=True),
                               dtype=kind.numpy)), requires_grad, device)


__all__ = ["tensor", "as_tensor", "asarray", "from_numpy", "frombuffer", "full", "zeros", "ones",
           "empty", "full_like", "zeros_like", "ones_like", "empty_like",
           "empty_strided", "empty_permuted", "scalar_tensor"]
