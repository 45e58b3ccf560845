"""Finds the largest batch that fits before a run."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.callbacks.callback import Callback
from rushlight.lightning.utilities.exceptions import ExitTuning


class BatchSizeFinder(Callback):
    """Before fitting (or evaluating), double the module's ``batch_size`` until memory runs out, or the data;
    see Tuner.scale_batch_size."""

    def __init__(self, mode: str = "power", steps_per_trial: int = 3, init_val: int = 2, max_trials: int = 25,
                 batch_arg_name: str = "batch_size") -> None:
        if mode not in ("power", "binsearch"):
            raise ValueError(f"`mode` should be either 'power' or 'binsearch' but got {mode}")
        self._mode, self._steps_per_trial, self._init_val, self._max_trials = (
            mode,
            steps_per_trial,
            init_val,
            max_trials,
        )
        self._batch_arg_name = batch_arg_name
        self.optimal_batch_size: int | None = init_val
        self._early_exit = False

    def scale_batch_size(self, trainer: Any, pl_module: Any) -> None:
        """Try, and set the size that was found."""
        from rushlight.lightning.tuner.batch_size_scaling import scale_batch_size
        self.optimal_batch_size = scale_batch_size(trainer, pl_module, self._mode, self._steps_per_trial,
                                                   self._init_val, self._max_trials, self._batch_arg_name)
        if self._early_exit:
            raise ExitTuning

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer._tuning:
            self.scale_batch_size(trainer, pl_module)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._evaluation(trainer, pl_module)

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        self._evaluation(trainer, pl_module)

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        self._evaluation(trainer, pl_module)

    def _evaluation(self, trainer: Any, pl_module: Any) -> None:
        if trainer.state.fn != "fit" and not trainer._tuning:
            self.scale_batch_size(trainer, pl_module)
