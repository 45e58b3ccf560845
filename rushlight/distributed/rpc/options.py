"""Who takes part in remote calls, and how (torch.distributed.rpc)."""

from __future__ import annotations

import dataclasses
import enum
from datetime import timedelta
from typing import Any

DEFAULT_TIMEOUT = 60.0
DEFAULT_THREADS = 16


class BackendType(enum.Enum):
    """TENSORPIPE stands for the one way there is: pickled calls over TCP."""

    TENSORPIPE = "TENSORPIPE"


@dataclasses.dataclass(frozen=True)
class WorkerInfo:
    """A process that takes part: its name and its number."""

    name: str
    id: int

    def __repr__(self) -> str:
        return f"WorkerInfo(id={self.id}, name={self.name})"


class RpcBackendOptions:
    """``rpc_timeout`` in seconds (0: none), and how the processes find each other."""

    def __init__(self, rpc_timeout: float = DEFAULT_TIMEOUT, init_method: str = "env://"):
        self.rpc_timeout = rpc_timeout.total_seconds() if isinstance(rpc_timeout, timedelta) else float(rpc_timeout)
        self.init_method = init_method


class TensorPipeRpcBackendOptions(RpcBackendOptions):
    """Also ``num_worker_threads``, which run the calls of others.
    ValueError for device maps that name GPUs: there are none."""

    def __init__(
        self,
        *,
        num_worker_threads: int = DEFAULT_THREADS,
        rpc_timeout: float = DEFAULT_TIMEOUT,
        init_method: str = "env://",
        device_maps: dict[str, dict[Any, Any]] | None = None,
        devices: list[Any] | None = None,
        _transports: Any = None,
        _channels: Any = None,
    ):
        super().__init__(rpc_timeout, init_method)
        self.num_worker_threads, self.devices = num_worker_threads, list(devices or ())
        self.device_maps: dict[str, Any] = {}
        _only_cpu(self.devices)
        for to, pairs in (device_maps or {}).items():
            self.set_device_map(to, pairs)

    def set_device_map(self, to: str, device_map: dict[Any, Any]) -> None:
        """Which device's tensors arrive on which: CPU to CPU only."""
        _only_cpu([*device_map, *device_map.values()])
        self.device_maps[to] = dict(device_map)

    def set_devices(self, devices: list[Any]) -> None:
        """The devices that calls use: the CPU only."""
        _only_cpu(devices)
        self.devices = list(devices)


def _only_cpu(devices: list[Any]) -> None:
    for d in devices:
        if str(d) != "cpu":
            raise ValueError(
                f"`set_devices` expect a list of devices that are here, got {d!r}: tensors travel from CPU to CPU"
            )
