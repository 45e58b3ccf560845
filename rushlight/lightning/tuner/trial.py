"""A short run within a run: the trainer's parts are put aside and come back after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from typing import Any

from rushlight.lightning.loggers.logger import DummyLogger
from rushlight.lightning.loops.epoch import TrainingEpochLoop
from rushlight.lightning.loops.evaluation import EvaluationLoop
from rushlight.lightning.loops.fit import FitLoop
from rushlight.lightning.loops.prediction import PredictionLoop
from rushlight.lightning.trainer.metrics import Metrics
from rushlight.lightning.utilities.seed import isolate_rng

PARTS = ("callbacks", "loggers", "fit_loop", "validate_loop", "test_loop", "predict_loop", "_metrics", "optimizers",
         "_lightning_optimizers", "lr_scheduler_configs", "should_stop", "num_sanity_val_steps", "limit_train_batches",
         "limit_val_batches", "limit_test_batches", "limit_predict_batches", "state", "_hook", "log_every_n_steps",
         "_tuning", "val_check_batch", "_max_time", "_ckpt_path", "accumulate_grad_batches")


@contextmanager
def trial(trainer: Any, model: Any, callbacks: list[Any], steps: int) -> Iterator[Callable[[], Any]]:
    """The trainer ready for trial runs with these callbacks alone; the function that makes a loop for so many steps.

    Parameters, optimizers and generators come back after it.
    """
    kept = {name: getattr(trainer, name) for name in PARTS}
    weights = deepcopy(model.state_dict())
    optimizers = [deepcopy(optimizer.state_dict()) for optimizer in trainer.optimizers]
    trainer.state = copy(trainer.state)
    trainer.callbacks, trainer.loggers, trainer.lr_scheduler_configs = (
        callbacks,
        [DummyLogger()] if trainer.loggers else [],
        [],
    )
    trainer._tuning, trainer.num_sanity_val_steps, trainer.should_stop = True, 0, False
    trainer._metrics, trainer._max_time = Metrics(trainer), None
    try:
        with isolate_rng():
            yield lambda: fresh_loop(trainer, steps)
    finally:
        for name, value in kept.items():
            setattr(trainer, name, value)
        model.load_state_dict(weights)
        model.zero_grad()
        for optimizer, state in zip(trainer.optimizers, optimizers):
            optimizer.load_state_dict(state)
        trainer.hooks.refresh()


def fresh_loop(trainer: Any, steps: int) -> Any:
    """A loop that has run nothing, for so many steps of what the trainer is doing."""
    fn = trainer.state.fn.value
    trainer.should_stop = False
    trainer.hooks.refresh()
    if fn == "fit":
        loop = trainer.fit_loop = FitLoop(trainer, 0, -1)
        loop.epoch_loop = TrainingEpochLoop(trainer, None, steps)
        trainer.training = True
        return loop
    if fn == "predict":
        trainer.limit_predict_batches = steps
        trainer.predict_loop = PredictionLoop(trainer)
        return trainer.predict_loop
    trainer.limit_val_batches = trainer.limit_test_batches = steps
    setattr(trainer, f"{fn}_loop", EvaluationLoop(trainer, fn, fn, verbose=False))
    return getattr(trainer, f"{fn}_loop")
