"""The loop over validation or test data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any

from rushlight.autograd.grad_mode import inference_mode, no_grad
from rushlight.lightning.loops.data_loop import DataLoop
from rushlight.lightning.loops.fetch import Fetcher, set_epoch
from rushlight.lightning.loops.progress import BatchProgress
from rushlight.lightning.trainer.metrics import as_number
from rushlight.lightning.trainer.results import Results
from rushlight.lightning.utilities.exceptions import SIGTERMException
from rushlight.lightning.utilities.overrides import is_overridden, takes
from rushlight.tensor.core import realize_pending

# What a stage's hooks are called
_NAMES = {stage: {"step": f"{word}_step", "start": f"on_{word}_start", "end": f"on_{word}_end",
                  "epoch_start": f"on_{word}_epoch_start", "epoch_end": f"on_{word}_epoch_end",
                  "batch_start": f"on_{word}_batch_start", "batch_end": f"on_{word}_batch_end",
                  "eval": f"on_{word}_model_eval", "train": f"on_{word}_model_train"}
          for stage, word in (("validate", "validation"), ("test", "test"))}


def without_gradients(run: Callable[..., Any]) -> Callable[..., Any]:
    """A loop's run in inference mode, or without gradients where the loop or the trainer says so."""
    @wraps(run)
    def wrapped(self: Any) -> Any:
        context: Callable[[], AbstractContextManager[Any]] = (
            inference_mode if self.inference_mode and self.trainer.inference_mode else no_grad
        )
        with context():
            return run(self)
    return wrapped


class EvaluationLoop(DataLoop):
    """Validation amid fitting, ``Trainer.validate`` and ``Trainer.test``."""

    def __init__(self, trainer: Any, fn: str, stage: str, verbose: bool = True, inference_mode: bool = True):
        super().__init__(trainer, inference_mode)
        self.fn, self.stage, self.verbose = fn, stage, verbose
        self.batch_progress = BatchProgress()
        self._results = Results(training=False)
        self.names = _NAMES[stage]
        self._has_run = False
        self._loaded_in_epoch = -float("inf")
        self._steps_logged: dict[int, int] = defaultdict(int)

    @property
    def max_batches(self) -> list[Any]:
        """The most batches of each loader; in the check before training no more than num_sanity_val_steps."""
        if not self.trainer.sanity_checking:
            return self.limits
        return [min(self.trainer.num_sanity_val_steps, limit) for limit in self.limits]

    def prepare_data(self) -> None:
        """Ask for the data, once while fitting, or again where reload_dataloaders_every_n_epochs says so."""
        trainer = self.trainer
        every = trainer.reload_dataloaders_every_n_epochs
        reload = every and trainer.current_epoch - self._loaded_in_epoch >= every
        if self.loader is not None and self.fn == "fit" and not reload:
            return
        limit = trainer.limit_test_batches if self.stage == "test" else trainer.limit_val_batches
        if limit == 0 or not is_overridden(self.names["step"], trainer.lightning_module):
            return
        if not trainer.sanity_checking or trainer.fit_loop.epoch_loop.validation_epoch():
            self._loaded_in_epoch = trainer.current_epoch
        self.loader, self.limits = trainer._data.evaluation(self.stage, self.fn)
        self._steps_logged.clear()

    @without_gradients
    def run(self) -> list[dict[str, float]]:
        """Evaluate; the logged values, one dict for each loader."""
        self.prepare_data()
        if not sum(self.max_batches):
            return []
        trainer, hooks = self.trainer, self.trainer.hooks
        self._begin()
        modes = [(m, m.training) for m in trainer.lightning_module.modules()]
        hooks.call(self.names["eval"])
        hooks.run(self.names["start"])
        if self.loader is None:  # a search for the batch size has run
            self.prepare_data()
            self._begin()
        hooks.run(self.names["epoch_start"])
        logged: list[dict[str, Any]] = []
        previous = 0
        while True:
            try:
                batch, batch_idx, which = next(self.fetcher)  # type: ignore[arg-type]
            except StopIteration:
                break
            if which != previous:
                logged.append(self._values_of_loader())
                previous = which
            self.step(batch, batch_idx, which)
        logged.append(self._values_of_loader())
        return self._finish(logged, modes)

    def _begin(self) -> None:
        trainer = self.trainer
        self._has_run = False
        self.batch_progress.begin()
        self._several = self.loader._mode == "sequential" and self.num_dataloaders > 1
        self._check_signature()
        if self.fn == "fit":
            for loader in self.loader.flattened:
                set_epoch(loader, trainer.fit_loop.epoch_progress.current.processed)
        self.loader.limits = self.max_batches
        self.fetcher = Fetcher(self.loader)
        iter(self.fetcher)
        trainer._metrics.amid_epoch = False
        self._with_index = takes(getattr(trainer.lightning_module, self.names["step"]), "batch_idx", at_least=2)

    def _check_signature(self) -> None:
        step = getattr(self.trainer.lightning_module, self.names["step"])
        if self._several and not takes(step, "dataloader_idx", at_least=3):
            raise RuntimeError(f"You provided multiple `{self.stage.replace('validate', 'val')}_dataloader`, but no"
                               " `dataloader_idx` argument in"
                               f" `{type(self.trainer.lightning_module).__name__}.{self.names['step']}`. Try adding"
                               " `dataloader_idx=0` to its signature.")
        if (
            not self._several
            and takes(step, "dataloader_idx")
            and not takes(step, "no such name")
            and not _has_default(step, "dataloader_idx")
        ):
            raise RuntimeError(f"You provided only a single `{self.stage.replace('validate', 'val')}_dataloader`,"
                               " but have included `dataloader_idx` in"
                               f" `{type(self.trainer.lightning_module).__name__}.{self.names['step']}()`. Either"
                               " remove the argument or give it a default value i.e. `dataloader_idx=0`.")

    def step(self, batch: Any, batch_idx: int, which: int) -> None:
        """Evaluate one batch."""
        trainer, hooks, progress = self.trainer, self.trainer.hooks, self.batch_progress
        progress.is_last_batch = self.fetcher.done  # type: ignore[union-attr]
        batch = trainer._to_device(batch, which)
        index = (which,) if self._several else ()
        progress.add("ready")
        trainer._metrics.amid_epoch = True
        self._results.new_batch(batch, which if self._several else None)
        hooks.run(self.names["batch_start"], batch, batch_idx, *index)
        progress.add("started")
        trainer.strategy.before_forward()
        with trainer.precision_plugin.forward_context():
            output = hooks.call(self.names["step"], batch, *((batch_idx,) if self._with_index else ()), *index)
        progress.add("processed")
        hooks.run(self.names["batch_end"], output, batch, batch_idx, *index)
        self._results.batch = self._results.batch_size = None
        progress.add("completed")
        realize_pending()  # so that no more than one batch is pending
        if not trainer.sanity_checking:
            self._has_run = True
            if trainer.loggers and any(e.on_step for e in self._results.entries.values()):
                trainer._metrics.log(self._results.metrics(True)["log"], step=self._steps_logged[which])
            self._steps_logged[which] += 1
        if trainer._received_sigterm and not progress.is_last_batch:
            raise SIGTERMException

    def _values_of_loader(self) -> dict[str, Any]:
        """The values of a loader that has ended."""
        metrics = self.trainer._metrics
        if self.trainer.sanity_checking:
            metrics.settle()
            return {}
        metrics.end_of_steps()
        return metrics.take()["log"]  # type: ignore[no-any-return]

    def _finish(self, logged: list[dict[str, Any]], modes: list[tuple[Any, bool]]) -> list[dict[str, float]]:
        trainer, hooks, metrics = self.trainer, self.trainer.hooks, self.trainer._metrics
        self._results.dataloader_idx = None
        metrics.amid_epoch = False
        hooks.run(self.names["epoch_end"])
        if not trainer.sanity_checking:
            ended = metrics.take()["log"]
            for values in logged:
                values.update(ended)
            metrics.log({key: value for values in logged for key, value in values.items()})
        hooks.run(self.names["end"])
        metrics.forget_results()
        if is_overridden(self.names["train"], trainer.lightning_module):
            hooks.call(self.names["train"])
        else:
            for module, mode in modes:
                module.training = mode
        out = [{key: as_number(value) for key, value in values.items()} for values in logged]
        if self.verbose and trainer.is_global_zero:
            from rushlight.lightning.loops.table import show
            show(out, self.stage)
        return out

    def load_state_dict(self, state: dict[str, Any], prefix: str = "") -> None:
        """Take over the counters."""
        if f"{prefix}batch_progress" in state:
            self.batch_progress.load_state_dict(state[f"{prefix}batch_progress"])


def _has_default(method: Any, name: str) -> bool:
    import inspect
    parameter = inspect.signature(method).parameters.get(name)
    return parameter is not None and (parameter.default is not parameter.empty
                                      or parameter.kind is parameter.VAR_KEYWORD)


