"""Writes predictions while they are made."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.callbacks.callback import Callback
from rushlight.lightning.utilities.exceptions import MisconfigurationException

INTERVALS = ("batch", "epoch", "batch_and_epoch")


class BasePredictionWriter(Callback):
    """Override write_on_batch_end or write_on_epoch_end; `write_interval` is "batch", "epoch" or "batch_and_epoch"."""

    def __init__(self, write_interval: str = "batch"):
        if write_interval not in INTERVALS:
            raise MisconfigurationException(f"`write_interval` should be one of {list(INTERVALS)}.")
        self.interval = write_interval

    def write_on_batch_end(self, trainer: Any, pl_module: Any, prediction: Any, batch_indices: Any, batch: Any,
                           batch_idx: int, dataloader_idx: int) -> None:
        """A batch is done; batch_indices are the places of its samples in the data set, None where they are unknown."""
        raise NotImplementedError

    def write_on_epoch_end(self, trainer: Any, pl_module: Any, predictions: Any, batch_indices: Any) -> None:
        """All is done; batch_indices are lists of batches' places for each loader."""
        raise NotImplementedError

    def on_predict_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int,
                             dataloader_idx: int = 0) -> None:
        if self.interval != "epoch":
            self.write_on_batch_end(trainer, pl_module, outputs, trainer.predict_loop.current_batch_indices, batch,
                                    batch_idx, dataloader_idx)

    def on_predict_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if self.interval != "batch":
            self.write_on_epoch_end(trainer, pl_module, trainer.predict_loop.predictions,
                                    trainer.predict_loop.epoch_batch_indices)
