"""Writes a checkpoint where an exception ends training."""

from __future__ import annotations

import os
from typing import Any

from rushlight.lightning.callbacks.checkpoint import Checkpoint


class OnExceptionCheckpoint(Checkpoint):
    """Write `dirpath`/`filename`.ckpt when fitting is interrupted. ValueError for an empty filename."""

    FILE_EXTENSION = ".ckpt"

    def __init__(self, dirpath: Any, filename: str = "on_exception"):
        if not filename:
            raise ValueError("The filename cannot be empty")
        self.dirpath, self.filename = dirpath, filename

    @property
    def ckpt_path(self) -> str:
        """The file."""
        return os.path.join(self.dirpath, self.filename + self.FILE_EXTENSION)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        if trainer.state.fn == "fit":
            trainer.save_checkpoint(self.ckpt_path)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        trainer.strategy.remove_checkpoint(self.ckpt_path)
