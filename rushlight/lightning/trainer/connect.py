"""The callbacks and loggers of a trainer: those given, and those that it has by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import rank_zero_info


def callbacks_of(trainer: Any, given: Any, checkpoints: bool | None, bar: bool | None,
                 summary: bool | None) -> list[Any]:
    """The callbacks, those that write checkpoints last.
    MisconfigurationException where a callback is given and switched off."""
    from rushlight.lightning.callbacks import (
        GradientAccumulationScheduler,
        ModelCheckpoint,
        ModelSummary,
        ProgressBar,
        Timer,
        TQDMProgressBar,
    )
    from rushlight.lightning.callbacks.callback import Callback
    from rushlight.lightning.callbacks.checkpoint import Checkpoint
    found = [] if given is None else [given] if isinstance(given, Callback) else list(given)
    for callback in found:
        if not isinstance(callback, Callback):
            raise MisconfigurationException("Trainer(callbacks=...) takes callbacks, "
                                            f"but {callback!r} is no `Callback`.")

    def have(kind: type) -> list[Any]:
        return [c for c in found if isinstance(c, kind)]
    if have(Checkpoint) and checkpoints is False:
        raise MisconfigurationException("Trainer was configured with `enable_checkpointing=False` but found"
                                        " `ModelCheckpoint` in callbacks list.")
    if have(GradientAccumulationScheduler) and trainer.accumulate_grad_batches != 1:
        raise MisconfigurationException("You have set both `accumulate_grad_batches` and passed an instance of"
                                        " `GradientAccumulationScheduler` inside callbacks. Either remove"
                                        " `accumulate_grad_batches` from trainer or remove"
                                        " `GradientAccumulationScheduler` from callbacks list.")
    bars = have(ProgressBar)
    if len(bars) > 1:
        raise MisconfigurationException("You added multiple progress bar callbacks to the Trainer, but currently"
                                        " only one progress bar is supported.")
    if bars and bar is False:
        raise MisconfigurationException("Trainer was configured with `enable_progress_bar=False` but found"
                                        f" `{type(bars[0]).__name__}` in callbacks list.")
    if not bars and bar is not False:
        found.append(TQDMProgressBar())
    if not have(ModelSummary) and summary is not False:
        found.append(ModelSummary())
    if not have(Checkpoint) and checkpoints is not False:
        found.append(ModelCheckpoint())
    if trainer._max_time is not None:
        if have(Timer):
            rank_zero_info("Ignoring `Trainer(max_time=...)`, callbacks list already contains a Timer.")
        else:
            found.append(Timer(duration=trainer._max_time, interval="step"))
    return ordered(found)


def ordered(callbacks: list[Any]) -> list[Any]:
    """Callbacks that tune first, those that write checkpoints last. RuntimeError for two with the same state."""
    from rushlight.lightning.callbacks.batch_size_finder import BatchSizeFinder
    from rushlight.lightning.callbacks.callback import Callback
    from rushlight.lightning.callbacks.checkpoint import Checkpoint
    from rushlight.lightning.utilities.overrides import is_overridden
    rank = lambda c: 2 if isinstance(c, Checkpoint) else 0 if isinstance(c, BatchSizeFinder) else 1
    keys: set[Any] = set()
    for callback in callbacks:
        if callback.state_key in keys and is_overridden("state_dict", callback, Callback):
            raise RuntimeError(f"Found more than one stateful callback of type `{type(callback).__name__}`. "
                               "In the current configuration, this callback does not support "
                               "being saved alongside other instances of the same type. "
                               f"Please consult the documentation of `{type(callback).__name__}` "
                               "regarding valid settings for the callback state to be checkpointable. "
                               "HINT: The `callback.state_key` must be unique among all callbacks in the Trainer.")
        keys.add(callback.state_key)
    return sorted(callbacks, key=rank)


def attach_model_callbacks(trainer: Any) -> None:
    """Add the callbacks of the module's configure_callbacks;
    they take the places of the trainer's of the same classes."""
    own = trainer.hooks.call("configure_callbacks")
    own = list(own) if isinstance(own, Iterable) else [own]
    for callback in own:
        callback.log = trainer.lightning_module.log
        callback.log_dict = trainer.lightning_module.log_dict
    if own:
        kinds = {type(c) for c in own}
        replaced = sorted({type(c).__name__ for c in trainer.callbacks if type(c) in kinds})
        if replaced:
            rank_zero_info("The following callbacks returned in `LightningModule.configure_callbacks` will override"
                           f" existing callbacks passed to Trainer: {', '.join(replaced)}")
        trainer.callbacks = ordered([*(c for c in trainer.callbacks if type(c) not in kinds), *own])
    for callback in trainer.callbacks:
        callback.log = trainer.lightning_module.log
        callback.log_dict = trainer.lightning_module.log_dict


def loggers_of(trainer: Any, given: Any) -> list[Any]:
    """The loggers: none, those given, or TensorBoard's where tensorboardX is installed, else CSV."""
    from rushlight.lightning import loggers
    if given is False:
        return []
    if given is True or given is None:
        from rushlight.lightning.loggers.tensorboard import available

        made = (
            loggers.TensorBoardLogger(trainer.default_root_dir)
            if available()
            else loggers.CSVLogger(trainer.default_root_dir)
        )
        chosen: list[Any] = [made]
    else:
        chosen = list(given) if isinstance(given, Iterable) else [given]
    return [loggers.DummyLogger()] if trainer.fast_dev_run and chosen else chosen
