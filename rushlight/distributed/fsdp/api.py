"""The options of FullyShardedDataParallel (torch.distributed.fsdp.api)."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import Any

from rushlight.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm

__all__ = [
    "BackwardPrefetch",
    "CPUOffload",
    "FullOptimStateDictConfig",
    "FullStateDictConfig",
    "LocalOptimStateDictConfig",
    "LocalStateDictConfig",
    "MixedPrecision",
    "OptimStateDictConfig",
    "OptimStateKeyType",
    "ShardedOptimStateDictConfig",
    "ShardedStateDictConfig",
    "ShardingStrategy",
    "StateDictConfig",
    "StateDictSettings",
    "StateDictType",
]


class ShardingStrategy(enum.Enum):
    """What is sharded. FULL_SHARD: parameters, gradients and optimizer state,
    whole parameters freed between forward and backward;
    SHARD_GRAD_OP: kept in between; NO_SHARD: nothing, as in DistributedDataParallel; HYBRID_…:
    sharded within a group, replicated across."""

    FULL_SHARD = enum.auto()
    SHARD_GRAD_OP = enum.auto()
    NO_SHARD = enum.auto()
    HYBRID_SHARD = enum.auto()
    _HYBRID_SHARD_ZERO2 = enum.auto()


class BackwardPrefetch(enum.Enum):
    """When PyTorch gathers the next unit's parameters in backward. Here units are gathered when they are needed:
    accepted, without effect."""

    BACKWARD_PRE = enum.auto()
    BACKWARD_POST = enum.auto()


@dataclasses.dataclass
class MixedPrecision:
    """Dtypes: of whole parameters and computation, of the gradients' reduction, of buffers;
    whether inputs are cast to ``param_dtype``.

    Modules of ``_module_classes_to_ignore`` keep their own dtype. ``keep_low_precision_grads`` is an error: gradients
    have the parameters' dtype.
    """

    param_dtype: Any = None
    reduce_dtype: Any = None
    buffer_dtype: Any = None
    keep_low_precision_grads: bool = False
    cast_forward_inputs: bool = False
    cast_root_forward_inputs: bool = True
    _module_classes_to_ignore: Sequence[type] = (BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm)


@dataclasses.dataclass
class CPUOffload:
    """Whether parameters live on the CPU: here they always do, so both values mean the same."""

    offload_params: bool = False


class StateDictType(enum.Enum):
    """What state_dict gives: whole tensors, this rank's stretch of the flat parameter,
    or DTensors cut along dimension 0."""

    FULL_STATE_DICT = enum.auto()
    LOCAL_STATE_DICT = enum.auto()
    SHARDED_STATE_DICT = enum.auto()


@dataclasses.dataclass
class StateDictConfig:
    """``offload_to_cpu`` changes nothing here: tensors are on the CPU."""

    offload_to_cpu: bool = False


@dataclasses.dataclass
class FullStateDictConfig(StateDictConfig):
    """``rank0_only``: the other ranks get an empty dictionary."""

    rank0_only: bool = False


@dataclasses.dataclass
class LocalStateDictConfig(StateDictConfig):
    """Of LOCAL_STATE_DICT."""


@dataclasses.dataclass
class ShardedStateDictConfig(StateDictConfig):
    """Of SHARDED_STATE_DICT, whose values are always DTensors here."""

    _use_dtensor: bool = False


@dataclasses.dataclass
class OptimStateDictConfig:
    """``offload_to_cpu`` changes nothing here."""

    offload_to_cpu: bool = True


@dataclasses.dataclass
class FullOptimStateDictConfig(OptimStateDictConfig):
    """``rank0_only``: the other ranks get an empty dictionary."""

    rank0_only: bool = False


@dataclasses.dataclass
class LocalOptimStateDictConfig(OptimStateDictConfig):
    """Of LOCAL_STATE_DICT."""

    offload_to_cpu: bool = False


@dataclasses.dataclass
class ShardedOptimStateDictConfig(OptimStateDictConfig):
    """Of SHARDED_STATE_DICT."""

    _use_dtensor: bool = False


@dataclasses.dataclass
class StateDictSettings:
    """What `FullyShardedDataParallel.set_state_dict_type` returns: the settings from before."""

    state_dict_type: StateDictType
    state_dict_config: StateDictConfig
    optim_state_dict_config: OptimStateDictConfig


class OptimStateKeyType(enum.Enum):
    """How an optimizer's state names parameters: by name or by number."""

    PARAM_NAME = enum.auto()
    PARAM_ID = enum.auto()


CONFIGS: dict[StateDictType, tuple[type, type]] = {
    StateDictType.FULL_STATE_DICT: (FullStateDictConfig, FullOptimStateDictConfig),
    StateDictType.LOCAL_STATE_DICT: (LocalStateDictConfig, LocalOptimStateDictConfig),
    StateDictType.SHARDED_STATE_DICT: (ShardedStateDictConfig, ShardedOptimStateDictConfig),
}
