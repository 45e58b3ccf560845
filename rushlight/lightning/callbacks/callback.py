"""What may happen at every moment of a run besides the LightningModule's own work."""

from __future__ import annotations

from typing import Any


class Callback:
    """Override what you need; every hook is called with the trainer and the LightningModule.

    >>> class Notice(Callback):
    ...     def on_train_end(self, trainer, pl_module):
    ...         print("trained", trainer.global_step, "steps")
    """

    @property
    def state_key(self) -> str:
        """The name of the callback's state in checkpoints; override it where a trainer has several of one class."""
        return self.__class__.__qualname__

    @property
    def _legacy_state_key(self) -> type:
        return type(self)

    def _generate_state_key(self, **kwargs: Any) -> str:
        return f"{self.__class__.__qualname__}{kwargs!r}"

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """A run begins; stage is "fit", "validate", "test" or "predict"."""

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """A run ends."""

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Fitting begins, after setup."""

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Fitting ends, before teardown."""

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        """A few validation batches come before training."""

    def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
        """The validation batches before training are done."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Training begins."""

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Training ends."""

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """An epoch begins."""

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """An epoch ends; its averages are in ``trainer.callback_metrics``."""

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """A training batch comes."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A training batch is done; outputs is what training_step returned, its loss detached."""

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Validation begins."""

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Validation ends."""

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """An epoch of validation begins."""

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """An epoch of validation ends."""

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int,
                                  dataloader_idx: int = 0) -> None:
        """A validation batch comes."""

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int,
                                dataloader_idx: int = 0) -> None:
        """A validation batch is done."""

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """Testing begins."""

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Testing ends."""

    def on_test_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """An epoch of testing begins."""

    def on_test_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """An epoch of testing ends."""

    def on_test_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int,
                            dataloader_idx: int = 0) -> None:
        """A test batch comes."""

    def on_test_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int,
                          dataloader_idx: int = 0) -> None:
        """A test batch is done."""

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """Prediction begins."""

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """Prediction ends."""

    def on_predict_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """An epoch of prediction begins."""

    def on_predict_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """An epoch of prediction ends."""

    def on_predict_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int,
                               dataloader_idx: int = 0) -> None:
        """A batch for prediction comes."""

    def on_predict_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int,
                             dataloader_idx: int = 0) -> None:
        """A batch for prediction is done."""

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The run is interrupted by an exception, which is raised again afterwards."""

    def state_dict(self) -> dict[str, Any]:
        """What checkpoints keep of the callback."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is about to be written; change it in place."""

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """A checkpoint has been read."""

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """``loss.backward()`` comes."""

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        """``loss.backward()`` is done; gradients are there, not yet clipped."""

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """The optimizer's step comes."""

    def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """The gradients are about to be cleared."""
