"""Finds a learning rate before fitting."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.callbacks.callback import Callback
from rushlight.lightning.utilities.exceptions import ExitTuning


class LearningRateFinder(Callback):
    """Run a test of learning rates when fitting begins, and set the module's
    ``lr`` to what it suggests; see Tuner.lr_find."""

    def __init__(self, min_lr: float = 1e-8, max_lr: float = 1, num_training_steps: int = 100,
                 mode: str = "exponential", early_stop_threshold: float | None = 4.0, update_attr: bool = True,
                 attr_name: str = "") -> None:
        if mode not in ("linear", "exponential"):
            raise ValueError(f"`mode` should be either 'linear' or 'exponential', got {mode!r}")
        self._min_lr, self._max_lr, self._num_training_steps, self._mode = min_lr, max_lr, num_training_steps, mode
        self._early_stop_threshold, self._update_attr, self._attr_name = early_stop_threshold, update_attr, attr_name
        self._early_exit = False
        self.optimal_lr: Any = None

    def lr_find(self, trainer: Any, pl_module: Any) -> None:
        """Run the test."""
        from rushlight.lightning.tuner.lr_finder import lr_find
        self.optimal_lr = lr_find(trainer, pl_module, self._min_lr, self._max_lr, self._num_training_steps, self._mode,
                                  self._early_stop_threshold, self._update_attr, self._attr_name)
        if self._early_exit:
            raise ExitTuning

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer._tuning:
            self.lr_find(trainer, pl_module)
