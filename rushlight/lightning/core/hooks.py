"""The hooks of a LightningModule and of a LightningDataModule."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.utilities.data import move_data_to_device
from rushlight.lightning.utilities.exceptions import MisconfigurationException


class ModelHooks:
    """What a LightningModule may do at each moment of a run; Callback's hooks of the same names are called first."""

    def on_fit_start(self) -> None:
        """Fitting begins."""

    def on_fit_end(self) -> None:
        """Fitting ends."""

    def on_train_start(self) -> None:
        """Training begins."""

    def on_train_end(self) -> None:
        """Training ends."""

    def on_validation_start(self) -> None:
        """Validation begins."""

    def on_validation_end(self) -> None:
        """Validation ends."""

    def on_test_start(self) -> None:
        """Testing begins."""

    def on_test_end(self) -> None:
        """Testing ends."""

    def on_predict_start(self) -> None:
        """Prediction begins."""

    def on_predict_end(self) -> None:
        """Prediction ends."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        """A training batch comes; -1 skips the rest of the epoch."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A training batch is done."""

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A validation batch comes."""

    def on_validation_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A validation batch is done."""

    def on_test_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A test batch comes."""

    def on_test_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A test batch is done."""

    def on_predict_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A batch for prediction comes."""

    def on_predict_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """A batch for prediction is done."""

    def on_validation_model_zero_grad(self) -> None:
        """Gradients are cleared before validation amid training."""
        self.zero_grad()  # type: ignore[attr-defined]

    def on_validation_model_eval(self) -> None:
        """The module goes to evaluation mode for validation."""
        self.eval()  # type: ignore[attr-defined]

    def on_validation_model_train(self) -> None:
        """The module goes back after validation; unless overridden, to exactly the modes that its parts had."""

    def on_test_model_eval(self) -> None:
        """The module goes to evaluation mode for testing."""
        self.eval()  # type: ignore[attr-defined]

    def on_test_model_train(self) -> None:
        """The module goes back after testing."""

    def on_predict_model_eval(self) -> None:
        """The module goes to evaluation mode for prediction."""
        self.eval()  # type: ignore[attr-defined]

    def on_train_epoch_start(self) -> None:
        """An epoch begins."""

    def on_train_epoch_end(self) -> None:
        """An epoch ends."""

    def on_validation_epoch_start(self) -> None:
        """An epoch of validation begins."""

    def on_validation_epoch_end(self) -> None:
        """An epoch of validation ends."""

    def on_test_epoch_start(self) -> None:
        """An epoch of testing begins."""

    def on_test_epoch_end(self) -> None:
        """An epoch of testing ends."""

    def on_predict_epoch_start(self) -> None:
        """An epoch of prediction begins."""

    def on_predict_epoch_end(self) -> None:
        """An epoch of prediction ends."""

    def on_before_zero_grad(self, optimizer: Any) -> None:
        """The gradients are about to be cleared."""

    def on_before_backward(self, loss: Any) -> None:
        """``loss.backward()`` comes."""

    def on_after_backward(self) -> None:
        """Gradients are there, not yet clipped."""

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """The optimizer's step comes."""

    def configure_model(self) -> None:
        """Make large parts of the model here, where the trainer has set up its device and precision."""

    def configure_sharded_model(self) -> None:
        """The former name of ``configure_model``."""


class DataHooks:
    """Where loaders come from, and what happens to a batch on its way."""

    prepare_data_per_node = True
    allow_zero_length_dataloader_with_multiple_devices = False

    def prepare_data(self) -> None:
        """Download and unpack, once per machine; keep no state here."""

    def setup(self, stage: str) -> None:
        """A run begins: make data sets; stage is "fit", "validate", "test" or "predict"."""

    def teardown(self, stage: str) -> None:
        """A run ends."""

    def train_dataloader(self) -> Any:
        """The loader, or a collection of loaders, for training."""
        raise MisconfigurationException("`train_dataloader` must be implemented to be used with the Lightning Trainer")

    def val_dataloader(self) -> Any:
        """The loader or loaders for validation."""
        raise MisconfigurationException("`val_dataloader` must be implemented to be used with the Lightning Trainer")

    def test_dataloader(self) -> Any:
        """The loader or loaders for testing."""
        raise MisconfigurationException("`test_dataloader` must be implemented to be used with the Lightning Trainer")

    def predict_dataloader(self) -> Any:
        """The loader or loaders for prediction."""
        raise MisconfigurationException("`predict_dataloader` must be implemented to be "
                                        "used with the Lightning Trainer")

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """The batch before it goes to the device."""
        return batch

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        """The batch on the device: every tensor in it, and whatever else has a ``to`` method."""
        return move_data_to_device(batch, device)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """The batch on the device, ready for the step."""
        return batch


class CheckpointHooks:
    """What checkpoints keep besides parameters."""

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint has been read, before its parameters are loaded."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is about to be written; change it in place."""
