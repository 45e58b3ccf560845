"""Tensors spread over the processes of a mesh (torch.distributed.tensor)."""

from __future__ import annotations

import importlib
from typing import Any

from rushlight.distributed.device_mesh import DeviceMesh, init_device_mesh
from rushlight.distributed.tensor import gradients as _gradients  # noqa: F401
from rushlight.distributed.tensor import optimizers as _optimizers  # noqa: F401
from rushlight.distributed.tensor.distribute import distribute_module, distribute_tensor
from rushlight.distributed.tensor.dtensor import DTensor
from rushlight.distributed.tensor.factories import empty, full, ones, rand, randn, zeros
from rushlight.distributed.tensor.placement import Partial, Placement, Replicate, Shard

SUBMODULES = ("parallel", "placement_types", "experimental", "device_mesh")


def __getattr__(name: str) -> Any:
    if name == "device_mesh":
        return importlib.import_module("rushlight.distributed.device_mesh")
    if name in SUBMODULES:
        return importlib.import_module(f"rushlight.distributed.tensor.{name}")
    raise AttributeError(
        f"module 'rushlight.distributed.tensor' has no attribute {name!r}; rushlight does not provide "
        f"torch.distributed.tensor.{name}"
    )


__all__ = [
    "DTensor",
    "DeviceMesh",
    "Partial",
    "Placement",
    "Replicate",
    "Shard",
    "distribute_module",
    "distribute_tensor",
    "empty",
    "full",
    "init_device_mesh",
    "ones",
    "rand",
    "randn",
    "zeros",
]
