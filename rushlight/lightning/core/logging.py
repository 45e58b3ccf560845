"""``self.log`` and ``self.log_dict``."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from functools import partial
from typing import Any

from rushlight.lightning.core.where import levels
from rushlight.lightning.trainer.results import Logged
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import WarningCache, rank_zero_warn
from rushlight.tensor.core import Tensor

_said = WarningCache()


def is_metric(value: Any) -> bool:
    """Whether it is a metric of torchmetrics, or one like it."""
    return (
        callable(getattr(value, "compute", None))
        and callable(getattr(value, "reset", None))
        and callable(getattr(value, "update", None))
    )


class LoggingMethods:
    """What a LightningModule says during training."""

    _trainer: Any

    def log(self, name: str, value: Any, prog_bar: bool = False, logger: bool | None = None,
            on_step: bool | None = None, on_epoch: bool | None = None, reduce_fx: Any = "mean",
            enable_graph: bool = False, sync_dist: bool = False, sync_dist_group: Any = None,
            add_dataloader_idx: bool = True, batch_size: int | None = None, metric_attribute: str | None = None,
            rank_zero_only: bool = False) -> None:
        """Log a number, a tensor of one number, or a metric.

        Nothing is computed or waited for: tensors are kept, and read when
            a logger, a callback or the progress bar asks.

        Args:
            name: the key.
            value: the value of this batch.
            prog_bar: show it in the progress bar.
            logger: give it to the loggers (True unless told otherwise).
            on_step, on_epoch: log each step's value; log the epoch's. In training steps the first by default, in
                validation and test steps the second. With both the names end in ``_step`` and ``_epoch``.
            reduce_fx: how an epoch's values become one: "mean" (weighted by batch_size), "sum", "max", "min".
            enable_graph: keep the value's graph.
            sync_dist: reduce the value over all processes: a step's at once, an epoch's at its end. Without it each has its own, and the
                loggers write the first one's.
            sync_dist_group: over the processes of a group.
            rank_zero_only: the value is logged in the first process alone, and not reduced.
            add_dataloader_idx: with several loaders, end the name in the loader's number.
            batch_size: how many samples the value stands for; the first dimension of the batch by default.
            metric_attribute: the module's attribute that holds a metric.

        MisconfigurationException in hooks that do not log, and for one name
        logged in two ways; ValueError for other values.
        """
        trainer = self._trainer
        if trainer is None or trainer.barebones:
            return _cannot_log(trainer)
        results = trainer._results
        options = (prog_bar, logger is None or logger, on_step, on_epoch, enable_graph, reduce_fx, add_dataloader_idx)
        if isinstance(value, numbers.Number):
            value = float(value)  # type: ignore[arg-type]
        elif not (isinstance(value, Tensor) and value.numel() == 1) and not is_metric(value):
            _refuse(name, value)
        hook = trainer._hook
        entry = None
        if results is not None and hook is not None:
            entry = results.entries.get((hook, name, results.dataloader_idx if add_dataloader_idx else None))
        if entry is None or entry.call != options:
            entry = self._first(name, results, options, logger)
            entry.call = options
        if sync_dist and not rank_zero_only and trainer.world_size > 1:
            entry.across = partial(trainer.strategy.reduce, group=sync_dist_group)
            entry.at_once = not trainer._metrics.amid_epoch
        results.update(entry, value, batch_size)

    def _first(self, name: str, results: Any, options: tuple[Any, ...], logger: bool | None) -> Logged:
        """The entry of a name that this hook logs for the first time in an epoch, or in another way."""
        trainer = self._trainer
        prog_bar, to_logger, on_step, on_epoch, *rest = options
        add_index = rest[-1]
        if results is None:
            raise MisconfigurationException("You are trying to `self.log()` but the loop's result collection is not"
                                            " registered yet. This is most likely because you are trying to log in a"
                                            " `predict` hook, but it doesn't support logging")
        hook = trainer._hook
        if hook is None:
            raise MisconfigurationException("You are trying to `self.log()` but it is not "
                                            "managed by the `Trainer` control flow")
        if add_index and "/dataloader_idx_" in name:
            raise MisconfigurationException(f"You called `self.log` with the key `{name}` but it should not contain"
                                            " information about `dataloader_idx` when `add_dataloader_idx=True`")
        if logger and not trainer.loggers:
            _said.warn(f"You called `self.log({name!r}, ..., logger=True)` but have no logger configured. You can"
                       " enable one by doing `Trainer(logger=ALogger(...))`")
        complete = (prog_bar, to_logger, *levels(hook, on_step, on_epoch), *rest)
        loader = results.dataloader_idx if add_index else None
        entry: Logged | None = results.entries.get((hook, name, loader))
        if entry is not None and entry.options != complete:
            raise MisconfigurationException(f"You called `self.log({name}, ...)` twice in `{hook}` with different"
                                            " arguments. This is not allowed")
        if entry is None:
            entry = results.entries[(hook, name, loader)] = Logged(hook, name, complete, results.dataloader_idx)
        return entry

    def log_dict(self, dictionary: Mapping[str, Any], prog_bar: bool = False, logger: bool | None = None,
                 on_step: bool | None = None, on_epoch: bool | None = None, reduce_fx: Any = "mean",
                 enable_graph: bool = False, sync_dist: bool = False, sync_dist_group: Any = None,
                 add_dataloader_idx: bool = True, batch_size: int | None = None, rank_zero_only: bool = False) -> None:
        """`log` for each key and value."""
        collection: Any = dictionary  # torchmetrics' collections give their metrics under options
        options = {"keep_base": False, "copy_state": False} if hasattr(dictionary, "_enable_compute_groups") else {}
        items = collection.items(**options)
        for name, value in items:
            self.log(name, value, prog_bar=prog_bar, logger=logger, on_step=on_step, on_epoch=on_epoch,
                     reduce_fx=reduce_fx, enable_graph=enable_graph, sync_dist=sync_dist,
                     sync_dist_group=sync_dist_group, add_dataloader_idx=add_dataloader_idx, batch_size=batch_size,
                     rank_zero_only=rank_zero_only)


def _cannot_log(trainer: Any) -> None:
    if trainer is None:
        rank_zero_warn("You are trying to `self.log()` but the `self.trainer` reference is not registered on the"
                       " model yet. This is most likely because the model hasn't been passed to the `Trainer`")
    else:
        rank_zero_warn("You are trying to `self.log()` but `Trainer(barebones=True)` is configured."
                       " Logging can impact raw speed so it is disabled under this setting.")


def _refuse(name: str, value: Any) -> None:
    if isinstance(value, dict):
        raise ValueError(f"`self.log({name}, {value})` was called, "
                         "but nested dictionaries cannot be logged; use `self.log_dict`")
    if isinstance(value, Tensor):
        raise ValueError(f"`self.log({name}, {value})` was called, but the tensor must have a single element."
                         f" You can try doing `self.log({name}, {value}.mean())`")
    raise ValueError(f"`self.log({name}, {value})` was called, but `{type(value).__name__}` values cannot be logged")
