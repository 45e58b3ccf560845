"""Accumulates gradients over different numbers of batches in different epochs."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.callbacks.callback import Callback
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.overrides import is_overridden
from rushlight.lightning.utilities.rank_zero import rank_zero_warn


class GradientAccumulationScheduler(Callback):
    """``{epoch: batches}``: from an epoch on (counted from 0), one step takes so many batches.

    TypeError for an empty dict, MisconfigurationException for keys or
    values that are not numbers of epochs and batches.

    >>> GradientAccumulationScheduler({0: 8, 4: 4}).get_accumulate_grad_batches(5)
    4
    """

    def __init__(self, scheduling: dict[int, int]):
        if not scheduling:
            raise TypeError("Empty dict cannot be interpreted correct")
        if any(not isinstance(k, int) or k < 0 for k in scheduling):
            raise MisconfigurationException("Epoch should be an int greater than or equal to 0. Got"
                                            f" {list(scheduling.keys())}.")
        if any(not isinstance(v, int) or v < 1 for v in scheduling.values()):
            raise MisconfigurationException("Accumulation factor should be an int greater than 0. Got"
                                            f" {list(scheduling.values())}.")
        self.scheduling = {0: 1, **scheduling}
        self.epochs = sorted(self.scheduling)

    def going_to_accumulate_grad_batches(self) -> bool:
        """Whether any epoch accumulates."""
        return any(v > 1 for v in self.scheduling.values())

    def get_accumulate_grad_batches(self, epoch: int) -> int:
        """How many batches a step takes in an epoch."""
        return self.scheduling[max(e for e in self.epochs if e <= epoch)]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if not pl_module.automatic_optimization:
            raise RuntimeError("Automatic gradient accumulation and the `GradientAccumulationScheduler` is not"
                               " supported for manual optimization. Please remove the callback or switch to"
                               " automatic optimization.")
        if trainer.accumulate_grad_batches != 1:
            raise ValueError("You have set `accumulate_grad_batches` and are using the"
                             " `GradientAccumulationScheduler` callback. Either remove `accumulate_grad_batches`"
                             " from the Trainer or the callback.")
        if self.going_to_accumulate_grad_batches() and any(
            is_overridden(n, pl_module) for n in ("optimizer_step", "optimizer_zero_grad")
        ):
            rank_zero_warn("When using `Trainer(accumulate_grad_batches != 1)` and overriding"
                           " `LightningModule.optimizer_{step,zero_grad}`, the hooks will not be called on every"
                           " batch (rather, they are called on every optimization step).")

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        trainer.accumulate_grad_batches = self.get_accumulate_grad_batches(trainer.current_epoch)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        trainer.accumulate_grad_batches = 1
