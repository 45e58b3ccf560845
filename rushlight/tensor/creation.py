"""Functions that make tensors."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from rushlight import rng
from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType, of_numpy
from rushlight.ir.spec import dense_order, elementwise_strides, iteration_order, spec
from rushlight.ops.table import TABLE
from rushlight.tensor import formats
from rushlight.tensor.core import Tensor, apply, from_flat, new_tensor, unwrap, wrap
from rushlight.tensor.device import device as Device
from rushlight.tensor.device import check_device
from rushlight.tensor.functions.checked import checked
from rushlight.tensor.functions.common import fit, give, need_tensor, scalar_name, shape_of
from rushlight.tensor.promotion import number_dtype
from rushlight.tensor.state import settings, state
from rushlight.tensor.storage import Storage


def ready(t: Tensor, requires_grad: bool = False, device: Any = None, layout: Any = None, pin_memory: bool = False) -> Tensor:
    """The last step of every creation: device checked, requires_grad set."""
    if device is not None:
        check_device(device)
    if requires_grad and t._spec.dtype.kind not in "fc":
        raise RuntimeError(f"Only Tensors of floating point and complex dtype can require gradients. This one is {t._spec.dtype.name}.")
    return t.requires_grad_() if requires_grad else t


def tensor(data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
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
    if isinstance(data, np.ndarray):
        target = (dtype or of_numpy(data.dtype.newbyteorder("="))).numpy
        return np.array(data, dtype=target, order="C") if data.dtype.kind != "c" or target.kind == "c" else data.real.astype(target)
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
            raise RuntimeError(f"cannot convert float {value} to {d.name}") if not math.isnan(value) else ValueError("cannot convert float NaN to integer")
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
        leaves.extend(array.reshape(-1).tolist() if array.dtype.kind != "V" else array.reshape(-1).astype(np.float32).tolist())
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
                raise TypeError(f"not a sequence: element {i} has shape {list(inner)}, the ones before it {list(shape)}")
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
    """A tensor of the data, sharing memory with tensors and NumPy arrays where the dtype allows it."""
    if isinstance(data, Tensor):
        return data.to(dtype) if dtype is not None else data
    if isinstance(data, np.ndarray) and (dtype is None or dtype.numpy == data.dtype):
        return from_numpy(data)
    return tensor(data, dtype=dtype, device=device)


def asarray(obj: Any, *, dtype: DType | None = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor of any object; memory is shared unless copy=True or a conversion needs a copy."""
    if isinstance(obj, Tensor):
        out = obj if dtype is None else obj.to(dtype)
        if copy:
            out = out.clone()
        elif out is not obj and copy is False:
            raise ValueError("can't alias tensor with different dtype: a copy would be needed")
        if not requires_grad:
            out = out.detach()
    elif isinstance(obj, np.ndarray) and not copy:
        out = from_numpy(obj)
        out = out if dtype is None else out.to(dtype)
    elif hasattr(obj, "__dlpack__") and not copy:
        out = from_dlpack(obj)
    else:
        out = tensor(obj, dtype=dtype)
    return ready(out, requires_grad, device)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor on the array's own memory: writes to one are seen in the other."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    d = of_numpy(ndarray.dtype)
    size = d.itemsize
    if any(s < 0 for s in ndarray.strides):
        raise ValueError("At least one stride in the given numpy array is negative, and tensors with negative strides are not currently "
                         "supported. (You can probably work around this by making a copy of your array  with array.copy().) ")
    if any(s % size for s in ndarray.strides):
        raise ValueError("given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate the memory.")
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
        warnings.warn("The given NumPy array is not writable, and PyTorch does not support non-writable tensors. Copy the array to protect "
                      "its data or make it writable.", UserWarning, stacklevel=2)
    return t


def frombuffer(buffer: Any, *, dtype: DType, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A one-dimensional tensor on the memory of a Python buffer."""
    raw = np.frombuffer(buffer, dtype=np.uint8)
    if len(raw) == 0 or offset >= len(raw):
        raise ValueError(f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({len(raw)} bytes) minus 1")
    part = raw[offset:]
    n = len(part) // dtype.itemsize if count < 0 else count
    if n * dtype.itemsize > len(part):
        raise ValueError(f"requested buffer length ({n} * {dtype.itemsize} bytes) after offset ({offset} bytes) must not be greater than "
                         f"actual buffer length ({len(raw)} bytes)")
    flat = part[:n * dtype.itemsize].view(dtype.numpy)
    t = from_flat(flat, (n,))
    t._storage.home, t._storage.owner, t._storage.forever = flat, buffer, True
    return ready(t, requires_grad)


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor on memory exported through DLPack (NumPy, JAX, PyTorch …), or with copy=True on memory of its own."""
    if device is not None:
        check_device(device)
    if copy:
        return from_dlpack(ext_tensor).clone()
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.detach()
    array = np.from_dlpack(ext_tensor)
    if not array.flags.writeable:
        # NumPy marks imported memory read-only; the producer shares it for writing
        array = np.lib.stride_tricks.as_strided(array, writeable=False)
    t = from_numpy(array) if array.flags.writeable else _read_only(array)
    t._storage.forever = True
    return t


def _read_only(array: np.ndarray) -> Tensor:
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return from_numpy(array)


def full(size: Any, fill_value: Any, *, out: Any = None, dtype: DType | None = None, layout: Any = None, device: Any = None,
         requires_grad: bool = False, names: Any = None) -> Tensor:
    """A tensor of one value."""
    if isinstance(fill_value, Tensor):
        return ready(full(size, 0, dtype=dtype or fill_value.dtype) + fill_value, requires_grad, device)
    d = dtype or number_dtype(fill_value)
    return give(out, ready(apply(TABLE["full"], (checked(fill_value, d),), (_positive(shape_of(size)), d)), requires_grad, device))


def _positive(shape: tuple[int, ...]) -> tuple[int, ...]:
    for n in shape:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(shape)}")
    return shape


def zeros(*size: Any, out: Any = None, dtype: DType | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False,
          requires_grad: bool = False, names: Any = None, **kw: Any) -> Tensor:
    """A tensor of zeros."""
    return _constant(0, size, kw, out, dtype, device, requires_grad, layout)


def ones(*size: Any, out: Any = None, dtype: DType | None = None, layout: Any = None, device: Any = None, pin_memory: bool = False,
         requires_grad: bool = False, names: Any = None, **kw: Any) -> Tensor:
    """A tensor of ones."""
    return _constant(1, size, kw, out, dtype, device, requires_grad, layout)


def empty(*size: Any, out: Any = None, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
          pin_memory: bool = False, memory_format: Any = None, names: Any = None, **kw: Any) -> Tensor:
    """A tensor whose values are unspecified (here zeros)."""
    t = _constant(0, size, kw, out, dtype, device, requires_grad, layout)
    return t if memory_format is None else t.contiguous(memory_format=memory_format)


def _constant(value: int, size: tuple[Any, ...], kw: dict[str, Any], out: Any, dtype: Any, device: Any, requires_grad: bool,
              layout: Any = None) -> Tensor:
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
        raise NotImplementedError(f"Could not run 'aten::fill_.Scalar' with arguments from the 'SparseCPU' backend. {name} has no sparse form: every element "
                                  "would be stored.")
    from rushlight.sparse import creation
    return ready(creation.empty(shape, dtype).to_sparse(layout=layout), requires_grad)


def full_like(input: Tensor, fill_value: Any, *, dtype: DType | None = None, layout: Any = None, device: Any = None,
              requires_grad: bool = False, memory_format: Any = None) -> Tensor:
    """One value in the shape and dtype of input."""
    d = dtype or input._spec.dtype
    t = apply(TABLE["full"], (checked(fill_value.item() if isinstance(fill_value, Tensor) else fill_value, d),), (input._spec.shape, d))
    return ready(like_layout(t, input), requires_grad, device)


def like_layout(t: Tensor, model: Tensor) -> Tensor:
    """t in the memory order of a dense model tensor."""
    s = model._spec
    if s.ordinary or t._spec.shape != s.shape:
        return t
    strides = s.strides if dense_order(s.shape, s.strides) is not None else elementwise_strides(s.shape, (s,))
    return new_tensor(t._storage, spec(t._spec.dtype, s.shape, strides, 0))


def _like(value: int, name: str) -> Any:
    def function(input: Tensor, *, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
                 memory_format: Any = None, pin_memory: bool = False) -> Tensor:
        if not isinstance(input, Tensor):
            need_tensor(name, 1, "input", input)
        if (layout or input.layout) is not formats.strided:
            return _empty_sparse(name, input._spec.shape, dtype or input._spec.dtype, layout or input.layout, requires_grad)
        return full_like(input, value, dtype=dtype, device=device, requires_grad=requires_grad)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{name.split('_')[0]} in the shape and dtype of ``input``."
    return function


zeros_like, ones_like, empty_like = _like(0, "zeros_like"), _like(1, "ones_like"), _like(0, "empty_like")


def empty_strided(size: Any, stride: Any, *, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
                  pin_memory: bool = False) -> Tensor:
    """Unspecified values with given strides."""
    shape, strides = shape_of(size), shape_of(stride)
    if len(shape) != len(strides):
        raise RuntimeError(f"mismatch in length of strides and shape: {list(shape)} and {list(strides)}")
    s = spec(dtype or settings.default_dtype, shape, strides, 0)
    base = zeros(s.extent(), dtype=s.dtype)
    return ready(new_tensor(base._storage, s), requires_grad, device)


def empty_permuted(size: Any, physical_layout: Any, *, dtype: DType | None = None, layout: Any = None, device: Any = None,
                   requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """Unspecified values whose dimensions lie in memory in the given order."""
    shape, order = shape_of(size), tuple(physical_layout)
    if len(shape) != len(order) or sorted(order) != list(range(len(order))):
        raise RuntimeError(f"Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = {len(shape)} "
                           f"is not equal to len(physical_layout) = {len(order)}" if len(shape) != len(order) else "Duplicate dim not allowed in physical_layout")
    strides = [0] * len(shape)
    step = 1
    for d in reversed(order):
        strides[d] = step
        step *= shape[d]
    return empty_strided(shape, strides, dtype=dtype, requires_grad=requires_grad, device=device)


def arange(*args: Any, start: Any = 0, end: Any = None, step: Any = 1, out: Any = None, dtype: DType | None = None, layout: Any = None,
           device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """start, start + step, … below end. arange(end), arange(start, end) or arange(start, end, step)."""
    values = [v.item() if isinstance(v, Tensor) else v for v in args]
    if len(values) == 1 and end is None:
        end = values[0]
    elif len(values) == 1:
        start = values[0]
    elif len(values) == 2:
        start, end = values
    elif len(values) == 3:
        start, end, step = values
    start, end, step = (v.item() if hasattr(v, "item") else v for v in (start, end, step))
    if dtype is None:
        dtype = settings.default_dtype if any(isinstance(v, float) for v in (start, end, step)) else dtypes.int64
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if dtype.kind in "bc":
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{scalar_name(dtype)}'")
    if dtype.name == "int64" and all(math.isfinite(v) for v in (start, end, step)) and int(step):
        start, end, step = int(start), int(end), int(step)  # of smaller integers PyTorch counts the steps in double precision
    if not all(math.isfinite(v) for v in (start, end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    size = max(0, math.ceil((end - start) / step))
    if dtype.kind in "iu" and all(isinstance(v, int) for v in (start, end, step)):
        size = max(0, -((start - end) // step))
    return give(out, ready(apply(TABLE["arange"], (start, step), (size, dtype)), requires_grad, device))


def range_(start: Any = 0, end: Any = None, step: Any = 1, *, out: Any = None, dtype: DType | None = None, layout: Any = None, device: Any = None,
           pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """start to end inclusive (PyTorch's deprecated torch.range)."""
    if end is None:
        start, end = 0, start
    n = math.floor((end - start) / step) + 1
    return give(out, ready(apply(TABLE["arange"], (start, step), (n, dtype or settings.default_dtype)), requires_grad, device))


def linspace(start: Any, end: Any, steps: int, *, out: Any = None, dtype: DType | None = None, layout: Any = None, device: Any = None,
             requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """`steps` evenly spaced numbers from start to end."""
    start, end = (v.item() if isinstance(v, Tensor) else v for v in (start, end))
    _steps("linspace", steps)
    d = dtype or (settings.default_dtype.to_complex() if isinstance(start, complex) or isinstance(end, complex) else settings.default_dtype)
    return give(out, ready(wrap(_spaced(start, end, steps, d), d), requires_grad, device))


def _steps(name: str, steps: Any) -> None:
    if not isinstance(steps, (int, np.integer)):
        raise TypeError(f"{name}(): argument 'steps' must be int, not {type(steps).__name__}")
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")


def _spaced(start: Any, end: Any, steps: int, d: DType) -> np.ndarray:
    """PyTorch's rule: counted from the nearer end, in the result's precision."""
    if steps == 1:
        return np.full(1, start).astype(d.numpy)
    kind = np.complex128 if d.is_complex else np.float64
    if d.kind in "iu":
        step = (float(end) - float(start)) / (steps - 1) if steps > 1 else 0
        i = np.arange(steps)
        low, high = np.trunc(start + step * i), np.trunc(end - step * (steps - 1 - i))
        return np.where(i < steps // 2, low, high).astype(d.numpy)
    work = d.numpy if d.name in ("float32", "float64", "complex64", "complex128") else np.dtype(np.float32)
    i = np.arange(steps)
    if work == np.float32:  # with a fused multiply-add: the product is exact in double precision
        low, high = np.float64(np.float32(start)), np.float64(np.float32(end))
        by = np.float64(np.float32(high - low) / np.float32(max(steps - 1, 1)))
        return np.where(i < steps // 2, low + by * i, high - by * (steps - 1 - i)).astype(work).astype(d.numpy)
    step = (np.asarray(end, kind).astype(work) - np.asarray(start, kind).astype(work)) / work.type(max(steps - 1, 1))
    return np.where(i < steps // 2, start + step * i.astype(work.type(0).real.dtype),
                    end - step * (steps - 1 - i).astype(work.type(0).real.dtype)).astype(d.numpy)


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, out: Any = None, dtype: DType | None = None, layout: Any = None,
             device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """base to the power of evenly spaced numbers."""
    start, end = (v.item() if isinstance(v, Tensor) else v for v in (start, end))
    _steps("logspace", steps)
    d = dtype or settings.default_dtype
    wide = dtypes.complex128 if d.is_complex else dtypes.float64
    values = np.power(float(base), _spaced(start, end, steps, wide))
    return give(out, ready(wrap(values.astype(d.numpy), d), requires_grad, device))


def eye(n: int, m: int | None = None, *, out: Any = None, dtype: DType | None = None, layout: Any = None, device: Any = None,
        requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
    m = n if m is None else m
    for size, name in ((n, "n"), (m, "m")):
        if size < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {size}")
    return give(out, ready(wrap(np.eye(n, m, dtype=(dtype or settings.default_dtype).numpy)), requires_grad, device))


# --- random -------------------------------------------------------------------------------------------------------
def engine_of(generator: Any) -> Any:
    """The engine of a Generator, or the one that draws without a generator come from."""
    return rng.current() if generator is None else generator.engine


def _drawn(array: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    return wrap(array.reshape(shape))


def draws(sized: bool = False) -> Any:
    """Marks functions that draw random numbers: inside vmap, its ``randomness`` says how often they run.

    `sized`: the function takes nothing but a size, so that the samples' numbers can be drawn at once.
    """
    def mark(f: Any) -> Any:
        @functools.wraps(f)
        def call(*args: Any, **kwargs: Any) -> Any:
            level = state.level
            return f(*args, **kwargs) if level is None else level.draw(f, args, kwargs, sized)
        return call
    return mark


@draws(sized=True)
def rand(*size: Any, generator: Any = None, out: Any = None, dtype: DType | None = None, layout: Any = None, device: Any = None,
         requires_grad: bool = False, pin_memory: bool = False, names: Any = None, **kw: Any) -> Tensor:
    """Uniform numbers in [0, 1): the same as PyTorch's from the same seed."""
    shape = _positive(shape_of(kw.pop("size")) if "size" in kw else shape_of(*size))
    d = dtype or settings.default_dtype
    if d.is_complex:
        r = rng.uniform(engine_of(generator), 2 * math.prod(shape), 0.0, 1.0, d.to_real().numpy)
        return give(out, ready(_drawn(r.view(d.numpy), shape), requires_grad, device))
    return give(out, ready(_drawn(rng.uniform(engine_of(generator), math.prod(shape), 0.0, 1.0, d.numpy), shape), requires_grad, device))


@draws(sized=True)
def randn(*size: Any, generator: Any = None, out: Any = None, dtype: DType | None = None, layout: Any = None, device: Any = None,
          requires_grad: bool = False, pin_memory: bool = False, names: Any = None, **kw: Any) -> Tensor:
    """Normal numbers of mean 0 and variance 1: the same as PyTorch's from the same seed."""
    shape = _positive(shape_of(kw.pop("size")) if "size" in kw else shape_of(*size))
    d = dtype or settings.default_dtype
    if d.is_complex:
        r = rng.normal(engine_of(generator), 2 * math.prod(shape), 0.0, math.sqrt(0.5), d.to_real().numpy)
        return give(out, ready(_drawn(r.view(d.numpy), shape), requires_grad, device))
    return give(out, ready(_drawn(rng.normal(engine_of(generator), math.prod(shape), 0.0, 1.0, d.numpy), shape), requires_grad, device))


@draws()
def randint(*args: Any, low: int = 0, high: int | None = None, size: Any = None, generator: Any = None, out: Any = None,
            dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """Integers in [low, high). randint(high, size) or randint(low, high, size)."""
    rest = list(args)
    if size is None:
        size = rest.pop()
    if len(rest) == 2:
        low, high = rest
    elif len(rest) == 1:
        low, high = (low, rest[0]) if high is None else (rest[0], high)
    shape = _positive(shape_of(size))
    low, high = int(low), int(high)
    if high <= low:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    d = dtype or dtypes.int64
    values = rng.randint(engine_of(generator), math.prod(shape), low, high, np.dtype(np.int64)).astype(d.numpy)
    return give(out, ready(_drawn(values, shape), requires_grad, device))


@draws()
def randperm(n: int, *, generator: Any = None, out: Any = None, dtype: DType = dtypes.int64, layout: Any = None, device: Any = None,
             requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A random order of 0 … n-1: the same as PyTorch's from the same seed."""
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    return give(out, ready(wrap(rng.randperm(engine_of(generator), n, np.dtype(np.int64)).astype(dtype.numpy)), requires_grad, device))


def in_memory_order(values: np.ndarray, s: Any) -> np.ndarray:
    """Flat random numbers in the shape of a spec: PyTorch fills memory from its start, whatever the order of dimensions."""
    order = None if s.contiguous else iteration_order(s.shape, [s])
    if order is None:
        return values.reshape(s.shape)
    inverse = sorted(range(len(order)), key=order.__getitem__)
    return values.reshape([s.shape[d] for d in order]).transpose(inverse)


def _like_random(function: Any, name: str) -> Any:
    fill = {"rand_like": "uniform_", "randn_like": "normal_", "randint_like": "random_"}[name]

    def like(input: Tensor, *args: Any, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
             memory_format: Any = None, generator: Any = None, **kw: Any) -> Tensor:
        if not input._spec.contiguous and not kw and state.level is None:  # in the memory order of the input
            t = empty_like(input, dtype=dtype)
            getattr(t, fill)(*((0, *args) if len(args) == 1 else args), generator=generator)
        else:
            t = function(*args, size=input._spec.shape, dtype=dtype or input._spec.dtype, generator=generator, **kw)
        return ready(t, requires_grad, device)
    like.__name__ = like.__qualname__ = name
    like.__doc__ = f"`{function.__name__}` in the shape and dtype of ``input``."
    return like


rand_like, randn_like, randint_like = _like_random(rand, "rand_like"), _like_random(randn, "randn_like"), _like_random(randint, "randint_like")


@draws()
def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Any = None, out: Any = None, dtype: DType | None = None,
           layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """Normal numbers; mean and std are numbers or tensors."""
    if isinstance(std, Tensor) and std._spec.dtype.is_complex:
        raise RuntimeError("normal expects standard deviation to be non-complex")
    if not isinstance(std, Tensor) and std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        model = mean if isinstance(mean, Tensor) else std
        shape = (model * 1 + (std if isinstance(std, Tensor) else 0) * 0)._spec.shape
        base = randn(shape, generator=generator, dtype=dtype or model._spec.dtype)
        return give(out, base * std + mean)
    d = dtype or settings.default_dtype
    shape = shape_of(size)
    if d.is_complex:
        return give(out, ready(randn(shape, generator=generator, dtype=d) * std + mean, requires_grad, device))
    return give(out, ready(_drawn(rng.normal(engine_of(generator), math.prod(shape), float(mean), float(std), d.numpy), shape), requires_grad, device))


@draws()
def bernoulli(input: Tensor, p: Any = None, *, generator: Any = None, out: Any = None) -> Tensor:
    """1 with probability input (or p), else 0."""
    prob = input if p is None else p
    if isinstance(prob, Tensor):
        values = rng.bernoulli(engine_of(generator), unwrap(prob.detach().broadcast_to(input._spec.shape)))
    else:
        values = rng.bernoulli(engine_of(generator), float(prob), input._spec.numel)
    return give(out, wrap(np.asarray(values).reshape(input._spec.shape).astype(input._spec.dtype.numpy)))


@draws()
def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None, out: Any = None) -> Tensor:
    """num_samples column numbers of each row, drawn with the row's weights."""
    weights = unwrap(input.detach())
    if input._spec.dtype.kind != "f":
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {input.dtype}")
    if not 1 <= weights.ndim <= 2:
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if (weights.sum(-1) <= 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    return give(out, wrap(np.ascontiguousarray(rng.multinomial(engine_of(generator), weights, num_samples, replacement), np.int64)))


@draws()
def poisson(input: Tensor, generator: Any = None) -> Tensor:
    """Poisson numbers with the elements as rates."""
    return wrap(np.asarray(rng.poisson(engine_of(generator), unwrap(input.detach()))).astype(input._spec.dtype.numpy))


# --- old constructors ---------------------------------------------------------------------------------------------
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


def scalar_tensor(s: Any, *, dtype: DType | None = None, device: Any = None, layout: Any = None, requires_grad: bool = False,
                  pin_memory: bool = False) -> Tensor:
    """A 0-d tensor of a number."""
    kind = dtype or settings.default_dtype
    return ready(wrap(np.array(checked(s.item() if isinstance(s, Tensor) else s, kind, rounded=True), dtype=kind.numpy)), requires_grad, device)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: DType = dtypes.int64, device: Any = None, layout: Any = None) -> Tensor:
    """Row and column numbers of the lower triangle."""
    return wrap(np.stack(np.tril_indices(row, offset, col)).astype(dtype.numpy))


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: DType = dtypes.int64, device: Any = None, layout: Any = None) -> Tensor:
    """Row and column numbers of the upper triangle."""
    return wrap(np.stack(np.triu_indices(row, offset, col)).astype(dtype.numpy))


__all__ = ["tensor", "as_tensor", "asarray", "from_numpy", "frombuffer", "from_dlpack", "full", "zeros", "ones", "empty", "full_like", "zeros_like",
           "ones_like", "empty_like", "empty_strided", "empty_permuted", "arange", "linspace", "logspace", "eye", "rand", "randn", "randint",
           "randperm", "rand_like", "randn_like", "randint_like", "normal", "bernoulli", "multinomial", "poisson", "scalar_tensor",
           "tril_indices", "triu_indices"]
