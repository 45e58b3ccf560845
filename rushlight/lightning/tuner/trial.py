"""A short run within a run: the trainer's parts are put aside and come back after it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rushlight.lightning.loggers.logger import DummyLogger
from rushlight.lightning.loops.epoch import TrainingEpochLoop
from rushlight.lightning.loops.fit import FitLoop
from rushlight.lightning.trainer.metrics import Metrics
from rushlight.lightning.utilities.seed import isolate_rng

PARTS = ("callbacks", "loggers", "fit_loop", "_metrics", "optimizers", "_lightning_optimizers", "lr_scheduler_configs", "should_stop",
         "num_sanity_val_steps", "limit_val_batches", "limit_train_batches", "state", "_hook", "log_every_n_steps", "_log_hparams", "_tuning",
         "val_check_batch", "_max_time", "_ckpt_path", "accumulate_grad_batches")


@contextmanager
def trial(trainer: Any, model: Any, callbacks: list[Any], max_steps: int) -> Iterator[Any]:
    """The trainer ready for trial runs of so many steps, with these callbacks alone; parameters and generators come back after it."""
    from copy import copy
    kept = {name: getattr(trainer, name) for name in PARTS if hasattr(trainer, name)}
    trainer.state = copy(trainer.state)
    with tempfile.TemporaryDirectory() as folder, isolate_rng():
        path = os.path.join(folder, "before.ckpt")
        trainer.save_checkpoint(path, weights_only=True)
        trainer.callbacks, trainer.loggers = callbacks, [DummyLogger()] if trainer.loggers else []
        trainer._tuning, trainer.num_sanity_val_steps, trainer.should_stop = True, 0, False
        trainer._metrics, trainer._max_time = Metrics(trainer), None
        try:
            yield lambda: fresh_loop(trainer, max_steps)
        finally:
            from rushlight.lightning.core.saving import read_checkpoint
            for name, value in kept.items():
                setattr(trainer, name, value)
            model.load_state_dict(read_checkpoint(path)["state_dict"])
            model.zero_grad()
            for optimizer in trainer.optimizers:
                optimizer.state.clear()
            trainer.hooks.refresh()


def fresh_loop(trainer: Any, max_steps: int) -> None:
    """A loop that has run nothing, for so many steps."""
    trainer.fit_loop = FitLoop(trainer, 0, -1)
    trainer.fit_loop.epoch_loop = TrainingEpochLoop(trainer, None, max_steps)
    trainer.should_stop = False
    trainer.state.fn, trainer.state.stage = type(trainer.state.fn)("fit"), None
    trainer.training = True
