"""The base of progress bars."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.callbacks.callback import Callback


class ProgressBar(Callback):
    """Derive from it to show progress in another way; the Trainer then shows none of its own.

    ``get_metrics`` gives what is shown beside the bar.
    """

    _trainer: Any = None

    @property
    def trainer(self) -> Any:
        """The trainer; TypeError before its setup."""
        if self._trainer is None:
            raise TypeError(f"The `{self.__class__.__name__}._trainer` reference has not been set yet.")
        return self._trainer

    sanity_check_description = "Sanity Checking"
    train_description = "Training"
    validation_description = "Validation"
    test_description = "Testing"
    predict_description = "Predicting"
    is_enabled = True
    is_disabled = property(lambda self: not self.is_enabled)

    @property
    def total_train_batches(self) -> float:
        """Batches of an epoch, infinite where unknown."""
        return self.trainer.num_training_batches  # type: ignore[no-any-return]

    @property
    def total_val_batches(self) -> float:
        """Batches of a validation."""
        return sum(self.trainer.num_val_batches) if self.trainer.fit_loop.epoch_loop.validation_epoch() else 0

    total_val_batches_current_dataloader = property(lambda self: self.trainer.num_val_batches[0])
    total_test_batches_current_dataloader = property(lambda self: self.trainer.num_test_batches[0])
    total_predict_batches_current_dataloader = property(lambda self: self.trainer.num_predict_batches[0])

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self._trainer = trainer

    def disable(self) -> None:
        """Show nothing from now on."""

    def enable(self) -> None:
        """Show again."""

    def print(self, *args: Any, **kwargs: Any) -> None:
        """`print` without disturbing the bar."""
        print(*args, **kwargs)

    def get_metrics(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
        """What stands beside the bar: the logger's version and the values logged with prog_bar=True, as numbers."""
        version = getattr(trainer.logger, "version", None)
        items: dict[str, Any] = {}
        if version is not None and version != "":
            items["v_num"] = version[-4:] if isinstance(version, str) else version
        return {**items, **trainer.progress_bar_metrics}
