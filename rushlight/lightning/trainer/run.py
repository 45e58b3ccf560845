"""How one call of fit, validate, test or predict runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from rushlight.lightning.core.configure import optimizers_of
from rushlight.lightning.core.optimizer import LightningOptimizer
from rushlight.lightning.trainer import checkpoint, configuration, learned
from rushlight.lightning.trainer.connect import attach_model_callbacks
from rushlight.lightning.trainer.states import RunningStage, TrainerFn, TrainerStatus
from rushlight.lightning.utilities.exceptions import ExitTuning
from rushlight.lightning.utilities.overrides import is_overridden
from rushlight.lightning.utilities.rank_zero import rank_zero_info
from rushlight.lightning.utilities.seed import isolate_rng, reset_seed


class Runs:
    """The steps of a run, in order; part of Trainer."""

    _hook: str | None

    def _start(self: Any, fn: str, stage: str, model: Any) -> None:
        from rushlight.lightning.core.module import LightningModule
        model = getattr(model, "_orig_mod", model)  # torch.compile's wrapper
        if not isinstance(model, LightningModule):
            raise TypeError("`model` must be a `LightningModule` or `torch._dynamo.OptimizedModule`, got"
                            f" `{type(model).__qualname__}`")
        self._model = model
        self.state.fn, self.state.status, self.state.stage = TrainerFn(fn), TrainerStatus.RUNNING, RunningStage(stage)

    def _launched(self: Any, *args: Any) -> Any:
        """Run, in the processes that the strategy wants."""
        launcher = self.strategy.launcher
        if launcher is not None and launcher.runs_elsewhere:
            return launcher.launch(lambda: self._guarded(*args), lambda out: learned.gather(self, out), lambda state: learned.take(self, state))
        if launcher is not None:
            launcher.start()
        return self._guarded(*args)

    def _guarded(self: Any, ckpt_path: Any, model_given: bool, weights_only: bool | None = None) -> Any:
        """Run, and leave all in order where an exception ends it."""
        try:
            with self._watching_sigterm():
                self.strategy.setup_environment()
                if self.world_size > 1:
                    reset_seed()  # the random numbers of all processes are the same
                path = self.strategy.broadcast(checkpoint.choose(self, ckpt_path, model_given))
                return self._run(path, weights_only)
        except ExitTuning:
            self._leave()
            self.state.status, self.state.stage = TrainerStatus.FINISHED, None
            return None
        except KeyboardInterrupt as e:
            rank_zero_info("\nDetected KeyboardInterrupt, attempting graceful shutdown ...")
            self._interrupted(e)
            raise SystemExit(1) from e
        except BaseException as e:
            self._interrupted(e)
            raise

    def _interrupted(self: Any, exception: BaseException) -> None:
        self.state.status = TrainerStatus.INTERRUPTED
        model = self.lightning_module
        self._hook = "on_exception"
        for callback in self.callbacks:
            callback.on_exception(self, model, exception)
        if self.datamodule is not None:
            self.datamodule.on_exception(exception)
        for logger in self.loggers:
            logger.finalize("failed")
        self._leave()
        self.state.stage = None
        if self.strategy.launcher is not None:
            self.strategy.launcher.kill()

    def _leave(self: Any) -> None:
        self._hook = None
        self.fit_loop.restored = None
        for loop in (self.fit_loop, self.validate_loop, self.test_loop, self.predict_loop):
            loop.teardown()
        self.strategy.teardown()

    def _run(self: Any, ckpt_path: Any, weights_only: bool | None) -> Any:
        model, fitting = self.lightning_module, self.state.fn == TrainerFn.FITTING
        if fitting:
            loop = self.fit_loop
            loop.min_epochs, loop.max_epochs = configuration.loop_limits(
                loop.max_epochs, loop.min_epochs, loop.max_steps, loop.min_steps, self._max_time)
        self._ckpt_path = ckpt_path
        self.hooks.refresh()
        attach_model_callbacks(self)
        configuration.verify(self, model)
        if self.local_rank == 0:
            self._data.prepare()
        self.strategy.barrier()
        self._agree_on_versions()
        self._setup_hooks("setup")
        self.strategy.barrier()
        self.hooks.call("configure_sharded_model")
        self.hooks.call("configure_model")
        self.hooks.refresh()
        self.precision_plugin.convert_module(model)  # before its parameters are restored, so that none is rounded
        restorer = checkpoint.Restorer(self, ckpt_path, weights_only)
        restorer.model_and_callbacks()
        self._metrics.forget()
        self._transfers = any(
            is_overridden(name, holder)
            for name in _TRANSFER
            for holder in (model, self.datamodule)
            if holder is not None
        )
        self._converts = type(self.precision_plugin).convert_input is not _plain_precision().convert_input
        self._own_clipping = is_overridden("configure_gradient_clipping", model)
        if fitting:
            self.strategy.wrap(model, self.sync_batchnorm)
            self._connect_optimizers()
            self.hooks.run("on_fit_start")
        self._log_hyperparameters()
        restorer.training()
        out = self._run_stage()
        self._leave()
        if fitting:
            self.hooks.run("on_fit_end")
        self._setup_hooks("teardown")
        for logger in self.loggers:
            logger.finalize("success")
        if self.profiler is not None:
            self.profiler.describe()
        self.strategy.barrier()
        self.state.status, self.state.stage = TrainerStatus.FINISHED, None
        return out

    def _run_stage(self: Any) -> Any:
        self.lightning_module.zero_grad()
        if self.state.fn == TrainerFn.VALIDATING:
            return self.validate_loop.run()
        if self.state.fn == TrainerFn.TESTING:
            return self.test_loop.run()
        if self.state.fn == TrainerFn.PREDICTING:
            return self.predict_loop.run()
        with isolate_rng():
            self._sanity_check()
        from rushlight.autograd.anomaly import set_detect_anomaly
        with set_detect_anomaly(True) if self._detect_anomaly else nullcontext():
            self.fit_loop.run()
        return None

    def _sanity_check(self: Any) -> None:
        loop = self.fit_loop.epoch_loop.val_loop
        if not (self.enable_validation and self.num_sanity_val_steps > 0) or self.fit_loop.resumes_amid_epoch:
            return
        stage, self.state.stage = self.state.stage, RunningStage.SANITY_CHECKING
        self._metrics.forget()
        self.hooks.run("on_sanity_check_start")
        loop.run()
        self.hooks.run("on_sanity_check_end")
        self._metrics.forget()
        loop.batch_progress.reset()
        self.state.stage = stage

    # --- parts -----------------------------------------------------------------------------------------------------
    def _setup_hooks(self: Any, name: str) -> None:
        """setup or teardown of the data module, the callbacks and the module."""
        stage, model = self.state.fn.value, self.lightning_module
        self._hook = name
        if self.datamodule is not None:
            getattr(self.datamodule, name)(stage)
        if name == "setup":
            for logger in self.loggers:
                _ = logger.experiment  # the loggers' folders exist from here on
        for callback in self.callbacks:
            getattr(callback, name)(self, model, stage)
        getattr(model, name)(stage)
        self._hook = None

    def _agree_on_versions(self: Any) -> None:
        """The loggers of all processes write to, and tell, the first one's folders."""
        if self.world_size == 1:
            return
        for logger in self.loggers:
            version = self.strategy.broadcast(logger.version)
            if hasattr(logger, "_version"):
                logger._version = version

    def _forget_optimizers(self: Any) -> None:
        self.optimizers: list[Any] = []
        self._lightning_optimizers: list[Any] = []
        self.lr_scheduler_configs: list[Any] = []

    def _connect_optimizers(self: Any) -> None:
        model = self.lightning_module
        optimizers, self.lr_scheduler_configs = optimizers_of(model, self.hooks.call("configure_optimizers"))
        wrapped = [o if isinstance(o, LightningOptimizer) else LightningOptimizer(o) for o in optimizers]
        for optimizer in wrapped:
            optimizer.__dict__["_trainer"] = self
        self._lightning_optimizers, self.optimizers = wrapped, [o._optimizer for o in wrapped]

    def _log_hyperparameters(self: Any) -> None:
        if not self.loggers or not self.enable_autolog_hparams:
            return
        model, datamodule = self.lightning_module, self.datamodule
        merged: dict[str, Any] = {}
        for obj in (datamodule, model):
            if obj is not None and getattr(obj, "_log_hyperparams", False):
                merged.update(obj.hparams_initial)
        for logger in self.loggers:
            if merged:
                logger.log_hyperparams(merged)
            logger.log_graph(model)
            logger.save()

    def _to_device(self: Any, batch: Any, dataloader_idx: int) -> Any:
        """A batch on its way to the step: conversion, and the three hooks where somebody has them."""
        if self._converts:
            batch = self.precision_plugin.convert_input(batch)
        if not self._transfers:
            return batch  # memory is shared: there is nowhere to move it
        batch = self.hooks.data("on_before_batch_transfer", batch, dataloader_idx)
        batch = self.hooks.data("transfer_batch_to_device", batch, self.strategy.root_device, dataloader_idx)
        return self.hooks.data("on_after_batch_transfer", batch, dataloader_idx)

    @contextmanager
    def _watching_sigterm(self: Any) -> Iterator[None]:
        """SIGTERM ends training after the present batch, through the hooks for exceptions."""
        self._received_sigterm = False
        usual = (
            threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        )

        def note(number: int, frame: Any) -> None:
            rank_zero_info(f"Received SIGTERM: {number}")
            self._received_sigterm = True
        if usual:
            signal.signal(signal.SIGTERM, note)
        try:
            yield
        finally:
            if usual:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)


_TRANSFER = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


def _plain_precision() -> Any:
    from rushlight.lightning.trainer.precision import Precision
    return Precision
