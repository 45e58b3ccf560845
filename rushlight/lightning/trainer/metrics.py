"""What the trainer shows of logged values: to callbacks, loggers and the progress bar.

``first`` is None between epochs (values are then the epoch's) and not None amid one (then the step's).
"""

from __future__ import annotations

from typing import Any

from rushlight.tensor.core import Tensor


class Metrics:
    """The three dicts of a trainer: ``callback``, ``log`` and ``pbar``."""

    def __init__(self, trainer: Any):
        self.trainer = trainer
        self.shown: dict[str, dict[str, Any]] = {"callback": {}, "log": {}, "pbar": {}}
        self.amid_epoch = False

    def forget(self) -> None:
        """Begin a run."""
        self.shown = {"callback": {}, "log": {}, "pbar": {}}
        self.forget_results()

    def forget_results(self) -> None:
        """Forget what the running loop has collected."""
        if self.trainer._results is not None:
            self.trainer._results.reset()
        self.amid_epoch = False

    def take(self) -> dict[str, dict[str, Any]]:
        """Take over the values of now, and give them."""
        results = self.trainer._results
        if results is None:
            return {"callback": {}, "log": {}, "pbar": {}}
        now: dict[str, dict[str, Any]] = results.metrics(self.amid_epoch)
        for kind, values in now.items():
            self.shown[kind].update(values)
        return now

    def end_of_steps(self) -> None:
        """The steps of an epoch are over: keep what the last one logged, and go on with the epoch's values."""
        if self.amid_epoch:
            self.take()
        self.settle()

    def settle(self) -> None:
        """From now on values are the epoch's; several processes reduce them here."""
        self.amid_epoch = False
        if self.trainer.world_size > 1 and self.trainer._results is not None:
            self.trainer._results.settle()

    def get(self, kind: str) -> dict[str, Any]:
        """One of the dicts, up to date."""
        self.take()
        return self.shown[kind]

    # --- to the loggers ------------------------------------------------------------------------------------------
    @property
    def due(self) -> bool:
        """Whether this step's values go to the loggers."""
        trainer = self.trainer
        every = trainer.log_every_n_steps
        if every == 0:
            return False
        return bool((trainer._logging_step() + 1) % every == 0 or trainer.should_stop)

    def log(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Give values to every logger; a value called "step" takes the place of the step."""
        trainer = self.trainer
        if not trainer.loggers or not metrics:
            return
        self.shown["log"].update(metrics)
        scalars = {name: as_number(value) for name, value in metrics.items()}
        if step is None:
            given = scalars.pop("step", None)
            if given is not None:
                step = int(given)
            else:
                scalars.setdefault("epoch", trainer.current_epoch)
                step = trainer._logging_step()
        for logger in trainer.loggers:
            logger.log_metrics(metrics=scalars, step=step)
            logger.save()

    def after_training_step(self) -> None:
        """The step's values go to the loggers where it is time; between optimizer steps they wait."""
        trainer = self.trainer
        if not trainer.loggers or (trainer.fit_loop.accumulating and trainer.lightning_module.automatic_optimization):
            return
        if trainer.fast_dev_run or self.due:
            self.log(trainer._results.metrics(True)["log"])

    def after_training_epoch(self) -> None:
        """The epoch's values go to the loggers, and the sums begin again."""
        self.log(self.trainer._results.metrics(False)["log"])
        self.forget_results()


def as_number(value: Any) -> Any:
    """A tensor as a number."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(f"The metric `{value}` does not contain a single element, "
                             "thus it cannot be converted to a scalar.")
        return value.item()
    return value
