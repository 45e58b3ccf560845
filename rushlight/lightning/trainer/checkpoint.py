"""Checkpoints: what a run writes, and how it goes on from it.

The dict is Lightning's; the key "rushlight" holds what else an exact continuation needs (`FitLoop.exact_state`).
"""

from __future__ import annotations

import os
from typing import Any

from rushlight.lightning.core.saving import read_checkpoint
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn

EXACT = "rushlight"


def dump(trainer: Any, weights_only: bool = False) -> dict[str, Any]:
    """The checkpoint of now."""
    from rushlight.lightning import __version__
    model, datamodule = trainer.lightning_module, trainer.datamodule
    checkpoint: dict[str, Any] = {
        "epoch": trainer.current_epoch, "global_step": trainer.global_step, "pytorch-lightning_version": __version__,
        "state_dict": model.state_dict(),
        "loops": {"fit_loop": trainer.fit_loop.state_dict(), "validate_loop": trainer.validate_loop.state_dict(),
                  "test_loop": trainer.test_loop.state_dict(), "predict_loop": trainer.predict_loop.state_dict()}}
    if not weights_only:
        checkpoint["callbacks"] = {c.state_key: state for c in trainer.callbacks if (state := c.state_dict())}
        checkpoint["optimizer_states"] = [optimizer.state_dict() for optimizer in trainer.optimizers]
        checkpoint["lr_schedulers"] = [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]
        precision = trainer.precision_plugin
        if precision.state_dict():
            checkpoint[type(precision).__qualname__] = precision.state_dict()
        checkpoint[EXACT] = trainer.fit_loop.exact_state()
    for obj in (model, datamodule):
        if obj is not None and getattr(obj, "hparams", None):
            if hasattr(obj, "_hparams_name"):
                checkpoint[obj.CHECKPOINT_HYPER_PARAMS_NAME] = obj._hparams_name
            plain = type(obj.hparams).__module__.partition(".")[0] != "omegaconf"
            checkpoint[obj.CHECKPOINT_HYPER_PARAMS_KEY] = dict(obj.hparams) if plain else obj.hparams
            if not plain:
                checkpoint[obj.CHECKPOINT_HYPER_PARAMS_TYPE] = type(obj.hparams)
    if datamodule is not None and (state := datamodule.state_dict()):
        checkpoint[type(datamodule).__qualname__] = state
    if not weights_only:
        for callback in trainer.callbacks:
            callback.on_save_checkpoint(trainer, model, checkpoint)
    trainer.hooks.call("on_save_checkpoint", checkpoint)
    return checkpoint


def save(trainer: Any, path: Any, weights_only: bool = False) -> None:
    """Write the checkpoint of now; the file appears whole or not at all."""
    from rushlight.serialization.saving import save as write
    if trainer.lightning_module is None:
        raise AttributeError("Saving a checkpoint is only possible if a model is attached to the Trainer. Did you"
                             " call `Trainer.save_checkpoint()` before calling `Trainer.{fit,validate,test,predict}`?")
    path, state = os.fspath(path), dump(trainer, weights_only)
    if trainer.is_global_zero:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        write(state, path)
    trainer.strategy.barrier()


class Restorer:
    """A run that goes on from a checkpoint: its parts, restored at their times."""

    def __init__(self, trainer: Any, path: Any, weights_only: bool | None = None):
        self.trainer, self.path = trainer, path
        self.checkpoint: dict[str, Any] = {}
        if path:
            rank_zero_info(f"Restoring states from the checkpoint path at {path}")
            self.checkpoint = read_checkpoint(path, weights_only=weights_only)
            if "state_dict" not in self.checkpoint:
                raise MisconfigurationException(f"{path} holds no 'state_dict': it is not a checkpoint of a Trainer"
                                                f" (its keys: {list(self.checkpoint)}). Load a plain state dict with"
                                                " `model.load_state_dict(torch.load(path))`.")

    def model_and_callbacks(self) -> None:
        """The module's parameters, the data module's and the callbacks' states."""
        if not self.checkpoint:
            return
        trainer, checkpoint = self.trainer, self.checkpoint
        model, datamodule = trainer.lightning_module, trainer.datamodule
        trainer.hooks.call("on_load_checkpoint", checkpoint)
        model.load_state_dict(checkpoint["state_dict"], strict=model.strict_loading)
        if datamodule is not None and type(datamodule).__qualname__ in checkpoint:
            datamodule.load_state_dict(checkpoint[type(datamodule).__qualname__])
        states = checkpoint.get("callbacks")
        if states is None:
            return
        for callback in trainer.callbacks:
            callback.on_load_checkpoint(trainer, model, checkpoint)
        missing = set(states) - {c.state_key for c in trainer.callbacks}
        if missing and trainer.state.fn == "fit":
            rank_zero_warn("Be aware that when using `ckpt_path`, callbacks used to create the checkpoint need to be"
                           " provided during `Trainer` instantiation. Please add the following callbacks:"
                           f" {sorted(map(str, missing))}.")
        for callback in trainer.callbacks:
            if callback.state_key in states:
                callback.load_state_dict(states[callback.state_key])

    def training(self) -> None:
        """Counters, optimizers and schedulers. KeyError for a checkpoint that holds weights alone."""
        if not self.checkpoint:
            return
        trainer, checkpoint = self.trainer, self.checkpoint
        precision = trainer.precision_plugin
        if type(precision).__qualname__ in checkpoint:
            precision.load_state_dict(checkpoint[type(precision).__qualname__])
        if trainer.state.fn == "fit":
            for key, what in (("optimizer_states", "optimizer"), ("lr_schedulers", "learning rate scheduler")):
                if key not in checkpoint:
                    raise KeyError(f"Trying to restore {what} state but checkpoint contains only the model."
                                   " This is probably due to `ModelCheckpoint.save_weights_only` being set to `True`.")
            if "loops" in checkpoint:
                trainer.fit_loop.load_state_dict(checkpoint["loops"]["fit_loop"], checkpoint.get(EXACT))
            if trainer.max_epochs not in (None, -1) and trainer.current_epoch > trainer.max_epochs:
                raise MisconfigurationException(f"You restored a checkpoint with current_epoch={trainer.current_epoch},"
                                                f" but you have set Trainer(max_epochs={trainer.max_epochs}).")
            for optimizer, state in zip(trainer.optimizers, checkpoint["optimizer_states"]):
                optimizer.load_state_dict(state)
            for config, state in zip(trainer.lr_scheduler_configs, checkpoint["lr_schedulers"]):
                config.scheduler.load_state_dict(state)
        rank_zero_info(f"{'Restored all states' if trainer.state.fn == 'fit' else 'Loaded model weights'} from the"
                       f" checkpoint at {self.path}")
        self.checkpoint = {}


def choose(trainer: Any, ckpt_path: Any, model_given: bool) -> Any:
    """The path that "best", "last", "hpc" or nothing stands for. ValueError where there is none."""
    fn = trainer.state.fn.value
    if ckpt_path is None:
        if model_given:
            return None
        rank_zero_warn(f"`.{fn}(ckpt_path=None)` was called without a model. "
                       "The best model of the previous `fit` call will be used. "
                       f"You can pass `.{fn}(ckpt_path='best')` to use the best model or `.{fn}(ckpt_path='last')` "
                       "to use the last model. If you pass a value, this warning will be silenced.")
        ckpt_path = "best"
    if ckpt_path == "best":
        return _best(trainer, fn)
    if ckpt_path == "last":
        found = {p for c in trainer.checkpoint_callbacks if hasattr(c,
                                                                    "_find_last_checkpoints")
                 for p in c._find_last_checkpoints(trainer)}
        if not found:
            rank_zero_warn(f'.{fn}(ckpt_path="last") is set, but there is no last checkpoint available.'
                           " No checkpoint will be loaded. HINT: Set `ModelCheckpoint(..., save_last=True)`.")
            return None
        return max(found, key=os.path.getmtime)
    if ckpt_path == "hpc":
        raise ValueError(f'`.{fn}(ckpt_path="hpc")` is set but no HPC checkpoint was found.'
                         f" Please pass an exact checkpoint path to `.{fn}(ckpt_path=...)`")
    if not ckpt_path:
        raise ValueError(f"`.{fn}()` found no path for the best weights: {ckpt_path!r}. Please specify a path for a"
                         f" checkpoint `.{fn}(ckpt_path=PATH)`")
    return ckpt_path


def _best(trainer: Any, fn: str) -> str:
    callback = trainer.checkpoint_callback
    if callback is None:
        raise ValueError(f'`.{fn}(ckpt_path="best")` is set but `ModelCheckpoint` is not configured.')
    if len(trainer.checkpoint_callbacks) > 1:
        rank_zero_warn(f'`.{fn}(ckpt_path="best")` is called with Trainer configured with multiple `ModelCheckpoint` '
                       'callbacks. It will use the best checkpoint path from first checkpoint callback.')
    path = getattr(callback, "best_model_path", "")
    if path:
        return str(path)
    if trainer.fast_dev_run:
        raise ValueError(f'You cannot execute `.{fn}(ckpt_path="best")` with `fast_dev_run=True`.'
                         f" Please pass an exact checkpoint path to `.{fn}(ckpt_path=...)`")
    raise ValueError(f'`.{fn}(ckpt_path="best")` is set but `ModelCheckpoint` is not '
                     'configured to save the best model.')
