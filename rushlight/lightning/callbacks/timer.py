"""Measures the time of each stage, and ends training when it is over."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from rushlight.lightning.callbacks.callback import Callback
from rushlight.lightning.trainer.configuration import duration as parse_duration
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import rank_zero_info


class Timer(Callback):
    """Stop training after `duration` ("DD:HH:MM:SS", a timedelta or a dict of its arguments),
    checked at each "step" or "epoch".

    >>> Timer("00:01:00:00").time_remaining()
    3600.0
    """

    def __init__(self, duration: Any = None, interval: str = "step", verbose: bool = True):
        limit = parse_duration(duration)
        if interval not in ("step", "epoch"):
            raise MisconfigurationException(f"Unsupported parameter value `Timer(interval={interval})`. Possible"
                                            " choices are: step, epoch")
        self._duration = limit.total_seconds() if limit is not None else None
        self._interval, self._verbose = interval, verbose
        self._start: dict[str, float] = {}
        self._end: dict[str, float] = {}
        self._offset = 0.0

    def start_time(self, stage: str = "train") -> float | None:
        """When a stage began, by a monotonic clock."""
        return self._start.get(str(getattr(stage, "value", stage)))

    def end_time(self, stage: str = "train") -> float | None:
        """When a stage ended."""
        return self._end.get(str(getattr(stage, "value", stage)))

    def time_elapsed(self, stage: str = "train") -> float:
        """Seconds that a stage has taken, those before the checkpoint included."""
        start, end = self.start_time(stage), self.end_time(stage)
        offset = self._offset if str(getattr(stage, "value", stage)) == "train" else 0.0
        return offset if start is None else (end if end is not None else time.monotonic()) - start + offset

    def time_remaining(self, stage: str = "train") -> float | None:
        """Seconds that are left of the duration."""
        return None if self._duration is None else self._duration - self.time_elapsed(stage)

    def _begin(self, stage: str) -> None:
        self._start[stage] = time.monotonic()
        self._end.pop(stage, None)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._begin("train")

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._end["train"] = time.monotonic()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._begin("validate")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self._end["validate"] = time.monotonic()

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        self._begin("test")

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        self._end["test"] = time.monotonic()

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        if self._duration is not None and self._offset:
            self._check(trainer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._interval == "step" and self._duration is not None:
            self._check(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if self._interval == "epoch" and self._duration is not None:
            self._check(trainer)

    def _check(self, trainer: Any) -> None:
        assert self._duration is not None
        if not trainer.strategy.broadcast(self.time_elapsed() >= self._duration):
            return
        if self._verbose and not trainer.should_stop:
            rank_zero_info(f"Time limit reached. Elapsed time is {timedelta(seconds=int(self.time_elapsed()))}."
                           " Signaling Trainer to stop.")
        trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"time_elapsed": {stage: self.time_elapsed(stage) for stage in ("train", "sanity_check", "validate",
                                                                               "test", "predict")}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._offset = state_dict.get("time_elapsed", {}).get("train", 0.0)
