"""torch.cuda on a machine without CUDA: programs ask whether there is any, and are told that there is not."""

from __future__ import annotations

import collections
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from rushlight.tensor.device import check_device
from rushlight.tensor.device import device as _device

# What each function does where there is no CUDA: raise PyTorch's error, or return this value
_RAISE = ("current_device", "synchronize", "get_device_name", "get_device_capability", "get_device_properties", "init",
          "current_stream", "default_stream", "get_rng_state", "initial_seed", "ipc_collect",
          "mem_get_info", "can_device_access_peer", "set_per_process_memory_fraction",
          "reset_peak_memory_stats", "reset_max_memory_allocated", "reset_max_memory_cached",
          "get_device_index", "current_blas_handle", "utilization", "temperature", "power_draw")
_RETURN: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(("is_available", "is_initialized", "is_bf16_supported",
                     "is_current_stream_capturing"), lambda: False),
    **dict.fromkeys(("device_count", "memory_allocated", "max_memory_allocated", "memory_reserved",
                     "max_memory_reserved", "memory_cached", "max_memory_cached"), lambda: 0),
    **dict.fromkeys(("empty_cache", "manual_seed", "manual_seed_all", "seed", "seed_all", "set_rng_state",
                     "set_rng_state_all"), lambda: None),
    **dict.fromkeys(("get_arch_list", "get_rng_state_all"), list),
    "memory_stats": collections.OrderedDict, "get_gencode_flags": str,
}
# The parameters of each, where it has any
_PARAMETERS = {
    **dict.fromkeys(("synchronize", "get_device_name", "get_device_capability",
                     "get_device_properties", "current_stream", "default_stream", "mem_get_info",
                     "reset_peak_memory_stats", "reset_max_memory_allocated", "reset_max_memory_cached",
                     "utilization", "temperature", "power_draw", "memory_allocated", "max_memory_allocated",
                     "memory_reserved", "max_memory_reserved", "memory_cached", "max_memory_cached",
                     "memory_stats", "reset_accumulated_memory_stats"), {"device": None}),
    "get_rng_state": {"device": "cuda"}, "can_device_access_peer": {"device": ..., "peer_device": ...},
    "get_device_index": {"device": ..., "optional": False},
    "set_per_process_memory_fraction": {"fraction": ..., "device": None},
    "is_bf16_supported": {"including_emulation": True},
    "manual_seed": {"seed": ...}, "manual_seed_all": {"seed": ...},
    "set_rng_state": {"new_state": ..., "device": "cuda"},
    "set_rng_state_all": {"new_states": ...}, "set_sync_debug_mode": {"debug_mode": ...}, "_sleep": {"cycles": ...},
    "memory_snapshot": {"mempool_id": None, "include_traces": True},
}
_RENAMED = {"memory_cached": "memory_reserved", "max_memory_cached": "max_memory_reserved"}
_TYPES = ("Float", "Double", "Half", "BFloat16", "Byte", "Char", "Short", "Int", "Long", "Bool")


def _raising(name: str) -> Callable[..., Any]:
    given = _signature(name)

    def function(*args: Any, **kwargs: Any) -> Any:
        given.bind(*args, **kwargs)
        check_device("cuda")
    function.__doc__ = "AssertionError: there is no CUDA."
    return _named(function, name)


def _returning(name: str, make: Callable[[], Any]) -> Callable[..., Any]:
    given = _signature(name)

    def function(*args: Any, **kwargs: Any) -> Any:
        given.bind(*args, **kwargs)
        if name in _RENAMED:
            warnings.warn(f"`torch.cuda.{name}` has been renamed to "
                          f"`torch.cuda.{_RENAMED[name]}`", FutureWarning, stacklevel=2)
        return make()
    function.__doc__ = f"{make()!r}: there is no CUDA."
    return _named(function, name)


def _named(function: Any, name: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__signature__ = _signature(name)
    return function


def _signature(name: str) -> inspect.Signature:
    empty = inspect.Parameter.empty
    return inspect.Signature([
        inspect.Parameter(k, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=empty if v is ... else v)
        for k, v in _PARAMETERS.get(name, {}).items()])


globals().update({name: _raising(name) for name in _RAISE})
globals().update({name: _returning(name, make) for name, make in _RETURN.items()})


def set_device(device: Any) -> None:
    """AssertionError for any device but -1, which stands for none."""
    if device != -1:
        check_device("cuda")


class device:
    """A context in which another GPU would be the current one; it cannot be entered, but for None and -1."""

    def __init__(self, device: Any):
        self.idx = -1 if device is None else device.index if isinstance(device, _device) else device

    def __enter__(self) -> None:
        if self.idx != -1:
            raise RuntimeError("PyTorch was compiled without CUDA support. "
                               "There is no GPU here that could be the current device.")

    def __exit__(self, *_: Any) -> bool:
        return False


class device_of(device):
    """The device of a tensor; nothing for tensors in main memory."""

    def __init__(self, obj: Any):
        super().__init__(None)


class StreamContext:
    """A context for a stream; None stands for none."""

    def __init__(self, stream: Any):
        self.stream = stream

    def __enter__(self) -> None:
        if self.stream is not None:
            check_device("cuda")

    def __exit__(self, *_: Any) -> bool:
        return False


def stream(stream: Any) -> StreamContext:
    """A context in which this stream would be the current one."""
    return StreamContext(stream)


def _needs_cuda(name: str) -> type:
    def __new__(cls: type, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"torch.cuda.{name} requires CUDA support, which is not here; "
                           "guard with torch.cuda.is_available()")
    return type(name, (), {"__new__": __new__, "__doc__": "Cannot be made without CUDA.", "__module__": __name__})


Stream, Event, ExternalStream, CUDAGraph = map(_needs_cuda, ("Stream", "Event", "ExternalStream", "CUDAGraph"))


def _absent_type(name: str) -> type:
    def __new__(cls: type, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"type torch.cuda.{name} not available. Torch not compiled with CUDA enabled.")
    return type(name, (), {"__new__": __new__, "__doc__": "A tensor type that cannot be made without CUDA.",
                           "__module__": __name__})


globals().update({f"{kind}Tensor": _absent_type(f"{kind}Tensor") for kind in _TYPES})


class OutOfMemoryError(RuntimeError):
    """A GPU's memory is full; never raised here, but programs catch it."""


default_generators: tuple[Any, ...] = ()
has_half = True


class graph:
    """Capturing a CUDA graph: cannot be made without CUDA."""

    def __init__(self, *args: Any, **kwargs: Any):
        raise RuntimeError("torch.cuda.Stream requires CUDA support, which is not here; "
                           "guard with torch.cuda.is_available()")


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """AssertionError: there is no CUDA memory to describe."""
    check_device("cuda")
    return ""


cudart = _raising("cudart")
set_sync_debug_mode, reset_accumulated_memory_stats, memory_snapshot, _sleep = map(
    _raising, ("set_sync_debug_mode", "reset_accumulated_memory_stats", "memory_snapshot", "_sleep"))
_is_in_bad_fork = _returning("_is_in_bad_fork", lambda: False)


def __getattr__(name: str) -> Any:
    if name in ("amp", "memory", "nvtx", "profiler", "nccl", "random"):
        import importlib
        return importlib.import_module(f"rushlight.cuda.{name}")
    raise AttributeError(f"module 'rushlight.cuda' has no attribute {name!r}; "
                         f"rushlight does not provide torch.cuda.{name}")
