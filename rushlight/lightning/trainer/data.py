"""Where a run's loaders come from, and how much of them is used."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.loops.fetch import INFINITE, length_of, parse_limit
from rushlight.lightning.utilities.combined_loader import CombinedLoader
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.overrides import is_overridden
from rushlight.lightning.utilities.rank_zero import PossibleUserWarning, rank_zero_warn
from rushlight.lightning.utilities.samplers import complete, shared_out

HOOK = {"train": "train_dataloader", "validate": "val_dataloader", "test": "test_dataloader",
        "predict": "predict_dataloader"}
SHORT = {"train": "train", "validate": "val", "test": "test", "predict": "predict"}


class DataSources:
    """The loaders that a run was given, or the module and data module that make them."""

    def __init__(self, trainer: Any):
        self.trainer = trainer
        self.given: dict[str, Any] = {}
        self.datamodule: Any = None

    def attach(self, model: Any, datamodule: Any = None, **given: Any) -> None:
        """Remember where this run's loaders come from."""
        self.given = {stage: loader for stage, loader in given.items() if loader is not None}
        self.datamodule = datamodule
        trainer = self.trainer
        trainer.fit_loop.loader = trainer.fit_loop.epoch_loop.val_loop.loader = None
        model.trainer = trainer
        if datamodule is not None:
            datamodule.trainer = trainer
        for stage, loader in self.given.items():
            if callable(loader) and not hasattr(loader, "__iter__"):
                raise TypeError(f"An invalid dataloader was passed to `Trainer.{_METHOD[stage]}`. Found {loader}.")

    def source(self, stage: str) -> Any:
        """The loaders of a stage, or the object whose hook makes them, None where nothing does."""
        if stage in self.given:
            return self.given[stage]
        for holder in (self.datamodule, self.trainer.lightning_module):
            if holder is not None and is_overridden(HOOK[stage], holder):
                return holder
        return None

    def defined(self, stage: str) -> bool:
        """Whether a stage has data."""
        return self.source(stage) is not None

    def prepare(self) -> None:
        """Call prepare_data of the data module and the module."""
        for holder in (self.datamodule, self.trainer.lightning_module):
            if holder is not None and is_overridden("prepare_data", holder):
                holder.prepare_data()

    def _loaders(self, stage: str, mode: str) -> CombinedLoader:
        source = self.source(stage)
        if source is not None and stage not in self.given:
            trainer = self.trainer
            before, trainer._hook = trainer._hook, HOOK[stage]
            source = getattr(source, HOOK[stage])()
            trainer._hook = before
        combined = source if isinstance(source, CombinedLoader) else CombinedLoader(source, mode)
        for loader in combined.flattened:
            try:
                iter_method = loader.__iter__
            except AttributeError:
                iter_method = getattr(loader, "__getitem__", None)
            if iter_method is None:
                raise TypeError(f"An invalid dataloader was returned from `{HOOK[stage]}()` or passed to"
                                f" `Trainer.{_METHOD[stage]}`. Found {loader}.")
            if length_of(loader) == 0:
                rank_zero_warn(f"Total length of `{type(loader).__name__}` across ranks is zero. Please make sure"
                               " this was your intention.")
        if self.trainer.world_size > 1 and self.trainer.use_distributed_sampler:
            self._share_out(combined, stage)
        return combined

    def _share_out(self, combined: CombinedLoader, stage: str) -> None:
        """Let each loader give this process's part of its data: in training always shuffled, else as the loader is."""
        trainer = self.trainer
        shuffled = [_shuffles(x) if stage != "train" else not trainer.overfit_batches for x in combined.flattened]
        shared = [shared_out(x, trainer.world_size, trainer.global_rank, shuffle, once=stage == "predict")
                  for x, shuffle in zip(combined.flattened, shuffled)]
        if trainer.state.fn in ("validate", "test") and any(new is not old for new, old in zip(shared, combined.flattened)):
            rank_zero_warn(f"Using `DistributedSampler` with the dataloaders. During `trainer.{trainer.state.fn.value}()`, it is recommended"
                           " to use `Trainer(devices=1, num_nodes=1)` to ensure each sample/batch gets evaluated exactly once. Otherwise,"
                           " multi-device settings use `DistributedSampler` that replicates some samples to make sure all devices have"
                           " same batch size in case of uneven inputs.", category=PossibleUserWarning)
        combined.flattened = shared

    # --- stages ----------------------------------------------------------------------------------------------------
    def training(self) -> tuple[CombinedLoader, list[Any]]:
        """The training loaders and their limits. MisconfigurationException for loaders one after the other."""
        trainer = self.trainer
        combined = self._loaders("train", "max_size_cycle")
        if combined._mode == "sequential":
            raise ValueError('`Trainer.fit` does not support the `CombinedLoader(mode="sequential")` mode for training.'
                             " The available modes are: ['min_size', 'max_size_cycle', 'max_size']")
        if trainer.overfit_batches > 0:
            _without_shuffling(combined, "train")
        return combined, [parse_limit("train", length_of(x), trainer.limit_train_batches) for x in combined.flattened]

    def evaluation(self, stage: str, fn: str) -> tuple[CombinedLoader, list[Any]]:
        """The loaders of validation or test, and their limits."""
        trainer = self.trainer
        combined = self._loaders(stage, "sequential")
        if fn == "fit" and trainer.overfit_batches > 0:
            _without_shuffling(combined, SHORT[stage])
        for loader in combined.flattened:
            if _shuffles(loader):
                rank_zero_warn(f"Your `{SHORT[stage]}_dataloader`'s sampler has shuffling enabled, it is strongly"
                               " recommended that you turn shuffling off for val/test dataloaders.",
                               category=PossibleUserWarning)
        limit = getattr(trainer, f"limit_{SHORT[stage]}_batches")
        return combined, [parse_limit(SHORT[stage], length_of(x), limit) for x in combined.flattened]

    def prediction(self) -> tuple[CombinedLoader, list[Any]]:
        """The loaders for prediction, and their limits."""
        combined = self._loaders("predict", "sequential")
        combined.flattened = [complete(x) for x in combined.flattened]
        return combined, [parse_limit("predict", length_of(x),
                                      self.trainer.limit_predict_batches) for x in combined.flattened]

    def validation_interval(self, batches: float) -> float:
        """After how many training batches validation comes."""
        trainer = self.trainer
        every = trainer.val_check_interval
        if isinstance(every, int) and not isinstance(every, bool):
            if every > batches and trainer.check_val_every_n_epoch is not None:
                raise ValueError(f"`val_check_interval` ({every}) must be less than or equal to the number of the"
                                 f" training batches ({batches}). If you want to disable validation set"
                                 " `limit_val_batches` to 0.0 instead. If you want to validate based on the total"
                                 " training batches, set `check_val_every_n_epoch=None`.")
            return every
        if batches == INFINITE:
            if every == 1.0:
                return INFINITE
            raise MisconfigurationException("When using an IterableDataset for `train_dataloader`,"
                                            " `Trainer(val_check_interval)` must be `1.0` or an int. An int k"
                                            " specifies checking validation every k training batches.")
        return max(1, int(batches * every))


_METHOD = {"train": "fit(train_dataloaders=...)", "validate": "fit(val_dataloaders=...)",
           "test": "test(dataloaders=...)", "predict": "predict(dataloaders=...)"}


def _shuffles(loader: Any) -> bool:
    from rushlight.data import RandomSampler
    return isinstance(getattr(loader, "sampler", None), RandomSampler)


def _without_shuffling(combined: CombinedLoader, stage: str) -> None:
    """Replace loaders that shuffle by ones in order."""
    if not any(_shuffles(loader) for loader in combined.flattened):
        return
    from rushlight.data import DataLoader
    rank_zero_warn(f"You requested to overfit but enabled {stage} dataloader shuffling. We are turning off the"
                   f" {stage} dataloader shuffling for you.")
    copied = ("num_workers", "collate_fn", "pin_memory", "drop_last", "timeout", "worker_init_fn",
              "multiprocessing_context", "generator", "prefetch_factor", "persistent_workers")
    combined.flattened = [DataLoader(x.dataset, batch_size=x.batch_size, **{k: getattr(x, k) for k in copied})
                          if _shuffles(x) else x for x in combined.flattened]
