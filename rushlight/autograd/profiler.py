"""The older profiler (torch.autograd.profiler): `torch.profiler` under another name."""

from __future__ import annotations

import warnings
from typing import Any


class profile:
    """Records the block where ``enabled``; results as in `torch.profiler`. GPU switches record nothing, with a warning.

    >>> import rushlight as rl
    >>> with profile() as prof:
    ...     _ = rl.ones(3).exp().sum().item()
    >>> prof.total_average().count > 1
    True
    """

    def __init__(self, enabled: bool = True, *, use_cuda: bool = False, use_device: str | None = None,
                 record_shapes: bool = False, with_flops: bool = False, profile_memory: bool = False,
                 with_stack: bool = False, with_modules: bool = False, use_kineto: bool = False, use_cpu: bool = True,
                 experimental_config: Any = None, acc_events: bool = False, custom_trace_id_callback: Any = None):
        if use_cuda or use_device not in (None, "cpu"):
            warnings.warn("CUDA is not available, disabling CUDA profiling", stacklevel=2)
        self.enabled, self.profile_memory = enabled and use_cpu, profile_memory
        from rushlight.profiler.recording import Recorder
        self._recorder = Recorder(record_shapes, profile_memory, with_stack)
        self.entered = False

    def __enter__(self) -> profile:
        if self.entered:
            raise RuntimeError("Profiler context manager is not reentrant")
        self.entered = True
        if self.enabled:
            self._recorder.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.enabled:
            self._recorder.stop()

    @property
    def function_events(self) -> Any:
        """The events, as an EventList."""
        from rushlight.profiler.events import EventList
        if not self.entered:
            raise RuntimeError("Profiler didn't finish running")
        return EventList(self._recorder.events, profile_memory=self.profile_memory)

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all events, each counted once."""
        return float(self.function_events.self_cpu_time_total)

    def __getattr__(self, name: str) -> Any:
        if name in ("table", "key_averages", "total_average", "export_chrome_trace", "export_stacks"):
            return getattr(self.function_events, name)
        raise AttributeError(name)

    def __str__(self) -> str:
        return str(self.function_events)


class emit_nvtx:
    """Marks for NVIDIA's profiler: RuntimeError when entered, for there is no CUDA."""

    def __init__(self, enabled: bool = True, record_shapes: bool = False):
        self.enabled = enabled

    def __enter__(self) -> emit_nvtx:
        if self.enabled:
            raise RuntimeError("NVTX functions not installed. Are you sure you have a CUDA build?")
        return self

    def __exit__(self, *_: Any) -> None:
        pass


def __getattr__(name: str) -> Any:
    if name == "record_function":
        from rushlight.profiler.recording import record_function
        return record_function
    if name in ("EventList", "FunctionEvent", "FunctionEventAvg"):
        from rushlight.profiler import events
        return getattr(events, name)
    raise AttributeError(f"module 'rushlight.autograd.profiler' has no attribute {name!r}")
