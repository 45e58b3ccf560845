"""The Trainer: runs a LightningModule."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.accelerators import accelerator_of, count_of
from rushlight.lightning.environment import environment_of
from rushlight.lightning.loops.epoch import TrainingEpochLoop
from rushlight.lightning.loops.evaluation import EvaluationLoop
from rushlight.lightning.loops.fit import FitLoop
from rushlight.lightning.loops.prediction import PredictionLoop
from rushlight.lightning.strategies import strategy_of
from rushlight.lightning.trainer import checkpoint, configuration
from rushlight.lightning.trainer.call import Hooks
from rushlight.lightning.trainer.connect import callbacks_of, loggers_of
from rushlight.lightning.trainer.data import DataSources
from rushlight.lightning.trainer.metrics import Metrics
from rushlight.lightning.trainer.precision import precision_of
from rushlight.lightning.trainer.properties import TrainerProperties
from rushlight.lightning.trainer.run import Runs
from rushlight.lightning.trainer.states import TrainerState
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import rank_zero_warn


class Trainer(TrainerProperties, Runs):
    """Runs the loops of training, validation, test and prediction.

    Args:
        accelerator: "auto" or "cpu"; others raise MisconfigurationException on this machine.
        devices: how many processes train on this machine, "auto" for one, or for as many as a launcher has started.
        num_nodes: how many machines. strategy: "auto", "ddp" and its kin, or a DDPStrategy: how they start, and what they exchange.
        precision: "32-true", "64-true", "16-true", "bf16-true", "bf16-mixed",
            "16-mixed" (which is "bf16-mixed" on a CPU).
        logger: True for TensorBoard's (where tensorboardX is installed, else CSV), False for none, or loggers.
        callbacks: a Callback or a list of them.
        fast_dev_run: so many batches of everything, without logs and checkpoints, to see whether it runs; True for one.
        max_epochs, min_epochs, max_steps, min_steps, max_time: when training ends; steps are steps of optimizers.
        limit_train_batches, limit_val_batches, limit_test_batches, limit_predict_batches:
            a share, or a number of batches.
        overfit_batches: the same for training and validation, without shuffling.
        val_check_interval: validate after this share of an epoch, or so many batches.
        check_val_every_n_epoch: validate in every n-th epoch; None to count val_check_interval over epochs.
        num_sanity_val_steps: validation batches before training, -1 for all; 2 by default.
        log_every_n_steps: how often values go to the loggers; 50 by default.
        enable_checkpointing, enable_progress_bar, enable_model_summary: the callbacks that a trainer has by itself.
        accumulate_grad_batches: batches for one step.
        gradient_clip_val, gradient_clip_algorithm: clip gradients by "norm" or "value".
        deterministic: True or "warn" sets ``torch.use_deterministic_algorithms``. benchmark:
            ``torch.backends.cudnn.benchmark``.
        inference_mode: evaluate in inference mode instead of ``no_grad``.
        use_distributed_sampler: give each of several processes its part of the data.
        sync_batchnorm: normalize over the batches of all processes.
        profiler: "simple", "advanced", or a Profiler.
        detect_anomaly: say which operation made the first NaN of a backward pass.
        barebones: no logs, checkpoints, progress bar, summary or sanity check.
        plugins: a precision in place of `precision`'s.
        reload_dataloaders_every_n_epochs: ask for the loaders again so often.
        default_root_dir: where logs and checkpoints go; the current folder by default.
        enable_autolog_hparams: give hyper-parameters to the loggers.
        model_registry: not available.

    MisconfigurationException, TypeError or ValueError for values that do not fit.
    """

    def __init__(self, *, accelerator: Any = "auto", strategy: Any = "auto", devices: Any = "auto", num_nodes: int = 1,
                 precision: Any = None, logger: Any = None, callbacks: Any = None, fast_dev_run: int | bool = False,
                 max_epochs: int | None = None, min_epochs: int | None = None, max_steps: int = -1,
                 min_steps: int | None = None, max_time: Any = None, limit_train_batches: int | float | None = None,
                 limit_val_batches: int | float | None = None, limit_test_batches: int | float | None = None,
                 limit_predict_batches: int | float | None = None, overfit_batches: int | float = 0.0,
                 val_check_interval: int | float | None = None, check_val_every_n_epoch: int | None = 1,
                 num_sanity_val_steps: int | None = None, log_every_n_steps: int | None = None,
                 enable_checkpointing: bool | None = None, enable_progress_bar: bool | None = None,
                 enable_model_summary: bool | None = None, accumulate_grad_batches: int = 1,
                 gradient_clip_val: int | float | None = None, gradient_clip_algorithm: str | None = None,
                 deterministic: Any = None, benchmark: bool | None = None, inference_mode: bool = True,
                 use_distributed_sampler: bool = True, profiler: Any = None, detect_anomaly: bool = False,
                 barebones: bool = False, plugins: Any = None, sync_batchnorm: bool = False,
                 reload_dataloaders_every_n_epochs: int = 0, default_root_dir: Any = None,
                 enable_autolog_hparams: bool = True, model_registry: str | None = None) -> None:
        if barebones:
            configuration.barebones({
                "enable_checkpointing": enable_checkpointing, "logger": logger,
                "enable_progress_bar": enable_progress_bar, "log_every_n_steps": log_every_n_steps,
                "enable_model_summary": enable_model_summary, "fast_dev_run": fast_dev_run,
                "num_sanity_val_steps": num_sanity_val_steps, "detect_anomaly": detect_anomaly, "profiler": profiler})
            enable_checkpointing = logger = enable_progress_bar = enable_model_summary = False
            num_sanity_val_steps = log_every_n_steps = 0
        if model_registry is not None:
            raise MisconfigurationException("Trainer(model_registry=...) needs Lightning's model registry, which"
                                            " rushlight does not provide")
        self.barebones, self.inference_mode = barebones, inference_mode
        self.enable_autolog_hparams = enable_autolog_hparams
        self.use_distributed_sampler, self.sync_batchnorm = use_distributed_sampler, sync_batchnorm
        self._begin()

        self.accelerator = accelerator_of(accelerator)
        self.strategy = strategy_of(strategy, environment_of(count_of(devices), configuration.positive(num_nodes, "num_nodes")))
        self.strategy.trainer = self
        self.precision_plugin = self._precision(precision, plugins)
        configuration.batch_limits(self, limit_train_batches, limit_val_batches, limit_test_batches,
                                   limit_predict_batches, overfit_batches, fast_dev_run, num_sanity_val_steps)
        configuration.intervals(self, val_check_interval, check_val_every_n_epoch, reload_dataloaders_every_n_epochs)
        self.accumulate_grad_batches = configuration.positive(accumulate_grad_batches, "accumulate_grad_batches")
        self.gradient_clip_val = gradient_clip_val
        self.gradient_clip_algorithm = configuration.clipping(gradient_clip_val, gradient_clip_algorithm)
        self.log_every_n_steps = 50 if log_every_n_steps is None else log_every_n_steps
        self._default_root_dir = configuration.root_dir(default_root_dir)
        self._detect_anomaly = detect_anomaly
        self._set_flags(deterministic, benchmark)

        if fast_dev_run:
            max_epochs, max_steps = 1, int(fast_dev_run)
            self.val_check_interval, self.check_val_every_n_epoch = 1.0, 1
        self._max_time = configuration.duration(max_time)
        self._make_loops(min_epochs, max_epochs, min_steps, max_steps)
        self._data = DataSources(self)
        self._metrics = Metrics(self)
        self.hooks = Hooks(self)
        self.profiler = self._profiler(profiler)
        self.callbacks = callbacks_of(self, callbacks, enable_checkpointing, enable_progress_bar, enable_model_summary)
        self.loggers = loggers_of(self, logger)

    def _begin(self) -> None:
        """Nothing has run yet."""
        self.state = TrainerState()
        self.should_stop = False
        self._hook = None
        self._received_sigterm = self._tuning = False
        self._model: Any = None
        self._ckpt_path: Any = None
        self._forget_optimizers()

    def _make_loops(self, min_epochs: int | None, max_epochs: int | None, min_steps: int | None,
                    max_steps: int) -> None:
        self.fit_loop = FitLoop(self, min_epochs, max_epochs)
        self.fit_loop.epoch_loop = TrainingEpochLoop(self, min_steps, max_steps)
        self.validate_loop = EvaluationLoop(self, "validate", "validate")
        self.test_loop = EvaluationLoop(self, "test", "test")
        self.predict_loop = PredictionLoop(self)
        self.val_check_batch: float = 1

    def _precision(self, precision: Any, plugins: Any) -> Any:
        given = [] if plugins is None else list(plugins) if isinstance(plugins, (list, tuple)) else [plugins]
        for plugin in given:
            if not hasattr(plugin, "forward_context"):
                raise MisconfigurationException(f"Found invalid type for plugin {plugin}. Expected a precision of"
                                                " `rushlight.lightning.plugins`; other plugins concern clusters and"
                                                " devices that are not here.")
        if given and precision is not None:
            raise ValueError(f"Received both `precision={precision}` and `plugins={plugins}`. Choose one.")
        return given[0] if given else precision_of(precision)

    def _set_flags(self, deterministic: Any, benchmark: bool | None) -> None:
        from rushlight.backends import cudnn
        from rushlight.tensor.settings import use_deterministic_algorithms
        if deterministic not in (None, True, False, "warn"):
            raise MisconfigurationException(f"`deterministic` should be True, False or 'warn', got {deterministic!r}.")
        if deterministic:
            use_deterministic_algorithms(True, warn_only=deterministic == "warn")
            if benchmark:
                rank_zero_warn("You passed `deterministic=True` and `benchmark=True`. Note that PyTorch ignores"
                               " torch.backends.cudnn.deterministic=True when torch.backends.cudnn.benchmark=True.")
        if benchmark is not None:
            cudnn.benchmark = benchmark

    def _profiler(self, profiler: Any) -> Any:
        if profiler is None:
            return None
        from rushlight.lightning.profilers import profiler_of
        return profiler_of(profiler)

    # --- the four methods ------------------------------------------------------------------------------------------
    def fit(self, model: Any, train_dataloaders: Any = None, val_dataloaders: Any = None, datamodule: Any = None,
            ckpt_path: Any = None, weights_only: bool | None = None) -> None:
        """Train a module.

        Args:
            model: a LightningModule.
            train_dataloaders: a loader, a collection of loaders, or a
                LightningDataModule; the module's own hook by default.
            val_dataloaders: a loader or a list of them.
            datamodule: a LightningDataModule.
            ckpt_path: a checkpoint to go on from: a path, "last" or "best".
            weights_only: True reads the checkpoint without running any code of it.
        """
        if _is_datamodule(train_dataloaders):
            datamodule, train_dataloaders = train_dataloaders, None
        if (train_dataloaders is not None or val_dataloaders is not None) and datamodule is not None:
            raise MisconfigurationException("You cannot pass `train_dataloader` or `val_dataloaders` to"
                                            " `trainer.fit(datamodule=...)`")
        self._start("fit", "train", model)
        self._data.attach(model, datamodule, train=train_dataloaders, validate=val_dataloaders)
        self.should_stop = False
        self._launched(ckpt_path, True, weights_only)

    def validate(self, model: Any = None, dataloaders: Any = None, ckpt_path: Any = None, verbose: bool = True,
                 datamodule: Any = None, weights_only: bool | None = None) -> list[dict[str, float]]:
        """One pass over validation data; the logged values, one dict for each loader.

        `ckpt_path` ("best", "last" or a path) says whose parameters;
        without a model it is "best", with one the model's own.
        """
        return self._evaluate("validate", model, dataloaders, ckpt_path, verbose, datamodule, weights_only)

    def test(self, model: Any = None, dataloaders: Any = None, ckpt_path: Any = None, verbose: bool = True,
             datamodule: Any = None, weights_only: bool | None = None) -> list[dict[str, float]]:
        """One pass over test data; as `validate`."""
        return self._evaluate("test", model, dataloaders, ckpt_path, verbose, datamodule, weights_only)

    def _evaluate(self, fn: str, model: Any, dataloaders: Any, ckpt_path: Any, verbose: bool, datamodule: Any,
                  weights_only: bool | None) -> list[dict[str, float]]:
        model, given, dataloaders, datamodule = self._inputs(fn, model, dataloaders, datamodule)
        self._start(fn, fn, model)
        self._data.attach(model, datamodule, **{fn: dataloaders})
        (self.validate_loop if fn == "validate" else self.test_loop).verbose = verbose
        return self._launched(ckpt_path, given, weights_only)  # type: ignore[no-any-return]

    def predict(self, model: Any = None, dataloaders: Any = None, datamodule: Any = None,
                return_predictions: bool | None = None, ckpt_path: Any = None, weights_only: bool | None = None) -> Any:
        """What predict_step makes of each batch: a list, for several loaders a list of lists."""
        model, given, dataloaders, datamodule = self._inputs("predict", model, dataloaders, datamodule)
        self._start("predict", "predict", model)
        self._data.attach(model, datamodule, predict=dataloaders)
        elsewhere = self.strategy.launcher is not None and self.strategy.launcher.runs_elsewhere
        if elsewhere and return_predictions:
            raise MisconfigurationException("`return_predictions` should be set to `False` when using the strategies that spawn or fork all"
                                            " processes: each has its part of the predictions. Write them with a BasePredictionWriter")
        self.predict_loop.return_predictions = return_predictions is not False and not elsewhere
        return self._launched(ckpt_path, given, weights_only)

    def _inputs(self, fn: str, model: Any, dataloaders: Any, datamodule: Any) -> tuple[Any, bool, Any, Any]:
        if _is_datamodule(dataloaders):
            datamodule, dataloaders = dataloaders, None
        if dataloaders is not None and datamodule is not None:
            raise MisconfigurationException(f"You cannot pass both `trainer.{fn}(dataloaders=..., datamodule=...)`")
        given = model is not None
        if model is None:
            model = self.lightning_module
            if model is None:
                raise TypeError(f"`Trainer.{fn}()` requires a `LightningModule` when it "
                                "hasn't been passed in a previous run")
            if dataloaders is None and datamodule is None:
                datamodule = self._data.datamodule
        return model, given, dataloaders, datamodule

    def save_checkpoint(self, filepath: Any, weights_only: bool | None = False, storage_options: Any = None) -> None:
        """Write a checkpoint of now; with `weights_only` one without optimizers
        and counters, that cannot be gone on from."""
        if storage_options is not None:
            raise TypeError("`Trainer.save_checkpoint(..., storage_options=...)` needs a checkpoint plugin that"
                            " takes them; files are written by torch.save")
        checkpoint.save(self, filepath, bool(weights_only))

    def print(self, *args: Any, **kwargs: Any) -> None:
        """`print` from the first process of each machine, above the progress bar."""
        if self.local_rank:
            return
        bar = self.progress_bar_callback
        if bar is not None:
            bar.print(*args, **kwargs)
        else:
            print(*args, **kwargs)


def _is_datamodule(value: Any) -> bool:
    from rushlight.lightning.core.datamodule import LightningDataModule
    return isinstance(value, LightningDataModule)
