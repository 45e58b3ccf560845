"""Fully sharded data parallel training (torch.distributed.fsdp): FullyShardedDataParallel wraps modules, fully_shard
changes them in place."""

from __future__ import annotations

import importlib
from typing import Any

from rushlight.distributed.fsdp import api as _api
from rushlight.distributed.fsdp.api import *  # noqa: F403
from rushlight.distributed.fsdp.fully_sharded_data_parallel import FlatParameter, FullyShardedDataParallel

IN_PLACE = (
    "CPUOffloadPolicy",
    "FSDPModule",
    "MixedPrecisionPolicy",
    "OffloadPolicy",
    "UnshardHandle",
    "fully_shard",
    "register_fsdp_forward_method",
    "share_comm_ctx",
)


def __getattr__(name: str) -> Any:
    if name in IN_PLACE:  # these need DTensors
        return getattr(importlib.import_module("rushlight.distributed.fsdp._fully_shard"), name)
    if name in ("wrap", "api", "fully_sharded_data_parallel", "sharded_grad_scaler", "_fully_shard"):
        return importlib.import_module(f"rushlight.distributed.fsdp.{name}")
    raise AttributeError(
        f"module 'rushlight.distributed.fsdp' has no attribute {name!r}; rushlight does not provide "
        f"torch.distributed.fsdp.{name}"
    )


__all__ = [*_api.__all__, "FlatParameter", "FullyShardedDataParallel", *IN_PLACE]
