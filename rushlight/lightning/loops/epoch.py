"""One epoch of training: batches, the schedulers' steps, and validation amid and at the end of it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from rushlight.lightning.loops.evaluation import EvaluationLoop
from rushlight.lightning.loops.optimization import AutomaticOptimization, ManualOptimization
from rushlight.lightning.loops.progress import READY_COMPLETED, BatchProgress, OptimizerProgress, Progress
from rushlight.lightning.trainer.results import Results
from rushlight.lightning.utilities.data import warnings_said
from rushlight.lightning.utilities.exceptions import MisconfigurationException, SIGTERMException
from rushlight.lightning.utilities.overrides import takes
from rushlight.lightning.utilities.rank_zero import rank_zero_warn

INFINITE = float("inf")


class TrainingEpochLoop:
    """Batches of one epoch.

    ``phase`` says where the loop is, for checkpoints: "between" batches,
    within a "batch" (after its step), in its "validation".
    """

    def __init__(self, trainer: Any, min_steps: int | None = None, max_steps: int = -1):
        if max_steps < -1:
            raise MisconfigurationException("`max_steps` must be a non-negative integer or -1 (infinite steps). You"
                                            f" passed in {max_steps}.")
        self.trainer, self.min_steps, self.max_steps = trainer, min_steps, max_steps
        self.batch_progress, self.scheduler_progress = BatchProgress(), Progress(READY_COMPLETED)
        self.automatic_optimization = AutomaticOptimization(trainer, OptimizerProgress())
        self.manual_optimization = ManualOptimization(trainer, Progress(READY_COMPLETED))
        self.val_loop = EvaluationLoop(trainer, "fit", "validate", verbose=False, inference_mode=False)
        self._results = Results(training=True)
        self._batches_that_stepped = 0
        self.phase = "between"

    # --- where it is -----------------------------------------------------------------------------------------------
    @property
    def total_batch_idx(self) -> int:
        """The number of the batch in the whole run."""
        return self.batch_progress.total.ready - 1

    @property
    def batch_idx(self) -> int:
        """The number of the batch in the epoch."""
        return self.batch_progress.current.ready - 1

    @property
    def global_step(self) -> int:
        """How many steps optimizers have taken."""
        module = self.trainer.lightning_module
        if module is None or module.automatic_optimization:
            return int(self.automatic_optimization.optim_progress.step.total.completed)
        return int(self.manual_optimization.optim_step_progress.total.completed)

    @property
    def last_batch(self) -> bool:
        """Whether the epoch's last batch has come."""
        progress = self.batch_progress
        return progress.is_last_batch or progress.current.ready == self.trainer.num_training_batches

    @property
    def accumulating(self) -> bool:
        """Whether this batch's gradients are added to, without a step of the optimizer."""
        every = self.trainer.accumulate_grad_batches
        return every != 1 and self.batch_progress.current.ready % every != 0 and not self.last_batch

    @property
    def done(self) -> bool:
        """Whether the epoch is over, or training is told to stop."""
        if self.last_batch or (self.max_steps != -1 and self.global_step >= self.max_steps):
            return True
        if self.trainer.should_stop:
            fit = self.trainer.fit_loop
            if not fit.can_stop_early:
                warnings_said.info(f"Trainer was signaled to stop but the required `min_epochs={fit.min_epochs!r}` or"
                                   f" `min_steps={self.min_steps!r}` has not been met. Training will continue...")
            return bool(fit.can_stop_early)
        return False

    # --- an epoch --------------------------------------------------------------------------------------------------
    def begin(self) -> None:
        """A new epoch."""
        self.batch_progress.begin()
        self.scheduler_progress.begin()
        self.automatic_optimization.optim_progress.begin()
        self.val_loop.batch_progress.total.reset()

    def run(self, fetcher: Any) -> None:
        """All batches that are left."""
        self._with_index = takes(self.trainer.lightning_module.training_step, "batch_idx", at_least=2)
        profiler = self.trainer.profiler
        while not self.done:
            try:
                with (
                    nullcontext()
                    if profiler is None
                    else profiler.profile("[_TrainingEpochLoop].train_dataloader_next")
                ):
                    batch, _, _ = next(fetcher)
                self.train_batch(batch, fetcher.done)
            except StopIteration:
                break
            self.after_batch()

    def train_batch(self, batch: Any, last: bool) -> None:
        """Train on one batch. StopIteration where on_train_batch_start returned -1."""
        trainer, progress = self.trainer, self.batch_progress
        hooks = trainer.hooks
        batch_idx = self.batch_idx + 1
        progress.is_last_batch = last
        batch = trainer._to_device(batch, 0)
        self.phase = "starting"
        progress.add("ready")
        trainer._metrics.amid_epoch = True
        self._results.new_batch(batch)
        output: Any = {}
        if batch is None:
            warnings_said.warn("train_dataloader yielded None. If this was on purpose, ignore this warning...")
        else:
            if hooks.run("on_train_batch_start", batch, batch_idx) == -1:
                progress.add("processed")
                raise StopIteration
            progress.add("started")
            arguments = (batch, batch_idx) if self._with_index else (batch,)
            if trainer.lightning_module.automatic_optimization:
                output = self.automatic_optimization.run(arguments, batch_idx, self.accumulating)
            else:
                output = self.manual_optimization.run(arguments)
        progress.add("processed")
        self.step_schedulers("step", plateau=False)
        if self.last_batch:
            self.step_schedulers("epoch", plateau=False)
        self.phase = "batch"
        hooks.run("on_train_batch_end", output, batch, batch_idx)
        self._results.batch = self._results.batch_size = None
        progress.add("completed")
        trainer._metrics.after_training_step()

    def after_batch(self) -> None:
        """Validation where it is due, and what waits for its metrics."""
        if self.validation_due():
            self.validate()
        self.after_validation()
        if self.trainer._received_sigterm and not self.last_batch:
            raise SIGTERMException

    def validate(self) -> None:
        """Run the validation loop amid training."""
        trainer = self.trainer
        trainer._metrics.take()
        trainer.validating = True
        if not self.accumulating:
            trainer.hooks.call("on_validation_model_zero_grad")
        self.phase = "validation"
        self.val_loop.run()
        trainer.training = True
        trainer._metrics.amid_epoch = True

    def after_validation(self) -> None:
        """The end of a batch: schedulers that watch a metric, the step that loggers show."""
        self.step_schedulers("step", plateau=True)
        if not self.accumulating:
            self._batches_that_stepped += 1
        self.phase = "between"
        if self.trainer.should_stop:
            for logger in self.trainer.loggers:
                logger.save()

    # --- schedulers ------------------------------------------------------------------------------------------------
    def step_schedulers(self, interval: str, plateau: bool) -> None:
        """Step the schedulers of an interval whose turn it is."""
        trainer = self.trainer
        if not trainer.lr_scheduler_configs or not trainer.lightning_module.automatic_optimization:
            return
        if interval == "step" and self.accumulating:
            return
        count = (self.batch_idx if interval == "step" else trainer.current_epoch) + 1
        for config in trainer.lr_scheduler_configs:
            if config.reduce_on_plateau != plateau or config.interval != interval or count % config.frequency:
                continue
            metric = None
            if plateau:
                metric = trainer.callback_metrics.get(config.monitor)
                if metric is None:
                    self._missing(config)
                    continue
            self.scheduler_progress.add("ready")
            trainer.hooks.call("lr_scheduler_step", config.scheduler, metric)
            self.scheduler_progress.add("completed")

    def _missing(self, config: Any) -> None:
        name = f"ReduceLROnPlateau conditioned on metric {config.monitor} which is not available"
        if config.strict:
            raise MisconfigurationException(f"{name}. Available metrics are: {list(self.trainer.callback_metrics)}."
                                            " Condition can be set using `monitor` key in lr scheduler dict")
        rank_zero_warn(f"{name} but strict is set to `False`. Skipping learning rate update.", category=RuntimeWarning)

    # --- validation ------------------------------------------------------------------------------------------------
    def validation_epoch(self) -> bool:
        """Whether this epoch has validation."""
        trainer = self.trainer
        every = trainer.check_val_every_n_epoch
        return bool(trainer.enable_validation and (every is None or (trainer.current_epoch + 1) % every == 0))

    def validation_due(self) -> bool:
        """Whether validation comes after this batch."""
        trainer = self.trainer
        every, last = trainer.val_check_batch, self.batch_progress.is_last_batch
        if trainer.should_stop and trainer.fit_loop.can_stop_early:
            due = True
        elif every == INFINITE:
            limit = trainer.limit_train_batches
            due = last or (isinstance(limit, int) and (self.batch_idx + 1) % limit == 0)
        else:
            count = self.total_batch_idx if trainer.check_val_every_n_epoch is None else self.batch_idx
            due = (count + 1) % every == 0
        return due and self.validation_epoch()

    # --- checkpoints -----------------------------------------------------------------------------------------------
    def state_dict(self, prefix: str) -> dict[str, Any]:
        """The counters, as Lightning names them."""
        manual = self.manual_optimization.optim_step_progress
        return {
            f"{prefix}state_dict": {"_batches_that_stepped": self._batches_that_stepped},
            f"{prefix}batch_progress": self.batch_progress.state_dict(),
            f"{prefix}scheduler_progress": self.scheduler_progress.state_dict(),
            f"{prefix}automatic_optimization.state_dict": {},
            f"{prefix}automatic_optimization.optim_progress": self.automatic_optimization.optim_progress.state_dict(),
            f"{prefix}manual_optimization.state_dict": {},
            f"{prefix}manual_optimization.optim_step_progress": manual.state_dict(),
            **self.val_loop.state_dict(f"{prefix}val_loop."),
        }

    def load_state_dict(self, state: dict[str, Any], prefix: str) -> None:
        """Take over the counters."""
        self._batches_that_stepped = state.get(f"{prefix}state_dict", {}).get("_batches_that_stepped", 0)
        for name, counters in (("batch_progress", self.batch_progress), ("scheduler_progress", self.scheduler_progress),
                               ("automatic_optimization.optim_progress", self.automatic_optimization.optim_progress),
                               ("manual_optimization.optim_step_progress",
                                self.manual_optimization.optim_step_progress)):
            if prefix + name in state:
                counters.load_state_dict(state[prefix + name])
        self.val_loop.load_state_dict(state, f"{prefix}val_loop.")
