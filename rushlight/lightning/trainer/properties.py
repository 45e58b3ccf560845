"""What a trainer tells about itself."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rushlight.lightning.trainer.states import RunningStage, TrainerFn
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.overrides import is_overridden

INFINITE = float("inf")


def _stage(stage: RunningStage) -> Any:
    def get(self: Any) -> bool:
        return bool(self.state.stage == stage)

    def put(self: Any, on: bool) -> None:
        if on:
            self.state.stage = stage
        elif self.state.stage == stage:
            self.state.stage = None
    get.__doc__ = f"Whether the stage is {stage.value!r}."
    return property(get, put)


class TrainerProperties:
    """Read-only views of a trainer's parts; part of Trainer."""

    training = _stage(RunningStage.TRAINING)
    validating = _stage(RunningStage.VALIDATING)
    testing = _stage(RunningStage.TESTING)
    predicting = _stage(RunningStage.PREDICTING)
    sanity_checking = _stage(RunningStage.SANITY_CHECKING)

    @property
    def evaluating(self: Any) -> bool:
        """Whether validation or test is running."""
        return self.state.stage is not None and self.state.stage.evaluating

    # --- processes and devices -------------------------------------------------------------------------------------
    global_rank = property(lambda self: self.strategy.global_rank)
    local_rank = property(lambda self: self.strategy.local_rank)
    node_rank = property(lambda self: self.strategy.node_rank)
    world_size = property(lambda self: self.strategy.world_size)
    num_devices = property(lambda self: self.strategy.num_processes)
    num_nodes = property(lambda self: self.strategy.world_size // self.strategy.num_processes)
    device_ids = property(lambda self: list(range(self.num_devices)))
    is_global_zero = property(lambda self: self.strategy.is_global_zero)
    scaler = None  # losses are scaled for float16, which no CPU trains in
    interrupted = property(lambda self: self.state.status == "interrupted")
    received_sigterm = property(lambda self: self._received_sigterm)

    @property
    def precision(self: Any) -> str:
        """The precision's name."""
        return self.precision_plugin.precision  # type: ignore[no-any-return]

    @property
    def lightning_module(self: Any) -> Any:
        """The module of the last run."""
        return self._model

    @property
    def model(self: Any) -> Any:
        """The module of the last run, in the wrapper that averages gradients while several processes train it."""
        return self.strategy.model

    @property
    def datamodule(self: Any) -> Any:
        """The data module of the last run."""
        return self._data.datamodule

    # --- counters --------------------------------------------------------------------------------------------------
    @property
    def current_epoch(self: Any) -> int:
        """How many epochs are complete: the present one's number."""
        return self.fit_loop.epoch_progress.current.completed  # type: ignore[no-any-return]

    @property
    def global_step(self: Any) -> int:
        """How many steps optimizers have taken."""
        return self.fit_loop.epoch_loop.global_step  # type: ignore[no-any-return]

    def _logging_step(self: Any) -> int:
        return self.fit_loop.epoch_loop._batches_that_stepped  # type: ignore[no-any-return]

    max_epochs = property(lambda self: self.fit_loop.max_epochs)
    min_epochs = property(lambda self: self.fit_loop.min_epochs)
    max_steps = property(lambda self: self.fit_loop.max_steps)
    min_steps = property(lambda self: self.fit_loop.min_steps)

    @property
    def is_last_batch(self: Any) -> bool:
        """Whether this batch is the epoch's last."""
        return self.fit_loop.epoch_loop.batch_progress.is_last_batch  # type: ignore[no-any-return]

    @property
    def num_training_batches(self: Any) -> float:
        """How many batches an epoch has, infinite where unknown."""
        return self.fit_loop.max_batches  # type: ignore[no-any-return]

    @property
    def num_val_batches(self: Any) -> Any:
        """How many validation batches each loader gives."""
        fitting = self.state.fn in (None, TrainerFn.FITTING)
        return (self.fit_loop.epoch_loop.val_loop if fitting else self.validate_loop).limits

    @property
    def num_sanity_val_batches(self: Any) -> list[Any]:
        """How many validation batches come before training."""
        return [min(self.num_sanity_val_steps, n) for n in self.fit_loop.epoch_loop.val_loop.limits]

    num_test_batches = property(lambda self: self.test_loop.limits)
    num_predict_batches = property(lambda self: self.predict_loop.limits)

    @property
    def enable_validation(self: Any) -> bool:
        """Whether fitting has validation."""
        return bool(
            self._data.defined("validate")
            and self.limit_val_batches > 0
            and is_overridden("validation_step", self.lightning_module)
        )

    @property
    def estimated_stepping_batches(self: Any) -> float:
        """How many steps optimizers will take; for schedulers in configure_optimizers.
        It asks for the training data."""
        from rushlight.lightning.callbacks import GradientAccumulationScheduler
        for callback in self.callbacks:
            if isinstance(callback, GradientAccumulationScheduler) and callback.going_to_accumulate_grad_batches():
                raise MisconfigurationException("Estimated stepping batches cannot be computed with different"
                                                " `accumulate_grad_batches` at different epochs.")
        if self.max_epochs == -1:
            return INFINITE if self.max_steps == -1 else self.max_steps
        self.fit_loop.prepare_data()
        batches = self.num_training_batches
        if batches == INFINITE:
            return self.max_steps  # type: ignore[no-any-return]
        steps = math.ceil(batches / self.accumulate_grad_batches) * max(self.max_epochs, 1)
        return int(min(steps, self.max_steps)) if self.max_steps != -1 else steps

    # --- loaders ---------------------------------------------------------------------------------------------------
    @property
    def train_dataloader(self: Any) -> Any:
        """The training loaders, None before there are any."""
        return self.fit_loop.loader.iterables if self.fit_loop.loader is not None else None

    @property
    def val_dataloaders(self: Any) -> Any:
        """The validation loaders, None before there are any."""
        for loop in (self.fit_loop.epoch_loop.val_loop, self.validate_loop):
            if loop.loader is not None:
                return loop.loader.iterables
        return None

    @property
    def test_dataloaders(self: Any) -> Any:
        """The test loaders, None before there are any."""
        return self.test_loop.loader.iterables if self.test_loop.loader is not None else None

    @property
    def predict_dataloaders(self: Any) -> Any:
        """The loaders for prediction, None before there are any."""
        return self.predict_loop.loader.iterables if self.predict_loop.loader is not None else None

    # --- callbacks, loggers, files ---------------------------------------------------------------------------------
    def _callbacks_of(self: Any, name: str) -> list[Any]:
        from rushlight.lightning import callbacks
        return [c for c in self.callbacks if isinstance(c, getattr(callbacks, name))]

    @property
    def early_stopping_callbacks(self) -> list[Any]:
        """All EarlyStopping callbacks."""
        return self._callbacks_of("EarlyStopping")

    @property
    def early_stopping_callback(self) -> Any:
        """The first EarlyStopping callback, or None."""
        return next(iter(self.early_stopping_callbacks), None)

    @property
    def checkpoint_callbacks(self) -> list[Any]:
        """All callbacks that write checkpoints."""
        return self._callbacks_of("Checkpoint")

    @property
    def checkpoint_callback(self) -> Any:
        """The first callback that writes checkpoints, or None."""
        return next(iter(self.checkpoint_callbacks), None)

    @property
    def progress_bar_callback(self) -> Any:
        """The progress bar, or None."""
        return next(iter(self._callbacks_of("ProgressBar")), None)

    @property
    def logger(self: Any) -> Any:
        """The first logger, or None."""
        return self.loggers[0] if self.loggers else None

    @logger.setter
    def logger(self: Any, logger: Any) -> None:
        self.loggers = [logger] if logger else []

    @property
    def log_dir(self: Any) -> str | None:
        """Where the first logger writes, else default_root_dir."""
        if not self.loggers:
            return self.default_root_dir  # type: ignore[no-any-return]
        first = self.loggers[0]
        found: str | None = getattr(first, "log_dir", None) or first.save_dir
        return found

    @property
    def default_root_dir(self: Any) -> str:
        """Where logs and checkpoints go."""
        return self._default_root_dir  # type: ignore[no-any-return]

    @property
    def ckpt_path(self: Any) -> Any:
        """The checkpoint that the run went on from, or None."""
        return self._ckpt_path

    @ckpt_path.setter
    def ckpt_path(self: Any, path: Any) -> None:
        self._ckpt_path = os.fspath(path) if path is not None else None

    # --- logged values ---------------------------------------------------------------------------------------------
    @property
    def _results(self: Any) -> Any:
        """What the running loop collects."""
        stage = self.state.stage
        if stage is RunningStage.TRAINING:
            return self.fit_loop.epoch_loop._results
        if stage is None or stage is RunningStage.PREDICTING:
            return None
        if self.state.fn is TrainerFn.FITTING:
            return self.fit_loop.epoch_loop.val_loop._results
        return (self.test_loop if stage is RunningStage.TESTING else self.validate_loop)._results

    @property
    def callback_metrics(self: Any) -> dict[str, Any]:
        """The logged values that callbacks monitor, as tensors."""
        return self._metrics.get("callback")  # type: ignore[no-any-return]

    @property
    def logged_metrics(self: Any) -> dict[str, Any]:
        """The values that go to the loggers, as tensors."""
        return self._metrics.get("log")  # type: ignore[no-any-return]

    @property
    def progress_bar_metrics(self: Any) -> dict[str, float]:
        """The values that the progress bar shows, as numbers; reading them waits for them."""
        from rushlight.lightning.trainer.metrics import as_number
        return {name: as_number(value) for name, value in self._metrics.get("pbar").items()}

    @contextmanager
    def init_module(self: Any, empty_init: bool | None = None) -> Iterator[None]:
        """Make a module within the block in the precision's type."""
        from rushlight.tensor.settings import get_default_dtype, set_default_dtype
        before = get_default_dtype()
        if self.precision_plugin.precision.endswith("-true"):
            set_default_dtype(self.precision_plugin.dtype)
        try:
            yield
        finally:
            set_default_dtype(before)
