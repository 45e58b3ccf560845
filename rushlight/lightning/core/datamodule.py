"""LightningDataModule: all that concerns data in one class."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from rushlight.lightning.core.hooks import DataHooks
from rushlight.lightning.core.hparams import HyperparametersMixin
from rushlight.lightning.core.saving import load_from_checkpoint, of_class_only
from rushlight.lightning.utilities.exceptions import MisconfigurationException


class LightningDataModule(DataHooks, HyperparametersMixin):
    """Override prepare_data, setup and the ``*_dataloader`` methods; the Trainer calls them.

    >>> class Numbers(LightningDataModule):
    ...     def train_dataloader(self):
    ...         return [1, 2, 3]
    >>> Numbers().train_dataloader()
    [1, 2, 3]
    """

    name: str | None = None
    CHECKPOINT_HYPER_PARAMS_KEY = "datamodule_hyper_parameters"
    CHECKPOINT_HYPER_PARAMS_NAME = "datamodule_hparams_name"
    CHECKPOINT_HYPER_PARAMS_TYPE = "datamodule_hparams_type"

    def __init__(self) -> None:
        super().__init__()
        self.trainer: Any = None

    @classmethod
    def from_datasets(cls, train_dataset: Any = None, val_dataset: Any = None, test_dataset: Any = None,
                      predict_dataset: Any = None, batch_size: int = 1, num_workers: int = 0,
                      **datamodule_kwargs: Any) -> LightningDataModule:
        """A data module of data sets (or sequences, or for training mappings of them); only training data that has a
        length is shuffled."""
        from rushlight.data import DataLoader, IterableDataset

        def loader(dataset: Any, shuffle: bool = False) -> Any:
            if isinstance(dataset, Mapping):
                return {key: loader(value, shuffle) for key, value in dataset.items()}
            if isinstance(dataset, Sequence) and not hasattr(dataset, "__getitems__"):
                return [loader(value, shuffle) for value in dataset]
            shuffle = shuffle and not isinstance(dataset, IterableDataset)
            return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle,
                              num_workers=num_workers, pin_memory=False)

        accepted = inspect.signature(cls.__init__).parameters
        extra = {"batch_size": batch_size, "num_workers": num_workers}
        special = {key: value for key, value in extra.items() if key in accepted}
        module = cls(**datamodule_kwargs, **special)
        given = {"train": train_dataset, "val": val_dataset, "test": test_dataset, "predict": predict_dataset}
        for stage, dataset in given.items():
            if dataset is not None:
                setattr(module, f"{stage}_dataloader", lambda d=dataset, s=stage: loader(d, s == "train"))
        return module

    def state_dict(self) -> dict[str, Any]:
        """What checkpoints keep of the data module."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""

    def on_exception(self, exception: BaseException) -> None:
        """The run is interrupted by an exception."""

    @of_class_only
    def load_from_checkpoint(cls: Any, checkpoint_path: Any, map_location: Any = None, hparams_file: Any = None,
                             weights_only: bool | None = None, **kwargs: Any) -> Any:
        """A data module made with the hyper-parameters that a checkpoint holds; kwargs take their places."""
        return load_from_checkpoint(cls, checkpoint_path, map_location, hparams_file, None, weights_only, **kwargs)

    def __str__(self) -> str:
        titles = {"train_dataloader": "Train dataloader", "val_dataloader": "Validation dataloader",
                  "test_dataloader": "Test dataloader", "predict_dataloader": "Predict dataloader"}
        lines = [f"name={self.name or type(self).__name__}"]
        for method, title in titles.items():
            try:
                loader = getattr(self, method)()
                size = len(loader.dataset) if hasattr(loader, "dataset") else "?"
            except (MisconfigurationException, NotImplementedError, AttributeError, TypeError):
                size = None
            lines.append(f"{title}: size={size}" if size is not None else f"{title}: None")
        return "\n".join(lines)
