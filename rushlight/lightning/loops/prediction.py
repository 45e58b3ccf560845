"""The loop over data for prediction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rushlight.lightning.loops.data_loop import DataLoop
from rushlight.lightning.loops.evaluation import without_gradients
from rushlight.lightning.loops.fetch import Fetcher
from rushlight.lightning.loops.progress import Progress
from rushlight.lightning.utilities.overrides import takes
from rushlight.tensor.core import realize_pending


class PredictionLoop(DataLoop):
    """``Trainer.predict``."""

    def __init__(self, trainer: Any, inference_mode: bool = True):
        super().__init__(trainer, inference_mode)
        self.batch_progress = Progress()
        self.is_last_batch = False
        self.return_predictions = True
        self.epoch_batch_indices: list[list[Any]] = []  # the places of samples in their data sets, by loader and batch
        self.current_batch_indices: Any = None
        self.predictions: Any = []

    @property
    def max_batches(self) -> list[Any]:
        """The most batches of each loader."""
        return self.limits

    @without_gradients
    def run(self) -> Any:
        """Predict; a list of the predictions of each batch, for several loaders a list of these."""
        trainer, hooks = self.trainer, self.trainer.hooks
        if trainer.limit_predict_batches == 0:
            return None
        self._prepare()
        if not sum(self.limits):
            return None
        several = self.num_dataloaders > 1
        modes = [(m, m.training) for m in trainer.lightning_module.modules()]
        hooks.call("on_predict_model_eval")
        hooks.run("on_predict_start")
        if self.loader is None:  # a search for the batch size has run
            self._prepare()
        hooks.run("on_predict_epoch_start")
        self._with_index = takes(trainer.lightning_module.predict_step, "batch_idx", at_least=2)
        keep = self.return_predictions or any(getattr(c, "interval", "batch") != "batch" for c in trainer.callbacks)
        predictions: list[list[Any]] = [[] for _ in range(self.num_dataloaders)]
        self.predictions = predictions if several else predictions[0]
        self.epoch_batch_indices = [[] for _ in predictions]
        orders = [_order(loader) for loader in self.loader.flattened]
        for batch, batch_idx, which in self._batches():
            self.current_batch_indices = next(orders[which], None)
            out = self._step(batch, batch_idx, (which,) if several else ())
            if keep:
                predictions[which].append(out)
                self.epoch_batch_indices[which].append(self.current_batch_indices)
        hooks.run("on_predict_epoch_end")
        hooks.run("on_predict_end")
        for module, mode in modes:
            module.training = mode
        out, self.predictions = self.predictions, []
        return out if self.return_predictions else None

    def _prepare(self) -> None:
        self.loader, self.limits = self.trainer._data.prediction()
        self.loader.limits = self.limits
        self.fetcher = Fetcher(self.loader)
        iter(self.fetcher)

    def _batches(self) -> Any:
        while True:
            try:
                yield next(self.fetcher)  # type: ignore[arg-type]
            except StopIteration:
                return

    def _step(self, batch: Any, batch_idx: int, index: tuple[int, ...]) -> Any:
        trainer, hooks, progress = self.trainer, self.trainer.hooks, self.batch_progress
        self.is_last_batch = self.fetcher.done  # type: ignore[union-attr]
        batch = trainer._to_device(batch, index[0] if index else 0)
        progress.add("ready")
        hooks.run("on_predict_batch_start", batch, batch_idx, *index)
        progress.add("started")
        with trainer.precision_plugin.forward_context():
            out = hooks.call("predict_step", batch, *((batch_idx,) if self._with_index else ()), *index)
        progress.add("processed")
        hooks.run("on_predict_batch_end", out, batch, batch_idx, *index)
        progress.add("completed")
        realize_pending()
        return out


def _order(loader: Any) -> Iterator[Any]:
    """The places of each batch's samples in the data set, where the loader goes through it in order."""
    from rushlight.data import SequentialSampler
    from rushlight.lightning.utilities.samplers import UnrepeatedDistributedSampler
    sampler = getattr(loader, "batch_sampler", None)
    return iter(sampler if sampler is not None
                and isinstance(getattr(sampler, "sampler", None), (SequentialSampler, UnrepeatedDistributedSampler)) else ())
