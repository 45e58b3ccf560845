"""autocast: products and convolutions in bfloat16 or float16, losses in float32 (torch.amp.autocast)."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

from rushlight.ir import dtype as dtypes
from rushlight.tensor.state import state

DEVICES = ("cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla",
           "lazy", "vulkan", "mps", "meta", "hpu",
           "mtia", "privateuseone")
DEFAULT = {"cpu": dtypes.bfloat16}  # of other devices float16


class Chosen(threading.local):
    """What each thread's blocks, or set_autocast_dtype, chose for a device instead of the default."""

    def __init__(self) -> None:
        self.dtypes: dict[str, Any] = {}


chosen = Chosen()
_on: dict[str, bool] = {}  # switches of devices that are not there
_cache = [True]


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast knows the device type: cpu, cuda, xpu, mps, hpu, xla, mtia, maia, ipu.

    >>> is_autocast_available("cpu"), is_autocast_available("vulkan")
    (True, False)
    """
    return _checked(device_type) in ("cpu", "cuda", "xpu", "mps", "hpu", "xla", "mtia", "maia", "ipu", "privateuseone")


def _checked(device_type: str) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    name = device_type.split(":")[0]
    if name not in DEVICES:
        raise RuntimeError(f"Expected one of {', '.join(DEVICES)} device type at start of device string: {device_type}")
    return name


def get_autocast_dtype(device_type: str) -> Any:
    """The dtype that autocast uses on a device: that of the block one is in, or what was set; else bfloat16 on the CPU
    and float16 elsewhere.

    >>> with autocast("cpu", dtype=dtypes.float16):
    ...     get_autocast_dtype("cpu")
    torch.float16
    """
    name = _checked(device_type)
    return chosen.dtypes.get(name, DEFAULT.get(name, dtypes.float16))


def set_autocast_dtype(device_type: str, dtype: Any) -> None:
    """Change what `get_autocast_dtype` says, and what autocast does where it is on."""
    name = _checked(device_type)
    chosen.dtypes[name] = dtype
    if name == "cpu" and state.autocast is not None:
        state.autocast = dtype


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on for a device type."""
    name = _checked(device_type)
    return state.autocast is not None if name == "cpu" else _on.get(name, False)


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Switch autocast on or off for a device type (CUDA where only the switch is given)."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    if _checked(device_type) == "cpu":
        state.autocast = get_autocast_dtype("cpu") if enabled else None
    else:
        _on[device_type] = bool(enabled)


def is_autocast_cpu_enabled() -> bool:
    """Whether autocast is on for the CPU."""
    return state.autocast is not None


def get_autocast_cpu_dtype() -> Any:
    """The dtype that autocast uses on the CPU."""
    return get_autocast_dtype("cpu")


def get_autocast_gpu_dtype() -> Any:
    """The dtype that autocast would use on a GPU."""
    return get_autocast_dtype("cuda")


def is_autocast_cache_enabled() -> bool:
    """Whether casts of weights may be kept; the switch is remembered, plans cast each weight once anyway."""
    return _cache[0]


def set_autocast_cache_enabled(enabled: bool) -> None:
    """The switch of `is_autocast_cache_enabled`."""
    _cache[0] = bool(enabled)


def clear_autocast_cache() -> None:
    """There is nothing to clear: casts are part of plans."""


class autocast:
    """In the block (or the decorated function) products, convolutions and
    attention compute in ``dtype``, losses in float32.

    On the CPU ``dtype`` is bfloat16 (default) or float16; with any other dtype, and for "cuda"
    without a GPU, there is a warning and nothing changes. ``enabled=False`` switches it off within
    another block. ``cache_enabled`` is remembered.

    >>> import rushlight as rl
    >>> with autocast("cpu"):
    ...     (rl.ones(2, 2) @ rl.ones(2, 2)).dtype
    torch.bfloat16
    """

    def __init__(self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None):
        self.device = _checked(device_type)
        if not is_autocast_available(self.device):
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        self.fast_dtype = get_autocast_dtype(self.device) if dtype is None else dtype
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else bool(cache_enabled)
        if enabled and self.device == "cpu" and self.fast_dtype not in (dtypes.bfloat16, dtypes.float16):
            warnings.warn("In CPU autocast, but the target dtype is not supported. Disabling autocast.\n"
                          "CPU Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.", stacklevel=2)
            enabled = False
        elif enabled and self.device == "cuda":
            warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.", stacklevel=2)
            enabled = False
        elif enabled and self.device != "cpu":
            raise RuntimeError(f"autocast for {self.device}: rushlight has no such device here; use device_type='cpu'")
        self._enabled = bool(enabled)
        self._before: list[Any] = []

    def __enter__(self) -> autocast:
        self._before.append((state.autocast, chosen.dtypes.get(self.device), _cache[0]))
        if self.device == "cpu":
            state.autocast = self.fast_dtype if self._enabled else None
        chosen.dtypes[self.device] = self.fast_dtype
        _cache[0] = self._cache_enabled
        return self

    def __exit__(self, *_: Any) -> None:
        casting, dtype, _cache[0] = self._before.pop()
        if self.device == "cpu":
            state.autocast = casting
        if dtype is None:
            chosen.dtypes.pop(self.device, None)
        else:
            chosen.dtypes[self.device] = dtype

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)
        return wrapper


def _enter_autocast(device_type: str, dtype: Any = None, enabled: bool = True,
                    cache_enabled: bool | None = None) -> autocast:
    """An `autocast` that is entered, for `_exit_autocast`. Graphs of captured programs call both."""
    return autocast(device_type, dtype, enabled, cache_enabled).__enter__()


def _exit_autocast(mode: autocast) -> None:
    """Leave what `_enter_autocast` entered."""
    mode.__exit__(None, None, None)


def custom_fwd(fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: Any = None) -> Any:
    """Decorates the forward of an `autograd.Function`: with ``cast_inputs`` float tensors are cast to it and autocast
    is off inside."""
    _checked(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from rushlight.tensor.autocast import CAST, cast_nest
        args[0]._dtype = get_autocast_dtype(device_type)
        if cast_inputs is None:
            args[0]._fwd_used_autocast = is_autocast_enabled(device_type)
            return fwd(*args, **kwargs)
        context = is_autocast_enabled(device_type)
        args[0]._fwd_used_autocast = False
        if not context:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(*[cast_nest(a, cast_inputs, CAST) for a in args],
                       **{k: cast_nest(v, cast_inputs, CAST) for k, v in kwargs.items()})
    return wrapper


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Any:
    """Decorates the backward of an `autograd.Function`: it runs with autocast as forward did."""
    _checked(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, dtype=args[0]._dtype, enabled=args[0]._fwd_used_autocast):
            return bwd(*args, **kwargs)
    return wrapper


__all__ = ["autocast", "clear_autocast_cache", "custom_bwd", "custom_fwd", "get_autocast_cpu_dtype",
           "get_autocast_dtype", "get_autocast_gpu_dtype",
           "is_autocast_available", "is_autocast_cache_enabled", "is_autocast_cpu_enabled", "is_autocast_enabled",
           "set_autocast_cache_enabled",
           "set_autocast_dtype", "set_autocast_enabled"]
