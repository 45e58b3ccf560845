"""Stops training when a metric no longer improves."""

from __future__ import annotations

import math
from typing import Any

from rushlight.lightning.callbacks.callback import Callback
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn

WORST = {"min": math.inf, "max": -math.inf}


class EarlyStopping(Callback):
    """Stop when `monitor` has not improved for `patience` checks.

    Args:
        monitor: the name of a logged value.
        min_delta: a change smaller than this is no improvement.
        patience: how many checks without improvement end training.
        verbose: say what happens.
        mode: "min" or "max", which is better.
        strict: whether a missing metric is an error.
        check_finite: stop at NaN and infinity.
        stopping_threshold: stop when the metric is better than this.
        divergence_threshold: stop when it is worse than this.
        check_on_train_epoch_end: check there instead of at the end of validation;
            by default where validation ends epochs.
        log_rank_zero_only: messages from the first process only.

    MisconfigurationException for another mode; RuntimeError where the metric is missing.
    """

    def __init__(self, monitor: str, min_delta: float = 0.0, patience: int = 3, verbose: bool = False,
                 mode: str = "min", strict: bool = True, check_finite: bool = True,
                 stopping_threshold: float | None = None, divergence_threshold: float | None = None,
                 check_on_train_epoch_end: bool | None = None, log_rank_zero_only: bool = False):
        if mode not in WORST:
            raise MisconfigurationException(f"`mode` can be {', '.join(WORST)}, got {mode}")
        self.monitor, self.patience, self.verbose, self.mode, self.strict = monitor, patience, verbose, mode, strict
        self.min_delta = abs(min_delta) * (1 if mode == "max" else -1)
        self.check_finite, self.stopping_threshold, self.divergence_threshold = (
            check_finite,
            stopping_threshold,
            divergence_threshold,
        )
        self.log_rank_zero_only = log_rank_zero_only
        self._check_on_train_epoch_end = check_on_train_epoch_end
        self.wait_count = self.stopped_epoch = 0
        from rushlight.lightning.trainer.results import as_tensor
        self.best_score = as_tensor(WORST[mode])

    @property
    def state_key(self) -> str:
        return self._generate_state_key(monitor=self.monitor, mode=self.mode)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if self._check_on_train_epoch_end is None:
            self._check_on_train_epoch_end = trainer.val_check_interval == 1.0 and trainer.check_val_every_n_epoch == 1

    def state_dict(self) -> dict[str, Any]:
        return {"wait_count": self.wait_count, "stopped_epoch": self.stopped_epoch, "best_score": self.best_score,
                "patience": self.patience}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.wait_count, self.stopped_epoch = state_dict["wait_count"], state_dict["stopped_epoch"]
        self.best_score, self.patience = state_dict["best_score"], state_dict["patience"]

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if self._check_on_train_epoch_end:
            self._check(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if not self._check_on_train_epoch_end:
            self._check(trainer)

    def _check(self, trainer: Any) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or trainer.fast_dev_run:
            return
        values = trainer.callback_metrics
        if self.monitor not in values:
            message = (f"Early stopping conditioned on metric `{self.monitor}` which is not available. Pass in or"
                       f" modify your `EarlyStopping` callback to use any of the following: `{'`, `'.join(values)}`")
            if self.strict:
                raise RuntimeError(message)
            rank_zero_warn(message, category=RuntimeWarning)
            return
        stop, reason = self._evaluate_stopping_criteria(values[self.monitor].squeeze())
        stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        trainer.should_stop = trainer.should_stop or stop
        if stop:
            self.stopped_epoch = trainer.current_epoch
        if reason and self.verbose:
            rank_zero_info(reason)

    def _better(self, a: float, b: float) -> bool:
        return a < b if self.mode == "min" else a > b

    def _evaluate_stopping_criteria(self, current: Any) -> tuple[bool, str | None]:
        now, best, name = float(current), float(self.best_score), self.monitor
        if self.check_finite and not math.isfinite(now):
            return (
                True,
                f"Monitored metric {name} = {now} is not finite. Previous best value was {best:.3f}. Signaling"
                " Trainer to stop.",
            )
        if self.stopping_threshold is not None and self._better(now, self.stopping_threshold):
            return (
                True,
                f"Stopping threshold reached: {name} = {now} is better than {self.stopping_threshold}. Signaling"
                " Trainer to stop.",
            )
        if self.divergence_threshold is not None and self._better(-now, -self.divergence_threshold):
            return (
                True,
                f"Divergence threshold reached: {name} = {now} is worse than {self.divergence_threshold}. Signaling"
                " Trainer to stop.",
            )
        if self._better(now - self.min_delta, best):
            gain = (
                f" improved by {abs(best - now):.3f} >= min_delta = {abs(self.min_delta)}."
                if math.isfinite(best)
                else " improved."
            )
            self.best_score, self.wait_count = current, 0
            return False, f"Metric {name}{gain} New best score: {now:.3f}"
        self.wait_count += 1
        if self.wait_count >= self.patience:
            return True, (f"Monitored metric {name} did not improve in the last {self.wait_count} records. Best"
                          f" score: {best:.3f}. Signaling Trainer to stop.")
        return False, None
