"""Tuner: finds a learning rate, or the largest batch, before training."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.callbacks.batch_size_finder import BatchSizeFinder
from rushlight.lightning.callbacks.lr_finder import LearningRateFinder
from rushlight.lightning.utilities.exceptions import MisconfigurationException

METHODS = ("fit", "validate", "test", "predict")


class Tuner:
    """Trials with a trainer."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def _run(self, callback: Any, method: str, model: Any, train: Any, val: Any, dataloaders: Any,
             datamodule: Any) -> Any:
        trainer = self._trainer
        if method not in METHODS:
            raise MisconfigurationException(f"`method` {method!r} is invalid. Should be one of {METHODS}.")
        if method == "fit" and dataloaders is not None:
            raise MisconfigurationException("In tuner with method='fit', `dataloaders` argument should be None, please "
                                            "consider setting `train_dataloaders` and `val_dataloaders` instead.")
        if method != "fit" and (train is not None or val is not None):
            raise MisconfigurationException(f"In tuner with `method`={method!r}, `train_dataloaders` and"
                                            " `val_dataloaders` arguments should be None, please consider setting"
                                            " `dataloaders` instead.")
        callback._early_exit = True
        trainer.callbacks = [callback, *trainer.callbacks]
        try:
            if method == "fit":
                trainer.fit(model, train, val, datamodule)
            else:
                getattr(trainer, method)(model, dataloaders, datamodule=datamodule)
        finally:
            trainer.callbacks = [c for c in trainer.callbacks if c is not callback]
        return callback

    def scale_batch_size(self, model: Any, train_dataloaders: Any = None, val_dataloaders: Any = None,
                         dataloaders: Any = None, datamodule: Any = None, method: str = "fit", mode: str = "power",
                         steps_per_trial: int = 3, init_val: int = 2, max_trials: int = 25,
                         batch_arg_name: str = "batch_size") -> int | None:
        """The largest batch with which `steps_per_trial` steps succeed: doubling from `init_val` ("power"), then
        halving the gap ("binsearch").

        The module's (or data module's, or hparams') attribute `batch_arg_name`
        is set to it; loaders must be made from it.
        MisconfigurationException where there is no such attribute, or loaders are given to this method.
        """
        if train_dataloaders is not None or dataloaders is not None:
            raise MisconfigurationException("The Batch size finder cannot be used with dataloaders passed directly"
                                            " to `.fit()`. Please disable the feature or incorporate the dataloader"
                                            " into your LightningModule or LightningDataModule.")
        if any(isinstance(c, BatchSizeFinder) for c in self._trainer.callbacks):
            raise ValueError("Trainer is already configured with a `BatchSizeFinder` callback.")
        finder = BatchSizeFinder(mode, steps_per_trial, init_val, max_trials, batch_arg_name)
        self._run(finder, method, model, train_dataloaders, val_dataloaders, dataloaders, datamodule)
        return finder.optimal_batch_size

    def lr_find(self, model: Any, train_dataloaders: Any = None, val_dataloaders: Any = None, dataloaders: Any = None,
                datamodule: Any = None, method: str = "fit", min_lr: float = 1e-8, max_lr: float = 1,
                num_training: int = 100, mode: str = "exponential", early_stop_threshold: float | None = 4.0,
                update_attr: bool = True, attr_name: str = "") -> Any:
        """Train for `num_training` steps with rates from `min_lr` to `max_lr`; ``suggestion()`` of the result is where
        the loss falls steepest.

        The attribute ``lr`` or ``learning_rate`` (or `attr_name`) of the module or its hparams is set to it with
        `update_attr`. The module's parameters are afterwards as before. MisconfigurationException for another
        method than "fit", and for several optimizers.
        """
        if method != "fit":
            raise MisconfigurationException("method='fit' is the only valid configuration to run lr finder.")
        if any(isinstance(c, LearningRateFinder) for c in self._trainer.callbacks):
            raise ValueError("Trainer is already configured with a `LearningRateFinder` callback.")
        finder = LearningRateFinder(min_lr, max_lr, num_training, mode, early_stop_threshold, update_attr, attr_name)
        return self._run(finder, method, model, train_dataloaders, val_dataloaders, dataloaders, datamodule).optimal_lr
