"""Names for annotations, and what is kept of a learning-rate scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from rushlight.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from rushlight.tensor.core import Tensor

STEP_OUTPUT = Tensor | Mapping[str, Any] | None
TRAIN_DATALOADERS = Any
EVAL_DATALOADERS = Any
LRSchedulerTypeUnion = LRScheduler | ReduceLROnPlateau
LRSchedulerTypeTuple = (LRScheduler, ReduceLROnPlateau)
LRSchedulerType = type[LRScheduler] | type[ReduceLROnPlateau]
_PATH = Any


@dataclass
class LRSchedulerConfig:
    """A scheduler, when it steps (every `frequency` steps or epochs), and what a plateau scheduler watches."""

    scheduler: Any
    name: str | None = None
    interval: str = "epoch"
    frequency: int = 1
    reduce_on_plateau: bool = False
    monitor: str | None = None
    strict: bool = True


class LRSchedulerConfigType(TypedDict, total=False):
    """The keys of a scheduler's dict in configure_optimizers."""

    scheduler: Any
    name: str | None
    interval: str
    frequency: int
    reduce_on_plateau: bool
    monitor: str | None
    strict: bool


class OptimizerConfig(TypedDict):
    """The return value of configure_optimizers with an optimizer alone."""

    optimizer: Any


class OptimizerLRSchedulerConfig(TypedDict):
    """The return value of configure_optimizers with a scheduler."""

    optimizer: Any
    lr_scheduler: Any


OptimizerLRScheduler = Any
