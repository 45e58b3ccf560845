"""Several processes that compute together (torch.distributed), over TCP."""

from __future__ import annotations

import importlib
from typing import Any

from rushlight.distributed.collectives import (ReduceOp, Work, all_gather, all_gather_into_tensor, all_gather_object,
                                               all_reduce, all_to_all, all_to_all_single, barrier, broadcast,
                                               broadcast_object_list, gather, gather_object, irecv, isend,
                                               monitored_barrier, recv, reduce, reduce_scatter, reduce_scatter_tensor,
                                               scatter, scatter_object_list, send)
from rushlight.distributed.groups import (GroupMember, ProcessGroup, default_pg_timeout, destroy_process_group,
                                          get_backend, get_global_rank, get_group_rank, get_process_group_ranks,
                                          get_rank, get_world_size, group, init_process_group, is_available,
                                          is_gloo_available, is_initialized, is_mpi_available, is_nccl_available,
                                          is_torchelastic_launched, is_ucc_available, is_xccl_available, new_group)
from rushlight.distributed.store import FileStore, HashStore, PrefixStore, Store, TCPStore


class Backend(str):
    """The name of a backend."""

    UNDEFINED, GLOO, NCCL, UCC, MPI, XCCL = "undefined", "gloo", "nccl", "ucc", "mpi", "xccl"
    default_device_backend_map = {"cpu": "gloo", "cuda": "nccl", "xpu": "xccl", "mps": "gloo"}
    backend_list = ["undefined", "gloo", "nccl", "xccl", "ucc", "mpi"]

    def __new__(cls, name: str) -> Any:
        if not isinstance(name, str):
            raise ValueError(f"Backend constructor parameter must be string-ish: {name}")
        return str.__new__(cls, name.lower())


def __getattr__(name: str) -> Any:
    if name in ("DeviceMesh", "init_device_mesh"):
        return getattr(importlib.import_module("rushlight.distributed.device_mesh"), name)
    if name in ("algorithms", "checkpoint", "data_parallel", "collectives", "groups", "store", "distributed_c10d",
                "device_mesh", "tensor", "_tensor", "fsdp",
                "_composable", "rpc", "run", "nn", "optim", "autograd", "launch"):
        return importlib.import_module(f"rushlight.distributed.{name}")
    raise AttributeError(f"module 'rushlight.distributed' has no attribute {name!r}; "
                         f"rushlight does not provide torch.distributed.{name}")


__all__ = ["Backend", "FileStore", "GroupMember", "HashStore", "PrefixStore", "ProcessGroup", "ReduceOp", "Store",
           "TCPStore", "Work", "all_gather", "all_gather_into_tensor", "all_gather_object", "all_reduce",
           "all_to_all", "all_to_all_single", "barrier", "broadcast", "broadcast_object_list",
           "default_pg_timeout", "destroy_process_group", "gather", "gather_object", "get_backend", "get_global_rank",
           "get_group_rank", "get_process_group_ranks", "get_rank", "get_world_size",
           "group", "init_process_group", "irecv", "is_available", "is_gloo_available",
           "is_initialized", "is_mpi_available", "is_nccl_available", "is_torchelastic_launched", "is_ucc_available",
           "is_xccl_available", "isend", "monitored_barrier", "new_group", "recv", "reduce",
           "reduce_scatter", "reduce_scatter_tensor", "scatter", "scatter_object_list", "send"]
