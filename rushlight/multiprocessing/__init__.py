"""Python's multiprocessing, with tensors that processes share (torch.multiprocessing).

A tensor sent through a queue or a pipe, or given to a process, is moved into shared memory and seen by both sides: what
one writes, the other reads.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import *  # noqa: F403
from multiprocessing import current_process, get_all_start_methods, get_context, get_start_method, set_start_method
from typing import Any

from rushlight.multiprocessing import shared
from rushlight.multiprocessing.spawning import (ProcessContext, ProcessException, ProcessExitedException,
                                                ProcessRaisedException, SpawnContext, spawn, start_processes)

shared.register()
_STRATEGIES = {"file_descriptor", "file_system"}
_strategy = ["file_descriptor"]


def set_sharing_strategy(new_strategy: str) -> None:
    """How shared memory is handed over: "file_descriptor", or "file_system".

    Here memory is anonymous and handed over by descriptor with both (nothing is left in /dev/shm when a process dies).
    """
    if new_strategy not in _STRATEGIES:
        raise AssertionError(f"invalid sharing strategy {new_strategy!r}: it is one of {sorted(_STRATEGIES)}")
    _strategy[0] = new_strategy


def get_sharing_strategy() -> str:
    """What `set_sharing_strategy` set, "file_descriptor" at first."""
    return _strategy[0]


def get_all_sharing_strategies() -> set[str]:
    """The names that `set_sharing_strategy` takes."""
    return set(_STRATEGIES)


def __getattr__(name: str) -> Any:
    if name in ("pool", "queues", "managers", "connection", "synchronize", "context",
                "process", "reduction", "shared_memory"):
        import importlib
        return importlib.import_module(f"multiprocessing.{name}")
    return getattr(multiprocessing, name)


__all__ = ["ProcessContext", "ProcessException", "ProcessExitedException", "ProcessRaisedException", "SpawnContext",
           "current_process", "get_all_sharing_strategies", "get_all_start_methods",
           "get_context", "get_sharing_strategy", "get_start_method", "set_sharing_strategy",
           "set_start_method", "spawn", "start_processes", *multiprocessing.__all__]
