"""Writes checkpoints: every so often, and the best ones."""

from __future__ import annotations

import os
import re
import shutil
import time
import warnings
from datetime import timedelta
from typing import Any

from rushlight.lightning.callbacks.checkpoint import Checkpoint
from rushlight.lightning.utilities.data import warnings_said
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn

FIELD = re.compile(r"(\{.*?)[:\}]")


class ModelCheckpoint(Checkpoint):
    """Write checkpoints of the best, the latest, or all moments.

    Args:
        dirpath: the folder; the logger's folder and "checkpoints" by default.
        filename: a template with names of logged values, such as "{epoch}-{val_loss:.2f}"; "{epoch}-{step}" by default.
        monitor: the value that tells which checkpoints are best; None keeps the latest.
        verbose: say what is written.
        save_last: also write last.ckpt; "link" makes it a link to the latest file.
        save_top_k: how many to keep, -1 for all, 0 for none.
        save_on_exception: write one where an exception ends training.
        save_weights_only: without optimizers and counters.
        mode: "min" or "max", which is better.
        auto_insert_metric_name: write "val_loss=0.12" for "{val_loss:.2f}".
        every_n_train_steps, train_time_interval, every_n_epochs:
            when to write; one of the three, each epoch by default.
        save_on_train_epoch_end: write at the end of epochs rather than of validation.
        enable_version_counter: end a name that exists in "-v1".

    MisconfigurationException for values that do not fit.
    """

    CHECKPOINT_JOIN_CHAR = "-"
    CHECKPOINT_EQUALS_CHAR = "="
    CHECKPOINT_NAME_LAST = "last"
    FILE_EXTENSION = ".ckpt"
    STARTING_VERSION = 1

    def __init__(self, dirpath: Any = None, filename: str | None = None, monitor: str | None = None,
                 verbose: bool = False, save_last: Any = None, save_top_k: int = 1, save_on_exception: bool = False,
                 save_weights_only: bool = False, mode: str = "min", auto_insert_metric_name: bool = True,
                 every_n_train_steps: int | None = None, train_time_interval: timedelta | None = None,
                 every_n_epochs: int | None = None, save_on_train_epoch_end: bool | None = None,
                 enable_version_counter: bool = True):
        self.monitor, self.verbose, self.save_last, self.save_top_k = monitor, verbose, save_last, save_top_k
        self.save_on_exception, self.save_weights_only, self.mode = save_on_exception, save_weights_only, mode
        self.auto_insert_metric_name = auto_insert_metric_name
        self.dirpath = os.path.realpath(os.path.expanduser(dirpath)) if dirpath else dirpath
        self.filename = filename
        self._save_on_train_epoch_end, self._enable_version_counter = save_on_train_epoch_end, enable_version_counter
        if (every_n_train_steps, every_n_epochs, train_time_interval) == (None, None, None):
            every_n_epochs = 1
        self._every_n_train_steps, self._every_n_epochs = every_n_train_steps or 0, every_n_epochs or 0
        self._train_time_interval = train_time_interval
        self._check_arguments()
        from rushlight.lightning.trainer.results import as_tensor
        self.kth_value = as_tensor(float("inf") if mode == "min" else -float("inf"))
        self.best_k_models: dict[str, Any] = {}
        self.best_model_path = self.kth_best_model_path = self.last_model_path = ""
        self.best_model_score: Any = None
        self.current_score: Any = None
        self._last_global_step_saved = 0
        self._last_checkpoint_saved = ""
        self._last_time_checked: float | None = None
        self._waits_for_validation = False

    def _check_arguments(self) -> None:
        if self.mode not in ("min", "max"):
            raise MisconfigurationException(f"`mode` can be min, max but got {self.mode}")
        for name, value, least in (("save_top_k", self.save_top_k, -1),
                                   ("every_n_train_steps", self._every_n_train_steps, 0),
                                   ("every_n_epochs", self._every_n_epochs, 0)):
            if value < least:
                raise MisconfigurationException(f"Invalid value for {name}={value}. Must be >= {least}")
        chosen = (self._every_n_train_steps >= 1, self._every_n_epochs >= 1, self._train_time_interval is not None)
        if sum(chosen) > 1:
            raise MisconfigurationException(
                f"Combination of parameters every_n_train_steps={self._every_n_train_steps}, "
                f"every_n_epochs={self._every_n_epochs} and train_time_interval={self._train_time_interval} "
                "should be mutually exclusive.")
        if self.monitor is None and self.save_top_k not in (-1, 0, 1):
            raise MisconfigurationException(f"ModelCheckpoint(save_top_k={self.save_top_k}, monitor=None) is not a"
                                            " valid configuration. No quantity for top_k to track.")

    @property
    def every_n_epochs(self) -> int:
        """How often a checkpoint is written, in epochs."""
        return self._every_n_epochs

    @property
    def state_key(self) -> str:
        return self._generate_state_key(monitor=self.monitor, mode=self.mode,
                                        every_n_train_steps=self._every_n_train_steps,
                                        every_n_epochs=self._every_n_epochs,
                                        train_time_interval=self._train_time_interval)

    _KEPT = ("best_model_score", "best_k_models", "kth_best_model_path", "kth_value", "last_model_path")

    def state_dict(self) -> dict[str, Any]:
        names = ("monitor", "best_model_path", "current_score", "dirpath", *self._KEPT)
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        before = state_dict.get("dirpath", self.dirpath)
        if self.dirpath == before:
            for name in self._KEPT:
                setattr(self, name, state_dict.get(name, getattr(self, name)))
        else:
            warnings.warn(f"The dirpath has changed from {before!r} to {self.dirpath!r}, therefore `best_model_score`, "
                          "`kth_best_model_path`, `kth_value`, `last_model_path` and `best_k_models` won't "
                          "be reloaded. Only `best_model_path` will be reloaded.", stacklevel=2)
        self.best_model_path = state_dict["best_model_path"]

    # --- when ------------------------------------------------------------------------------------------------------
    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.dirpath = trainer.strategy.broadcast(self._folder(trainer))
        if stage == "fit" and self.save_top_k != 0 and os.path.isdir(self.dirpath) and os.listdir(self.dirpath):
            rank_zero_warn(f"Checkpoint directory {self.dirpath} exists and is not empty.")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._last_time_checked = time.monotonic()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step_due = self._every_n_train_steps >= 1 and trainer.global_step % self._every_n_train_steps == 0
        time_due = False
        if self._train_time_interval is not None:
            now = time.monotonic()
            time_due = now - (self._last_time_checked or now) >= self._train_time_interval.total_seconds()
            time_due = trainer.strategy.broadcast(time_due)
            self._last_time_checked = now if time_due or self._last_time_checked is None else self._last_time_checked
        if not step_due and not time_due:
            return
        values = self._monitor_candidates(trainer)
        if self.monitor is not None and (self.monitor not in values or self._fresh_value_comes(trainer)):
            self._waits_for_validation = True
        elif not self._skips(trainer):
            self._save_topk_checkpoint(trainer, values)
            self._save_last_checkpoint(trainer, values)

    def _fresh_value_comes(self, trainer: Any) -> bool:
        """Whether validation follows this batch, so that the value of now is an old one."""
        loop = trainer.fit_loop.epoch_loop
        return not self._at_epoch_end(trainer) and loop.batch_progress.is_last_batch and loop.validation_epoch()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if not self._skips(trainer) and self._at_epoch_end(trainer):
            self._save_epoch(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if self._skips(trainer) or self._at_epoch_end(trainer):
            return
        if self._waits_for_validation:
            values = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, values)
            self._save_last_checkpoint(trainer, values)
            self._waits_for_validation = False
        else:
            self._save_epoch(trainer)

    def _save_epoch(self, trainer: Any) -> None:
        values = self._monitor_candidates(trainer)
        if self._every_n_epochs >= 1 and (trainer.current_epoch + 1) % self._every_n_epochs == 0:
            self._save_topk_checkpoint(trainer, values)
        self._save_last_checkpoint(trainer, values)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if self.save_last and not self._last_checkpoint_saved and not trainer.fast_dev_run:
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        if not self.save_on_exception or self._skips(trainer):
            return
        values = self._monitor_candidates(trainer)
        path = self.format_checkpoint_name(values)
        self._save_checkpoint(trainer, path)
        self._save_last_checkpoint(trainer, values)
        rank_zero_info(f"An {type(exception).__name__} was raised with message: "
                       f"{exception}, saved checkpoint to {path}")

    def _skips(self, trainer: Any) -> bool:
        return bool(trainer.fast_dev_run or trainer.state.fn != "fit" or trainer.sanity_checking
                    or self._last_global_step_saved == trainer.global_step)

    def _at_epoch_end(self, trainer: Any) -> bool:
        if self._save_on_train_epoch_end is not None:
            return bool(self._save_on_train_epoch_end)
        if trainer.check_val_every_n_epoch != 1:
            return False
        return bool(sum(trainer.num_val_batches) == 0 or trainer.val_check_interval == 1.0)

    # --- what ------------------------------------------------------------------------------------------------------
    def _monitor_candidates(self, trainer: Any) -> dict[str, Any]:
        from rushlight.tensor.core import Tensor
        values = dict(trainer.callback_metrics)
        for name, count in (("epoch", trainer.current_epoch), ("step", trainer.global_step)):
            logged = values.get(name)
            values[name] = _integer(int(logged.item()) if isinstance(logged, Tensor) else count)
        return values

    def _save_topk_checkpoint(self, trainer: Any, values: dict[str, Any]) -> None:
        if self.save_top_k == 0:
            return
        if self.monitor is None:
            return self._save_latest(trainer, values)
        if self.monitor not in values:
            message = (f"`ModelCheckpoint(monitor={self.monitor!r})` could not find the monitored key in the"
                       f" returned metrics: {list(values)}. HINT: Did you call `log({self.monitor!r}, value)` in the"
                       " `LightningModule`?")
            if trainer.fit_loop.epoch_loop.val_loop._has_run:
                raise MisconfigurationException(message)
            return warnings_said.warn(message)
        current = trainer.strategy.broadcast(values[self.monitor])  # what the processes have seen may differ
        if self.check_monitor_top_k(trainer, current):
            self._update_best_and_save(current, trainer, values)
        elif self.verbose:
            rank_zero_info(f"Epoch {int(values['epoch'])}, global step {int(values['step'])}: {self.monitor!r} was"
                           f" not in top {self.save_top_k}")

    def check_monitor_top_k(self, trainer: Any, current: Any = None) -> bool:
        """Whether a value is among the best."""
        if current is None:
            return False
        if self.save_top_k == -1 or len(self.best_k_models) < self.save_top_k:
            return True
        worst = float(self.best_k_models[self.kth_best_model_path])
        return float(current) < worst if self.mode == "min" else float(current) > worst

    def _save_latest(self, trainer: Any, values: dict[str, Any]) -> None:
        path = trainer.strategy.broadcast(self._free_path(values, self.best_model_path))
        previous, self.best_model_path = self.best_model_path, path
        self._save_checkpoint(trainer, path)
        if self.save_top_k == 1 and previous and self._may_remove(trainer, previous, path):
            self._remove_checkpoint(trainer, previous)

    def _update_best_and_save(self, current: Any, trainer: Any, values: dict[str, Any]) -> None:
        from rushlight.lightning.trainer.results import as_tensor
        k = len(self.best_k_models) + 1 if self.save_top_k == -1 else self.save_top_k
        dropped = None
        if len(self.best_k_models) == k and k > 0:
            dropped = self.kth_best_model_path
            self.best_k_models.pop(dropped)
        score = float(current)
        if score != score:  # NaN is worse than anything
            current = as_tensor(float("inf" if self.mode == "min" else "-inf"))
        path = trainer.strategy.broadcast(self._free_path(values, dropped))
        self.current_score = self.best_k_models[path] = current.clone()
        worst, best = (max, min) if self.mode == "min" else (min, max)
        of = lambda p: float(self.best_k_models[p])
        if len(self.best_k_models) == k:
            self.kth_best_model_path = worst(self.best_k_models, key=of)
            self.kth_value = self.best_k_models[self.kth_best_model_path]
        self.best_model_path = best(self.best_k_models, key=of)
        self.best_model_score = self.best_k_models[self.best_model_path]
        if self.verbose:
            rank_zero_info(f"Epoch {int(values['epoch'])}, global step {int(values['step'])}: {self.monitor!r}"
                           f" reached {score:0.5f} (best {float(self.best_model_score):0.5f}), saving model to"
                           f" {path!r} as top {k}")
        self._save_checkpoint(trainer, path)
        if dropped and self._may_remove(trainer, dropped, path):
            self._remove_checkpoint(trainer, dropped)

    def _save_last_checkpoint(self, trainer: Any, values: dict[str, Any]) -> None:
        if not self.save_last:
            return
        path = self.format_checkpoint_name(values, self.CHECKPOINT_NAME_LAST)
        version = self.STARTING_VERSION
        while self._enable_version_counter and os.path.lexists(path) and path != self.last_model_path:
            path = self.format_checkpoint_name(values, self.CHECKPOINT_NAME_LAST, ver=version)
            version += 1
        path = trainer.strategy.broadcast(path)
        previous, self.last_model_path = self.last_model_path, path
        if self.save_last == "link" and self._last_checkpoint_saved and self.save_top_k != 0:
            if trainer.is_global_zero:
                _link(self._last_checkpoint_saved, path)
            trainer.strategy.barrier()
        else:
            self._save_checkpoint(trainer, path)
        if previous and self._may_remove(trainer, previous, path):
            self._remove_checkpoint(trainer, previous)

    def _save_checkpoint(self, trainer: Any, filepath: str) -> None:
        trainer.save_checkpoint(filepath, self.save_weights_only)
        self._last_global_step_saved, self._last_checkpoint_saved = trainer.global_step, filepath
        for logger in trainer.loggers:
            logger.after_save_checkpoint(self)

    def _may_remove(self, trainer: Any, previous: str, current: str) -> bool:
        """Not the file just written, nor the one that training went on from, nor one in another folder."""
        if previous == current:
            return False
        absolute = os.path.abspath(previous)
        if trainer.ckpt_path is not None and absolute == os.path.abspath(trainer.ckpt_path):
            return False
        folder = os.path.abspath(self.dirpath)
        return bool(os.path.commonpath([absolute, folder]) == folder)

    def _remove_checkpoint(self, trainer: Any, filepath: str) -> None:
        trainer.strategy.remove_checkpoint(filepath)

    # --- names -----------------------------------------------------------------------------------------------------
    def _folder(self, trainer: Any) -> str:
        if self.dirpath is not None:
            return str(self.dirpath)
        if not trainer.loggers:
            return os.path.join(trainer.default_root_dir, "checkpoints")
        first = trainer.loggers[0]
        version = first.version if isinstance(first.version, str) else f"version_{first.version}"
        return os.path.join(first.save_dir or trainer.default_root_dir, str(first.name), version, "checkpoints")

    def format_checkpoint_name(self, metrics: dict[str, Any], filename: str | None = None, ver: int | None = None,
                               prefix: str | None = None) -> str:
        """The path that a template gives with these values; a value that is missing is 0.

        >>> ModelCheckpoint(filename="{epoch}-{val_loss:.2f}").format_checkpoint_name({"epoch": 2, "val_loss": 0.123})
        'epoch=2-val_loss=0.12.ckpt'
        """
        name = self._format_checkpoint_name(filename or self.filename, metrics, prefix, self.auto_insert_metric_name)
        if ver is not None:
            name = self.CHECKPOINT_JOIN_CHAR.join((name, f"v{ver}"))
        name += self.FILE_EXTENSION
        return os.path.join(self.dirpath, name) if self.dirpath else name

    def _format_checkpoint_name(self, filename: str | None, metrics: dict[str, Any], prefix: str | None = None,
                                auto_insert_metric_name: bool = True) -> str:
        filename = filename or f"{{epoch}}{self.CHECKPOINT_JOIN_CHAR}{{step}}"
        values = {name: _number(value) for name, value in metrics.items()}
        # longer names first, as one may begin another
        for field in sorted(set(FIELD.findall(filename)), key=len, reverse=True):
            name = field[1:]
            shown = f"{name}{self.CHECKPOINT_EQUALS_CHAR}" if auto_insert_metric_name else ""
            filename = filename.replace(field, f"{shown}{{0[{name}]")
            values.setdefault(name, 0)
        filename = filename.format(values)
        return filename if prefix is None else self.CHECKPOINT_JOIN_CHAR.join([prefix, filename])

    def _free_path(self, values: dict[str, Any], dropped: str | None) -> str:
        path = self.format_checkpoint_name(values)
        version = self.STARTING_VERSION
        while self._enable_version_counter and os.path.exists(path) and path != dropped:
            path = self.format_checkpoint_name(values, ver=version)
            version += 1
        return path

    def _find_last_checkpoints(self, trainer: Any) -> set[str]:
        folder = self._folder(trainer)
        pattern = re.compile(rf"^{self.CHECKPOINT_NAME_LAST}(-(\d+))?")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return {os.path.join(folder, n) for n in names if n.endswith(self.FILE_EXTENSION) and pattern.match(n)}

    def to_yaml(self, filepath: Any = None) -> None:
        """Write the paths and scores of the best checkpoints."""
        from rushlight.lightning.utilities.hparams_files import save_hparams_to_yaml
        path = filepath if filepath is not None else os.path.join(str(self.dirpath), "best_k_models.yaml")
        save_hparams_to_yaml(os.fspath(path), {k: float(v) for k, v in self.best_k_models.items()})


def _integer(value: int) -> Any:
    from rushlight.tensor.creation import tensor
    return tensor(value)


def _number(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _link(target: str, link: str) -> None:
    if os.path.islink(link) or os.path.isfile(link):
        os.remove(link)
    elif os.path.isdir(link):
        shutil.rmtree(link)
    try:
        os.symlink(os.path.relpath(target, os.path.dirname(link)), link)
    except OSError:  # where users may not make links
        shutil.copy(target, link)
