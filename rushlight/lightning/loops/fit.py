"""The loop over epochs, and its continuation from a checkpoint."""

from __future__ import annotations

from typing import Any

from rushlight.autograd.grad_mode import set_grad_enabled
from rushlight.lightning.loops.epoch import TrainingEpochLoop
from rushlight.lightning.loops.fetch import INFINITE, Fetcher, set_epoch
from rushlight.lightning.loops.progress import Progress
from rushlight.lightning.utilities.exceptions import MisconfigurationException, SIGTERMException
from rushlight.lightning.utilities.overrides import is_overridden
from rushlight.lightning.utilities.rank_zero import PossibleUserWarning, rank_zero_debug, rank_zero_info, rank_zero_warn
from rushlight.lightning.utilities.seed import rng_states, set_rng_states


class FitLoop:
    """Epochs until a limit is reached.

    A checkpoint holds, besides Lightning's counters, the states of the random generators now and at the epoch's
    beginning, and the epoch's sums: an interrupted epoch goes on with the very batches that are left.
    """

    def __init__(self, trainer: Any, min_epochs: int | None = 0, max_epochs: int | None = None):
        if isinstance(max_epochs, int) and max_epochs < -1:
            raise MisconfigurationException("`max_epochs` must be a non-negative integer or "
                                            f"-1. You passed in {max_epochs}.")
        self.trainer, self.min_epochs, self.max_epochs = trainer, min_epochs, max_epochs
        self.epoch_loop: TrainingEpochLoop
        self.epoch_progress = Progress()
        self.loader: Any = None
        self.max_batches: float = INFINITE
        self.fetcher: Fetcher | None = None
        self.fetcher_is_fresh = False
        self.at_epoch_start: dict[str, Any] | None = None  # states of the generators
        self.restored: dict[str, Any] | None = None
        self.ending_epoch = False
        self._loaded_in_epoch = -INFINITE

    # --- where it is -----------------------------------------------------------------------------------------------
    @property
    def total_batch_idx(self) -> int:
        """The number of the batch in the whole run."""
        return self.epoch_loop.total_batch_idx

    @property
    def batch_idx(self) -> int:
        """The number of the batch in the epoch."""
        return self.epoch_loop.batch_idx

    @property
    def min_steps(self) -> int | None:
        """The fewest steps before training may stop early."""
        return self.epoch_loop.min_steps

    @property
    def max_steps(self) -> int:
        """The most steps, -1 for no limit."""
        return self.epoch_loop.max_steps

    @property
    def accumulating(self) -> bool:
        """Whether this batch's gradients are added to, without a step of the optimizer."""
        return self.epoch_loop.accumulating

    @property
    def resumes_amid_epoch(self) -> bool:
        """Whether the run is going on within an epoch of a checkpoint."""
        return self.restored is not None and (
            self.restored["cut"] or self.restored["phase"] not in ("epoch_end", "finished")
        )

    @property
    def can_stop_early(self) -> bool:
        """Whether the fewest epochs and steps are done."""
        epochs = not self.min_epochs or self.epoch_progress.current.processed >= self.min_epochs
        return epochs and (not self.min_steps or self.epoch_loop.global_step >= self.min_steps)

    @property
    def done(self) -> bool:
        """Whether training is over, with a message that says why."""
        if self.max_batches == 0:
            rank_zero_info("`Trainer.fit` stopped: No training batches.")
            return True
        if self.max_steps != -1 and self.epoch_loop.global_step >= self.max_steps:
            rank_zero_info(f"`Trainer.fit` stopped: `max_steps={self.max_steps!r}` reached.")
            return True
        current = self.epoch_progress.current
        if self.max_epochs not in (None, -1) and current.processed >= self.max_epochs:
            current.completed = current.processed
            rank_zero_info(f"`Trainer.fit` stopped: `max_epochs={self.max_epochs!r}` reached.")
            return True
        if self.trainer.should_stop and self.can_stop_early:
            rank_zero_debug("`Trainer.fit` stopped: `trainer.should_stop` was set.")
            return True
        return False

    # --- running ---------------------------------------------------------------------------------------------------
    def run(self) -> None:
        """Train."""
        trainer = self.trainer
        self.ending_epoch = False
        self._undo_cut()
        self.prepare_data()
        if trainer.limit_train_batches == 0 or self.done:
            return
        set_grad_enabled(True)
        self._finish_epoch_of_checkpoint()
        if self.max_steps == -1 and self.restored is None:
            self.epoch_progress.current.completed = self.epoch_progress.current.processed
        if self.epoch_loop.validation_epoch() and trainer.val_dataloaders is None:
            trainer.validating = True
            self.epoch_loop.val_loop.prepare_data()
            trainer.training = True
        self._warn_of_eval_mode()
        trainer.hooks.run("on_train_start")
        while not self.done:
            try:
                self.epoch()
            except StopIteration:
                break
        trainer.hooks.run("on_train_end")

    def epoch(self) -> None:
        """One epoch, or what is left of one."""
        trainer, loop, progress = self.trainer, self.epoch_loop, self.epoch_progress
        self.prepare_data()
        trainer.hooks.refresh()
        for loader in self.loader.flattened:
            set_epoch(loader, progress.current.processed)
        if self.restored is not None:
            self._continue_epoch()
        else:
            self._begin_epoch()
        loop.run(self.fetcher)
        self.end_epoch()

    def _begin_epoch(self) -> None:
        loop, progress = self.epoch_loop, self.epoch_progress
        loop.begin()
        loop.phase = "epoch_start"
        progress.add("ready")
        self.trainer.hooks.run("on_train_epoch_start")
        self.prepare_data()  # once more, where a search for the batch size has run
        progress.add("started")
        self._new_iterator()
        loop.phase = "between"

    def end_epoch(self) -> None:
        """The hooks and values of an epoch's end."""
        trainer, progress, loop = self.trainer, self.epoch_progress, self.epoch_loop
        trainer._metrics.end_of_steps()
        progress.add("processed")
        self.ending_epoch = True
        trainer.hooks.callbacks("on_train_epoch_end", monitoring=False)
        trainer.hooks.call("on_train_epoch_end")
        trainer.hooks.callbacks("on_train_epoch_end", monitoring=True)
        trainer._metrics.take()
        if loop.last_batch:
            loop.step_schedulers("epoch", plateau=True)
        loop._batches_that_stepped -= 1  # loggers expect the step of the last batch
        trainer._metrics.after_training_epoch()
        loop._batches_that_stepped += 1
        progress.add("completed")
        self.ending_epoch = False
        if trainer._received_sigterm:
            raise SIGTERMException

    def _warn_of_eval_mode(self) -> None:
        asleep = sum(not m.training for m in self.trainer.lightning_module.modules())
        if asleep:
            rank_zero_warn(f"Found {asleep} module(s) in eval mode at the start of training. This may lead to"
                           " unexpected behavior during training. If this is intentional, you can ignore this warning.",
                           category=PossibleUserWarning)

    # --- data ------------------------------------------------------------------------------------------------------
    def prepare_data(self) -> None:
        """Ask for the training data, once, or again where reload_dataloaders_every_n_epochs says so."""
        trainer = self.trainer
        every = trainer.reload_dataloaders_every_n_epochs
        if self.loader is not None and not (every and trainer.current_epoch - self._loaded_in_epoch >= every):
            return
        if trainer.limit_train_batches == 0 or not is_overridden("training_step", trainer.lightning_module):
            return
        self.loader, limits = trainer._data.training()
        self.loader.limits = limits
        self.fetcher = Fetcher(self.loader)
        self.max_batches = self.fetcher.length
        if self.max_batches == 0:
            return
        self._loaded_in_epoch = trainer.current_epoch
        trainer.val_check_batch = trainer._data.validation_interval(self.max_batches)
        if trainer.loggers and self.max_batches < trainer.log_every_n_steps and not trainer.fast_dev_run:
            rank_zero_warn(f"The number of training batches ({self.max_batches}) is smaller than the logging interval"
                           f" Trainer(log_every_n_steps={trainer.log_every_n_steps}). Set a lower value for"
                           " log_every_n_steps if you want to see logs for the training epoch.",
                           category=PossibleUserWarning)
        if self.restored is None and not self.done_quietly():
            self._new_iterator()
            self.fetcher_is_fresh = True

    def done_quietly(self) -> bool:
        """Whether there will be no epoch."""
        return (self.max_steps != -1 and self.epoch_loop.global_step >= self.max_steps) or (
            self.max_epochs not in (None, -1) and self.epoch_progress.current.processed >= self.max_epochs
        )

    def _new_iterator(self) -> None:
        if self.fetcher_is_fresh:
            self.fetcher_is_fresh = False
            return
        self.at_epoch_start = rng_states()
        if self.fetcher is not None:
            iter(self.fetcher)

    def teardown(self) -> None:
        """Let the workers go."""
        if self.fetcher is not None:
            self.fetcher.close()
        self.fetcher, self.loader, self.fetcher_is_fresh = None, None, False
        self.epoch_loop.val_loop.teardown()

    # --- checkpoints -----------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """The counters, as Lightning names them."""
        states = [loader.state_dict() for loader in (self.loader.flattened
                                                     if self.loader is not None else []) if is_stateful(loader)]
        return {"state_dict": {"combined_loader": states} if states else {},
                **self.epoch_loop.state_dict("epoch_loop."), "epoch_progress": self.epoch_progress.state_dict()}

    def exact_state(self) -> dict[str, Any]:
        """What else it takes to go on as if there had been no interruption."""
        trainer, loop = self.trainer, self.epoch_loop
        current = self.epoch_progress.current
        phase = "epoch_end" if self.ending_epoch else loop.phase
        if phase == "between" and current.completed == current.ready:
            phase = "finished"
        cut = phase in ("epoch_end", "finished") and current.ready > 0 and not loop.last_batch
        return {"phase": phase, "cut": cut, "rng": self.at_epoch_start if self.fetcher_is_fresh else rng_states(),
                "epoch_rng": self.at_epoch_start,
                "ahead_rng": rng_states(self.fetcher.before_ahead)
                if self.fetcher is not None and self.fetcher.before_ahead else None,
                "callback_metrics": dict(trainer.callback_metrics) if trainer.lr_scheduler_configs else {},
                "results": loop._results.state_dict() if phase != "finished" else []}

    def load_state_dict(self, state: dict[str, Any], exact: dict[str, Any] | None) -> None:
        """Take over the counters, and what `exact_state` gave."""
        self.epoch_loop.load_state_dict(state, "epoch_loop.")
        self.epoch_progress.load_state_dict(state["epoch_progress"])
        self.restored = {**(exact or self._guess()), "loaders": state.get("state_dict", {}).get("combined_loader", [])}
        if self.restored["phase"] == "epoch_start":  # the epoch begins again
            for counts in (self.epoch_progress.total, self.epoch_progress.current):
                counts.ready = counts.started
            self.restored["phase"] = "finished"

    def _guess(self) -> dict[str, Any]:
        """The phase in which a checkpoint of Lightning's own was written."""
        epoch, batch = self.epoch_progress.current, self.epoch_loop.batch_progress.current
        phase = "between"
        if epoch.processed == epoch.ready:
            phase = "finished"
        elif batch.completed == batch.processed - 1:
            phase = "batch"
        return {"phase": phase, "cut": False, "rng": None, "epoch_rng": None,
                "ahead_rng": None, "callback_metrics": {}, "results": []}

    def _undo_cut(self) -> None:
        """An epoch that max_steps, or a wish to stop, ended before its last batch is not over."""
        state = self.restored
        if state is None or not state["cut"]:
            return
        for counts in (self.epoch_progress.total, self.epoch_progress.current):
            counts.completed -= counts.completed == counts.processed
            counts.processed -= 1
        state["phase"] = "between"
        self.epoch_loop.batch_progress.is_last_batch = False

    def _finish_epoch_of_checkpoint(self) -> None:
        """What came after a checkpoint that was written at an epoch's end."""
        state, progress = self.restored, self.epoch_progress
        if state is None or state["phase"] not in ("epoch_end", "finished"):
            return
        if state["phase"] == "epoch_end":
            self.trainer._metrics.shown["callback"].update(state["callback_metrics"])
            self.epoch_loop.step_schedulers("epoch", plateau=True)
        for counts in (progress.total, progress.current):
            counts.completed = counts.processed
        self.restored = {**state, "phase": "finished"}

    def _continue_epoch(self) -> None:
        """Go on where the checkpoint was written."""
        state, loop = self.restored, self.epoch_loop
        assert state is not None and self.fetcher is not None
        self.restored = None
        if state["phase"] == "finished":
            if state["rng"] is not None:
                set_rng_states(state["rng"])
            return self._begin_epoch()
        loop._results.load_state_dict(state["results"])
        used = loop.batch_progress.current
        if state["phase"] == "starting":  # its step had not been taken: the batch comes again
            loop.batch_progress.is_last_batch = False
            for counts in (loop.batch_progress.total, used):
                counts.ready = counts.started = counts.processed
        self._pass_over(used.ready, state)
        self.trainer._metrics.shown["callback"].update(state["callback_metrics"])
        self.trainer._metrics.amid_epoch = used.ready > 0
        if state["phase"] == "batch":
            for counts in (loop.batch_progress.total, used):
                counts.completed = counts.processed
            loop.after_batch()
        elif state["phase"] == "validation":
            loop.after_validation()

    def _pass_over(self, batches: int, state: dict[str, Any]) -> None:
        """Stand where the interrupted epoch stood: past its batches, with its random numbers."""
        stateful = [loader for loader in self.loader.flattened if is_stateful(loader)]
        if state["epoch_rng"] is not None:
            set_rng_states(state["epoch_rng"])
        if stateful and state["loaders"]:
            for loader, saved in zip(stateful, state["loaders"]):
                loader.load_state_dict(saved)
            self._new_iterator()
            self.fetcher.fetched = batches  # type: ignore[union-attr]
        elif not self.epoch_loop.batch_progress.is_last_batch:
            self._new_iterator()
            self.fetcher.skip(batches, state["ahead_rng"])  # type: ignore[union-attr]
        else:
            self.at_epoch_start = rng_states()
        if state["rng"] is not None:
            set_rng_states(state["rng"])


def is_stateful(loader: Any) -> bool:
    """Whether a loader saves and restores its own place."""
    return callable(getattr(loader, "state_dict", None)) and callable(getattr(loader, "load_state_dict", None))
