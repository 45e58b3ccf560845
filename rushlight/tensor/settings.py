"""Process-wide switches and small questions about types."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from rushlight.exec import threads
from rushlight.exec.realize import clear_plans
from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType
from rushlight.tensor.core import Tensor
from rushlight.tensor.state import settings


def set_default_dtype(d: DType) -> None:
    """The dtype of float tensors made without one."""
    if not isinstance(d, DType) or not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    settings.default_dtype = d


def get_default_dtype() -> DType:
    """The dtype of float tensors made without one."""
    return settings.default_dtype


def set_default_tensor_type(t: Any) -> None:
    """The old way to set the default dtype: by a tensor type or its name."""
    from rushlight.autograd.graph import TYPE_NAMES
    names = {v: k for k, v in TYPE_NAMES.items()}
    set_default_dtype(t.dtype if hasattr(t, "dtype") else dtypes.by_name(names[str(t).removeprefix("torch.")]))


def set_default_device(device: Any) -> None:
    """The device of new tensors: only the CPU here."""
    from rushlight.tensor.device import check_device
    if device is not None:
        check_device(device)


def get_default_device() -> Any:
    """The device of new tensors."""
    from rushlight.tensor.device import CPU
    return CPU


def is_tensor(obj: Any) -> bool:
    """Whether obj is a Tensor."""
    return isinstance(obj, Tensor)


def is_storage(obj: Any) -> bool:
    """Whether obj is a storage."""
    from rushlight.tensor.public_storage import TypedStorage, UntypedStorage
    return isinstance(obj, (TypedStorage, UntypedStorage))


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a float."""
    return input.dtype.is_floating_point


def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex."""
    return input.dtype.is_complex


def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero."""
    return bool(input)


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two shapes are equal."""
    return input.shape == other.shape


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


def _dtype(function: str, given: Any) -> DType:
    if not isinstance(given, DType):
        raise TypeError(f"{function}(): argument 'type' (position 1) must be torch.dtype, not {type(given).__name__}")
    return given


class finfo:
    """Limits of a float dtype: bits, eps, max, min, tiny, smallest_normal, resolution."""

    def __init__(self, type: DType | None = None):
        d = settings.default_dtype if type is None else _dtype("finfo", type)
        if d.kind not in "fc":
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{d}'")
        info: Any = ml_dtypes.finfo(d.to_real().numpy)
        self.bits = info.bits
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.tiny)
        self.resolution = float(info.resolution)
        self.dtype = d.name

    def __repr__(self) -> str:
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
                f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})")


class iinfo:
    """Limits of an integer dtype: bits, max, min."""

    def __init__(self, type: DType):
        if _dtype("iinfo", type).kind not in "iuq":
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type}'")
        info = np.iinfo(type.numpy)
        self.bits, self.max, self.min, self.dtype = info.bits, int(info.max), int(info.min), type.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


_threads = {"inter": 1}


def set_num_threads(n: int) -> None:
    """How many threads kernels use; at first as many as the affinity mask and the container's quota allow.

    >>> import rushlight as rl
    >>> rl.set_num_threads(2)
    >>> rl.get_num_threads()
    2
    """
    if n <= 0:
        raise RuntimeError("set_num_threads expects a positive integer")
    if int(n) != threads.count():
        threads.choose(int(n))
        clear_plans()


def get_num_threads() -> int:
    """How many threads kernels use."""
    return threads.count()


def set_num_interop_threads(n: int) -> None:
    """Accepted for compatibility: operations run one after the other."""
    if n <= 0:
        raise RuntimeError("set_num_interop_threads expects a positive integer")
    _threads["inter"] = int(n)


def get_num_interop_threads() -> int:
    """The number set, 1 at first."""
    return _threads["inter"]


_deterministic = {"on": False, "warn": False}


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Results that do not depend on the number of threads: library kernels then run in one thread.

    Kernels of rushlight's own are deterministic, and equal for any number of threads, in either mode.
    """
    if bool(mode) != threads.single_library:
        threads.single_library = bool(mode)
        clear_plans()
    _deterministic.update(on=bool(mode), warn=bool(warn_only))


def are_deterministic_algorithms_enabled() -> bool:
    """The switch of `use_deterministic_algorithms`."""
    return _deterministic["on"]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """The second switch of `use_deterministic_algorithms`."""
    return _deterministic["warn"]


_precision = ["highest"]


def set_float32_matmul_precision(precision: str) -> None:
    """highest, high or medium; products are computed in full float32 whichever it is."""
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"{precision} is not one of 'highest', 'high', or 'medium'")
    _precision[0] = precision


def get_float32_matmul_precision() -> str:
    """What was set."""
    return _precision[0]


def set_flush_denormal(mode: bool) -> bool:
    """False: denormal numbers are kept."""
    return False


def typename(obj: Any) -> str:
    """The full name of an object's type; tensors by their old type names."""
    if isinstance(obj, Tensor):
        return obj.type()
    kind = obj if isinstance(obj, type) else type(obj)
    return f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ not in ("", "builtins") else kind.__qualname__
