"""The base of strategies, and the one of a single process (pytorch_lightning.strategies)."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rushlight.lightning.environment import ALONE, Environment
from rushlight.tensor.device import device as Device


class Strategy:
    """How many processes train a model, and what they tell each other: the base, with one process, which tells nothing."""

    strategy_name = "single_device"
    launcher: Any = None  # what starts the other processes
    handles_gradient_accumulation = False

    def __init__(self, device: Any = "cpu", **kwargs: Any):
        self.root_device = Device(device)
        self.settings = kwargs
        self.trainer: Any = None
        self.environment: Environment = ALONE

    # --- who this is -----------------------------------------------------------------------------------------------
    world_size = property(lambda self: self.environment.world_size)
    global_rank = property(lambda self: self.environment.global_rank)
    local_rank = property(lambda self: self.environment.local_rank)
    node_rank = property(lambda self: self.environment.node_rank)
    num_processes = property(lambda self: self.environment.local_world_size)
    is_global_zero = property(lambda self: self.environment.global_rank == 0)
    is_distributed = property(lambda self: self.environment.world_size > 1)

    @property
    def lightning_module(self) -> Any:
        """The module that the trainer runs."""
        return self.trainer.lightning_module if self.trainer is not None else None

    @property
    def model(self) -> Any:
        """The module that the trainer runs, in the wrapper that exchanges gradients where there is one."""
        return self.lightning_module

    @property
    def optimizers(self) -> list[Any]:
        """The trainer's."""
        return self.trainer.optimizers  # type: ignore[no-any-return]

    @property
    def precision_plugin(self) -> Any:
        """The trainer's."""
        return self.trainer.precision_plugin

    # --- a run -----------------------------------------------------------------------------------------------------
    def setup_environment(self) -> None:
        """Meet the other processes."""

    def wrapped(self, module: Any) -> Any:
        """The module in what averages its gradients over the processes, None where nothing has to."""

    def wrap(self, module: Any, sync_batchnorm: bool = False) -> None:
        """Let the gradients of the trainer's module be averaged from now on."""

    def teardown(self) -> None:
        """Undo `wrap`."""

    def before_forward(self) -> None:
        """What comes before a training step."""

    def block_backward_sync(self) -> AbstractContextManager[Any]:
        """A block whose gradients are not exchanged."""
        return nullcontext()

    # --- what processes tell each other ----------------------------------------------------------------------------
    def barrier(self, name: str | None = None) -> None:
        """Wait for the other processes."""

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """What the process `src` has."""
        return obj

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        """The mean (or sum, max, min) over all processes."""
        return tensor

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """Whether all processes, or any, say so."""
        return decision

    def all_gather(self, tensor: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """The tensors of all processes, in a new first dimension."""
        return tensor

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint; the first process does."""
        if self.is_global_zero and os.path.exists(path):
            os.remove(path)


class SingleDeviceStrategy(Strategy):
    """Trains in this process."""
