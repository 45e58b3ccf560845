"""The methods of Tensor: public functions under their names, operators, in-place variants, and what only tensors have."""

from __future__ import annotations

import copy as copying
import sys
import weakref
from typing import Any

import numpy as np

from rushlight.autograd.api import backward as run_backward
from rushlight.autograd.graph import RemovableHandle
from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType
from rushlight.ir.spec import channels_last_order, spec
from rushlight.ops.table import TABLE
from rushlight.tensor import creation, formats, functions, quantized_methods, sparse_methods
from rushlight.tensor.core import (Tensor, apply, assign, check_in_place, check_overlap, flat_memory, gradient_edge, new_tensor, sync_view, unwrap, wrap)
from rushlight.tensor import method_forms
from rushlight.tensor.device import CPU, check_device
from rushlight.tensor.functions import common, indexing, pointwise, shape
from rushlight.tensor.functions.checked import checked
from rushlight.tensor.functions.common import cast, rewrite, shape_of
from rushlight.tensor.inplace import assign_memory, shows_all, spare_memory
from rushlight.tensor.state import state
from rushlight.tensor.stft import istft, stft

# functions whose first argument is not the tensor, or which are no methods in PyTorch
NOT_METHODS = {"cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "row_stack", "column_stack", "einsum", "meshgrid", "tensordot",
               "broadcast_tensors", "broadcast_shapes", "atleast_1d", "atleast_2d", "atleast_3d", "complex", "polar", "chain_matmul", "Size",
               "real", "imag", "polygamma", "rsub", "deg2rad", "rad2deg", "result", "where", "block_diag", "cartesian_prod", "combinations", "cdist", "trapezoid", "trapz",
               "cumulative_trapezoid", "gradient", "searchsorted", "bucketize", "vander", "lu_unpack", "fill"}
IN_PLACE = """abs absolute acos arccos acosh arccosh add addcdiv addcmul addmm addmv addr addbmm baddbmm asin arcsin asinh arcsinh atan arctan atan2 arctan2
atanh arctanh bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil clamp clamp_max clamp_min clip conj_physical
copysign cos cosh deg2rad digamma div divide eq erf erfc erfinv exp exp2 expm1 fix float_power floor floor_divide fmod frac gcd ge
greater greater_equal gt heaviside hypot i0 igamma igammac index_add index_copy index_fill index_put index_reduce lcm ldexp le lerp less less_equal
lgamma log log10 log1p log2 logical_and logical_not logical_or logical_xor logit lt masked_fill masked_scatter mul multiply nan_to_num ne neg negative
nextafter not_equal polygamma pow put rad2deg reciprocal relu remainder round rsqrt scatter scatter_add scatter_reduce sgn sigmoid sign sin sinc sinh
sqrt square sub subtract tan tanh tril triu true_divide trunc xlogy renorm mvlgamma""".split()


# methods that write the same value wherever memory shows twice, so that they take expanded tensors
# methods whose other tensors must not be the one written
APART = frozenset(("index_add", "index_copy", "index_put", "index_reduce", "put", "scatter", "scatter_add", "scatter_reduce", "masked_scatter"))
EXPANDED = frozenset(("masked_fill", "index_fill", "index_put", "tril", "triu"))


def attach() -> None:
    """Put every method on Tensor. Called once at import."""
    for family in functions.FAMILIES:
        for name in family.__all__:
            if name not in NOT_METHODS and callable(getattr(family, name)):
                setattr(Tensor, name, getattr(family, name))
    from rushlight.tensor.functions import factorizations, linalg
    for name, f in {**linalg.TORCH_LEVEL, **factorizations.TORCH_LEVEL}.items():
        if name not in NOT_METHODS:
            setattr(Tensor, name, f)
    for name in ("deg2rad", "rad2deg"):
        setattr(Tensor, name, getattr(pointwise, name))
    for name in IN_PLACE:
        f = getattr(functions, name, None)
        if f is not None:
            setattr(Tensor, name + "_", in_place_method(name, f))
    for name, value in list(globals().items()):
        if getattr(value, "__module__", None) == __name__ and name not in ("attach", "in_place_method") and callable(value) and not name.startswith("_m_"):
            setattr(Tensor, name, value)
    for name, value in OPERATORS.items():
        setattr(Tensor, name, value)
    for name, value in PROPERTIES.items():
        setattr(Tensor, name, value)
    for name in ("view", "split", "type", "float", "int", "bool", "complex"):
        if f"_m_{name}" in globals():
            setattr(Tensor, name, globals()[f"_m_{name}"])


def in_place_method(name: str, f: Any) -> Any:
    """`x.f_(…)` from `f`."""
    expanded, same = name in EXPANDED, name in APART

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return rewrite(self, f, args, kwargs, expanded, same)
    method.__wrapped__ = f  # its signature
    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"In-place version of `{name}`."
    return method


# --- reading ------------------------------------------------------------------------------------------------------
def item(self: Tensor) -> Any:
    """The only element as a Python number."""
    if self._spec.numel != 1:
        raise RuntimeError(f"a Tensor with {self._spec.numel} elements cannot be converted to Scalar. Its shape is {list(self._spec.shape)}; "
                           "reduce it, for example with .sum(), or use .tolist().")
    value = unwrap(self).reshape(-1)[0]
    return value.item() if self._spec.dtype is not dtypes.bfloat16 else float(value)


def tolist(self: Tensor) -> Any:
    """The elements as nested lists of Python numbers."""
    array = unwrap(self)
    return (array.astype(np.float32) if self._spec.dtype is dtypes.bfloat16 else array).tolist()


def numpy(self: Tensor, *, force: bool = False) -> np.ndarray:
    """The values as a NumPy array on the same memory. RuntimeError for tensors that require gradients unless force=True."""
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


def __dlpack__(self: Tensor, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None) -> Any:
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
    return iter(shape.unbind(self, 0))


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
    return format_tensor(unwrap(self), self._spec.dtype, requires_grad=self.requires_grad, grad_fn_name=fn.name() if fn is not None else None,
                         is_parameter=kind == "Parameter")


def __format__(self: Tensor, text: str) -> str:
    if not self._spec.shape and type(self) is Tensor:
        return item(self).__format__(text)
    return object.__format__(self, text)


def __hash__(self: Tensor) -> int:
    return id(self)


def __setitem__(self: Tensor, index: Any, value: Any) -> None:
    indexing.setitem(self, index, value)


def __deepcopy__(self: Tensor, memo: dict[int, Any]) -> Tensor:
    if id(self) in memo:
        return memo[id(self)]
    if self._grad_fn is not None:
        raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.  If you were "
                           "attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage")
    key = ("rushlight storage", id(self._storage))
    storage = memo.get(key)
    if storage is None:
        from rushlight.tensor.storage import fresh
        storage = memo[key] = fresh(np.array(flat_memory(self._storage)), self._storage.dtype)
        memo.setdefault(id(memo), []).append(self)
    out = new_tensor(storage, self._spec)
    if type(self) is not Tensor:
        out.__class__ = type(self)
    for name, value in self.__dict__.items():
        if name not in ("_storage", "_spec", "_vc", "_acc", "_base", "_view", "_seen", "_grad_fn", "grad", "_leaf_hooks"):
            out.__dict__[name] = copying.deepcopy(value, memo)
    out._rg = self._rg
    memo[id(self)] = out
    if self.grad is not None:
        out.grad = copying.deepcopy(self.grad, memo)
    return out


def __copy__(self: Tensor) -> Tensor:
    out = new_tensor(self._storage, self._spec)
    out.__class__ = type(self)
    out.__dict__.update({k: v for k, v in self.__dict__.items() if k not in ("_acc",)})
    return out


def __reduce_ex__(self: Tensor, protocol: int) -> Any:
    if self._grad_fn is not None:
        raise RuntimeError("can't pickle a tensor that is the result of a computation; call .detach() first")
    extra = {k: v for k, v in self.__dict__.items() if k not in ("_storage", "_spec", "_vc", "_acc", "_base", "_view", "_seen", "_grad_fn", "_rg", "grad",
                                                                 "_leaf_hooks")}
    array = np.array(unwrap(self))
    return _rebuild, (type(self), array.view(np.uint16) if self._spec.dtype is dtypes.bfloat16 else array, self._spec.dtype, self._rg, extra)


def _rebuild(kind: Any, array: np.ndarray, dtype: DType, requires_grad: bool, extra: dict[str, Any]) -> Tensor:
    out = wrap(array.view(dtype.numpy))
    out.__class__ = kind
    out.__dict__.update(extra)
    out._rg = requires_grad
    return out


# --- facts --------------------------------------------------------------------------------------------------------
def size(self: Tensor, dim: int | None = None) -> Any:
    """The sizes of all dimensions, or of one."""
    return shape.Size(self._spec.shape) if dim is None else self._spec.shape[common.wrap_dim(dim, len(self._spec.shape))]


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


# --- conversion ---------------------------------------------------------------------------------------------------
def to(self: Tensor, *args: Any, dtype: DType | None = None, device: Any = None, non_blocking: bool = False, copy: bool = False,
       memory_format: Any = None) -> Tensor:
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
    if getattr(memory_format, "order", None) is not None:
        lies = channels_last_order(out._spec) == memory_format.order and not (copy and out is self)
        return out if lies else shape.in_order(out, memory_format, copy=True)
    return shape.clone(self) if copy and out is self else out


def _converter(dtype: DType, name: str) -> Any:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        return cast(self, dtype)
    method.__name__ = name
    method.__doc__ = f"The tensor as {dtype}."
    return method


double, half, bfloat16, long, short, char, byte, cfloat, cdouble = (_converter(d, n) for d, n in (
    (dtypes.float64, "double"), (dtypes.float16, "half"), (dtypes.bfloat16, "bfloat16"), (dtypes.int64, "long"), (dtypes.int16, "short"),
    (dtypes.int8, "char"), (dtypes.uint8, "byte"), (dtypes.complex64, "cfloat"), (dtypes.complex128, "cdouble")))
_m_float, _m_int, _m_bool = _converter(dtypes.float32, "float"), _converter(dtypes.int32, "int"), _converter(dtypes.bool_, "bool")


def _m_type(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
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
    """The tensor on the CPU: itself."""
    return self


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


def _m_view(self: Tensor, *size: Any, dtype: Any = None) -> Tensor:
    return shape.view_method(self, *size, dtype=dtype)


_m_view.__doc__ = shape.view_method.__doc__


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


def _is_view(self: Tensor) -> bool:
    """Whether the tensor is a view of another one for autograd."""
    return self._base is not None


# --- autograd -----------------------------------------------------------------------------------------------------
def detach(self: Tensor) -> Tensor:
    """The same memory without history."""
    if self._storage.batched:
        from rushlight.func import batching
        return batching.detach(self)
    out = new_tensor(self._storage, self._spec)
    out._vc = self._vc
    return out


def detach_(self: Tensor) -> Tensor:
    """Forget the history. RuntimeError for views."""
    if self._base is not None:
        raise RuntimeError("Can't detach views in-place. Use detach() instead.")
    self._grad_fn, self._out, self._rg = None, 0, False
    return self


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Whether operations on the tensor are recorded for backward."""
    if requires_grad and self._spec.dtype.kind not in "fc":
        raise RuntimeError(f"only Tensors of floating point dtype can require gradients. This one is {self._spec.dtype.name}; convert it, for example "
                           "with .float().")
    if not requires_grad and self._grad_fn is not None:
        raise RuntimeError("you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph that doesn't "
                           "require differentiation use var_no_grad = var.detach().")
    if self._grad_fn is None:
        self._rg = self._wants = bool(requires_grad)
    return self


def retain_grad(self: Tensor) -> None:
    """Keep the gradient of a tensor that is no leaf in ``grad``."""
    if not self.requires_grad:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if self._grad_fn is None or self.retains_grad:
        return
    fn = self.grad_fn
    if fn.retain is None:
        fn.retain = {}
    fn.retain[self._out] = weakref.ref(self)
    self.retains_grad = True


def backward(self: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None) -> None:
    """Accumulate the gradients of the leaves of this tensor's graph in their ``grad``."""
    run_backward(self, gradient, retain_graph, create_graph, inputs=inputs)


def register_hook(self: Tensor, hook: Any) -> RemovableHandle:
    """Call hook(grad) when the gradient of this tensor is computed; what it returns replaces the gradient."""
    if not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    def call(g: Tensor) -> Any:
        got = hook(g)
        return g if got is None else got
    call.output_number = self._out if self._grad_fn is not None else 0  # type: ignore[attr-defined]
    fn = self.grad_fn
    if fn is None:
        hooks = self.__dict__.setdefault("_leaf_hooks", {})
        edge = gradient_edge(self)
        if edge is not None:
            edge[0].pre_hooks = hooks
        return RemovableHandle(hooks, call)
    if fn.pre_hooks is None:
        fn.pre_hooks = {}
    return RemovableHandle(fn.pre_hooks, call)


def register_post_accumulate_grad_hook(self: Tensor, hook: Any) -> RemovableHandle:
    """Call hook(tensor) after a gradient was added to ``grad`` of this leaf."""
    if not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if self.grad_fn is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return RemovableHandle(self.__dict__.setdefault("_post_accumulate_hooks", {}), hook)


# --- writing ------------------------------------------------------------------------------------------------------
def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Store the values of src, broadcast and converted."""
    if not isinstance(src, Tensor):
        src = creation.tensor(src, dtype=self._spec.dtype)
    if src._spec.expand(self._spec.shape) is None:
        shape.expand(src, self._spec.shape)
    if src is not self:
        check_overlap(self, (src,))
    if src.requires_grad and src._base is not None and state.grad:
        sync_view(src)
    return assign(self, src, severs=True)


def fill_(self: Tensor, value: Any) -> Tensor:
    """Store one value everywhere."""
    if self._rg and state.grad:  # the old values stay in the history, with the gradient 0
        return assign(self, functions.fill(self, value))
    if isinstance(value, Tensor):
        if value._spec.shape:
            raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {len(value._spec.shape)} dimensions.")
        return assign(self, value, severs=True)
    return assign(self, apply(TABLE["full"], (checked(value, self._spec.dtype),), (self._spec.shape, self._spec.dtype)),
                  take=True, severs=True)


def zero_(self: Tensor) -> Tensor:
    """Store zeros."""
    return fill_(self, 0)


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
            self[done:].as_strided((min(rows - done, cols),), (step,), self._spec.offset + done * self._spec.strides[0]).fill_(fill_value)
            done += cols + 1
    return self


def _random_in_place(draw: Any) -> Any:
    def method(self: Tensor, *args: Any, generator: Any = None, **kw: Any) -> Tensor:
        if state.level is not None:
            like = creation.empty_like if state.level.randomness == "same" else lambda t: t.detach().clone()
            return assign(self, state.level.draw(lambda t, *a, **k: method(like(t), *a, generator=generator, **k), (self, *args), kw))
        s = self._spec
        if draw.__name__ == "normal" and not s.contiguous:
            kw["contiguous"] = False
        check_in_place(self)
        whole = shows_all(self)
        if whole and draw.__name__ in ("uniform", "normal"):
            kw["spare"] = spare_memory(self)
        values = draw(creation.engine_of(generator), s.numel, s.dtype, *args, **kw)
        values = np.ascontiguousarray(values).astype(s.dtype.numpy, copy=False)
        if whole:
            return assign_memory(self, values if values.ndim == 1 else values.reshape(-1))
        return assign(self, wrap(creation.in_memory_order(values, s)))
    return method


def _draws() -> dict[str, Any]:
    from rushlight import rng

    def need_float(name: str, d: DType) -> None:
        if d.kind not in "fc":
            raise NotImplementedError(f"\"{name}\" not implemented for '{common.scalar_name(d)}'")

    def uniform(e: Any, n: int, d: DType, from_: float = 0.0, to: float = 1.0, spare: Any = None) -> Any:
        need_float("check_uniform_bounds", d)
        if from_ > to:
            raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={from_} > to={to}")
        return rng.uniform(e, n, float(from_), float(to), d.numpy, spare)

    def normal(e: Any, n: int, d: DType, mean: float = 0.0, std: float = 1.0, contiguous: bool = True, spare: Any = None) -> Any:
        need_float("normal_kernel_cpu", d)
        if std < 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
        if d.is_complex:
            half = std / 2 ** 0.5
            return rng.normal(e, 2 * n, 0.0, half, d.to_real().numpy, contiguous).view(d.numpy) + mean
        return rng.normal(e, n, float(mean), float(std), d.numpy, contiguous, spare)

    def random(e: Any, n: int, d: DType, from_: Any = None, *to: Any) -> Any:
        from_, to = (from_, *to) if to else (None if from_ is None else 0, from_)  # one number is the upper bound
        if from_ is not None and to is not None and int(from_) >= int(to):
            raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={from_} >= to={to}")
        return rng.random_(e, n, d.numpy, from_, to)

    def bernoulli(e: Any, n: int, d: DType, p: Any = 0.5) -> Any:
        if not isinstance(p, Tensor):
            return rng.bernoulli(e, float(p), n)
        return rng.bernoulli(e, np.broadcast_to(unwrap(p), (n,)) if p._spec.numel == 1 else unwrap(p).reshape(-1))

    def exponential(e: Any, n: int, d: DType, lambd: float = 1.0) -> Any:
        if lambd <= 0:
            raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
        return rng.exponential(e, n, float(lambd), d.numpy)

    return {"uniform_": uniform, "normal_": normal, "random_": random, "bernoulli_": bernoulli, "exponential_": exponential,
            "geometric_": lambda e, n, d, p: rng.geometric(e, n, float(p), d.numpy),
            "cauchy_": lambda e, n, d, median=0.0, sigma=1.0: rng.cauchy(e, n, float(median), float(sigma), d.numpy),
            "log_normal_": lambda e, n, d, mean=1.0, std=2.0: rng.log_normal(e, n, float(mean), float(std), d.numpy)}


def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Change the shape in place; new elements are unspecified."""
    target = shape_of(*sizes)
    s = spec(self._spec.dtype, target, None, self._spec.offset)
    if s.extent() > self._storage.size:
        from rushlight.tensor.storage import fresh
        grown = np.zeros(s.extent(), self._storage.dtype.numpy)
        old = flat_memory(self._storage)
        grown[:old.size] = old
        self._storage = self._vc = fresh(grown, self._storage.dtype)
    self._spec = s
    return self


def resize_as_(self: Tensor, the_template: Tensor, memory_format: Any = None) -> Tensor:
    """Change the shape in place to that of another tensor."""
    return resize_(self, the_template._spec.shape)


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


def _scan_in_place(name: str) -> Any:
    f = getattr(functions, name)

    def method(self: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
        if self._spec.dtype is dtypes.bool_:
            raise NotImplementedError(f"\"{name}_out_cpu\" not implemented for 'Bool'")
        return rewrite(self, f, (dim,), {"dtype": dtype or self._spec.dtype})
    method.__name__ = name + "_"
    method.__doc__ = f"In-place version of `{name}`, computed in the tensor's own dtype."
    return method


cumsum_, cumprod_ = _scan_in_place("cumsum"), _scan_in_place("cumprod")


def _spec_in_place(name: str) -> Any:
    def method(self: Tensor, *args: Any, **kw: Any) -> Tensor:
        check_in_place(self)
        changed = getattr(shape, name)(self, *args, **kw)
        if self._rg and state.grad and self._grad_fn is not None:
            self._grad_fn, self._out = changed._grad_fn, 0
        self._spec = changed._spec
        self._vc.version += 1
        return self
    return method


squeeze_, unsqueeze_, t_, transpose_, swapaxes_, swapdims_, as_strided_ = (
    _spec_in_place(n) for n in ("squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims", "as_strided"))


def apply_(self: Tensor, callable: Any) -> Tensor:
    """Replace each element by callable(element). Slow: one Python call per element."""
    array = unwrap(self)
    return assign(self, wrap(np.array([callable(v) for v in array.reshape(-1).tolist()]).reshape(array.shape).astype(array.dtype)))


def map_(self: Tensor, tensor: Tensor, callable: Any) -> Tensor:
    """Replace each element by callable(a, b). Slow: one Python call per element."""
    a, b = unwrap(self), unwrap(tensor.expand(self._spec.shape))
    return assign(self, wrap(np.array([callable(x, y) for x, y in zip(a.reshape(-1).tolist(), b.reshape(-1).tolist())]).reshape(a.shape).astype(a.dtype)))


# --- new ----------------------------------------------------------------------------------------------------------
def new_tensor_(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
                pin_memory: bool = False) -> Tensor:
    """A tensor of data in this tensor's dtype."""
    return creation.tensor(data, dtype=dtype or self._spec.dtype, device=device, requires_grad=requires_grad)


def new_full(self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
             pin_memory: bool = False) -> Tensor:
    """One value, in this tensor's dtype."""
    return creation.full(size, fill_value, dtype=dtype or self._spec.dtype, device=device, requires_grad=requires_grad)


def new_zeros(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
              pin_memory: bool = False, **kw: Any) -> Tensor:
    """Zeros in this tensor's dtype."""
    return creation.zeros(*size, dtype=dtype or self._spec.dtype, device=device, requires_grad=requires_grad, **kw)


new_empty = new_zeros


def new_ones(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
             pin_memory: bool = False, **kw: Any) -> Tensor:
    """Ones in this tensor's dtype."""
    return creation.ones(*size, dtype=dtype or self._spec.dtype, device=device, requires_grad=requires_grad, **kw)


def new_empty_strided(self: Tensor, size: Any, stride: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
                      layout: Any = None, pin_memory: bool = False) -> Tensor:
    """Unspecified values with given strides, in this tensor's dtype."""
    return creation.empty_strided(size, stride, dtype=dtype or self._spec.dtype, device=device, requires_grad=requires_grad)


def new(self: Tensor, *args: Any, **kw: Any) -> Tensor:
    """A tensor of this tensor's dtype by the rules of the old constructors."""
    return creation.legacy_tensor(args, kw, self._spec.dtype)


def where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """self where condition is true, else other."""
    return pointwise.where(condition, self, other)


def polygamma_method(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma."""
    return pointwise.polygamma(n, self)


def polygamma_(self: Tensor, n: int) -> Tensor:
    """In-place version of `polygamma`."""
    return rewrite(self, lambda old: pointwise.polygamma(n, old), ())


def bernoulli(self: Tensor, p: Any = None, *, generator: Any = None) -> Tensor:
    """1 with probability of each element (or p), else 0."""
    return creation.bernoulli(self, p, generator=generator)


def multinomial(self: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Tensor:
    """Column numbers drawn with the elements as weights."""
    return creation.multinomial(self, num_samples, replacement, generator=generator)


def _operator(name: str, swap: bool = False, in_place_: bool = False) -> Any:
    f = getattr(functions, name)
    if in_place_:
        def method(self: Tensor, other: Any) -> Any:
            if not _fits(other):
                return NotImplemented
            return rewrite(self, f, (other,))
    elif swap:
        def method(self: Tensor, other: Any) -> Any:
            if not _fits(other):
                return NotImplemented
            return f(other, self)
    else:
        def method(self: Tensor, other: Any) -> Any:
            if not isinstance(other, Tensor) and not _fits(other):
                return NotImplemented
            return f(self, other)
    return method


def _fits(other: Any) -> bool:
    return isinstance(other, (Tensor, int, float, complex, np.generic, np.ndarray)) or type(other).__name__ == "Symbol" or hasattr(other, "__float__") \
        and not isinstance(other, str)


def _divided_by(self: Tensor, other: Any) -> Any:
    """other / self for a number: PyTorch multiplies the reciprocal, which its gradient keeps, not self."""
    return pointwise.mul(pointwise.reciprocal(self), other) if _fits(other) else NotImplemented


def _compare(name: str) -> Any:
    f = getattr(functions, name)

    def method(self: Tensor, other: Any) -> Any:
        if not _fits(other):
            return NotImplemented
        return f(self, other)
    return method


_NAMES = {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide", "mod": "remainder", "pow": "pow",
          "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "bitwise_left_shift",
          "rshift": "bitwise_right_shift"}
OPERATORS: dict[str, Any] = {
    **{f"__{k}__": _operator(v) for k, v in _NAMES.items()},
    **{f"__r{k}__": _operator(v, swap=True) for k, v in _NAMES.items()},
    **{f"__i{k}__": _operator(v, in_place_=True) for k, v in _NAMES.items() if k not in ("matmul",)},
    **{f"__{k}__": _compare(k) for k in ("eq", "ne", "lt", "le", "gt", "ge")},
    "__neg__": pointwise.neg, "__pos__": pointwise.positive, "__abs__": pointwise.abs, "__invert__": pointwise.bitwise_not, "__getitem__": indexing.getitem,
    "__div__": _operator("div"), "__rdiv__": _divided_by, "__rtruediv__": _divided_by, "where": where_method, "polygamma": polygamma_method, "new_tensor": new_tensor_,
    "stft": stft, "istft": istft, **method_forms.FORMS, **sparse_methods.METHODS, **quantized_methods.METHODS, "__hash__": __hash__, "__repr__": __repr__, "__str__": __repr__, "abs_": pointwise.abs_, "absolute_": pointwise.abs_,
}


def _set_data(self: Tensor, new: Tensor) -> None:
    if not isinstance(new, Tensor):
        raise TypeError(f"Variable data has to be a tensor, but got {type(new).__name__}")
    counter = self._vc
    if sys.getrefcount(self._storage) <= 4:  # nobody else shows the old memory: let it go
        counter = _VersionCounter()
        counter.version = self._vc.version
    self._storage, self._spec, self._vc = new._storage, new._spec, counter


class _VersionCounter:
    """The version of memory reached through ``.data``, whose writes autograd does not see."""

    def __init__(self) -> None:
        self.version = 0


def _get_data(self: Tensor) -> Tensor:
    out = new_tensor(self._storage, self._spec)
    out._vc = _VersionCounter()
    return out


def _transposed(self: Tensor) -> Tensor:
    return shape.permute(self, tuple(range(len(self._spec.shape) - 1, -1, -1)))


def _matrix_transposed(self: Tensor) -> Tensor:
    if not self._spec.shape:
        return self
    if len(self._spec.shape) < 2:
        raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {len(self._spec.shape)}-D tensor.")
    return shape.transpose(self, -2, -1)


def _hermitian(self: Tensor) -> Tensor:
    if len(self._spec.shape) not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {len(self._spec.shape)}-D tensor.")
    return pointwise.conj(_transposed(self))


def _imag_set(self: Tensor, value: Any) -> None:
    shape.view_as_real(self)[..., 1].copy_(value)


def _real_set(self: Tensor, value: Any) -> None:
    shape.view_as_real(self)[..., 0].copy_(value) if self._spec.dtype.is_complex else self.copy_(value)


PROPERTIES: dict[str, Any] = {
    "shape": property(lambda self: shape.Size(self._spec.shape)),
    "device": property(lambda self: CPU),
    "ndim": property(lambda self: len(self._spec.shape)),
    "is_leaf": property(lambda self: self.grad_fn is None),
    "data": property(_get_data, _set_data),
    "T": property(_transposed), "mT": property(_matrix_transposed), "H": property(_hermitian),
    "mH": property(lambda self: shape.adjoint(self)),
    "real": property(lambda self: pointwise.real(self), _real_set), "imag": property(lambda self: pointwise.imag(self), _imag_set),
    "itemsize": property(lambda self: self._spec.dtype.itemsize),
    "nbytes": property(lambda self: self._spec.dtype.itemsize * self._spec.numel),
    "_version": property(lambda self: self._vc.version),
    "output_nr": property(lambda self: self._out),
    "layout": property(lambda self: formats.strided),
    "name": property(lambda self: None), "_backward_hooks": property(lambda self: self.__dict__.get("_leaf_hooks") or None),
    "_grad": property(lambda self: self.grad),
    "names": property(lambda self: (None,) * len(self._spec.shape)),
    **{name: property(lambda self: False) for name in ("is_cuda", "is_sparse", "is_quantized", "is_mps", "is_meta", "is_xla", "is_mkldnn",
                                                       "is_nested", "is_sparse_csr", "is_xpu", "is_vulkan", "is_ipu", "is_mtia", "is_maia")},
    "is_cpu": property(lambda self: True),
}
OPERATORS.update({k: _random_in_place(v) for k, v in _draws().items()})
attach()
