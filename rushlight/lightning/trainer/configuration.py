"""The Trainer's arguments, checked and completed."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn

DEFAULT_EPOCHS = 1000


def limit(value: float | int | None, name: str) -> float | int:
    """A limit of batches: a share between 0.0 and 1.0, or a number of them.
    MisconfigurationException for anything else.

    >>> limit(None, "limit_val_batches"), limit(0.5, "limit_val_batches"), limit(3, "limit_val_batches")
    (1.0, 0.5, 3)
    """
    if value is None:
        return 1.0
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, float) and (0 <= value <= 1):
        return value
    if isinstance(value, float) and value.is_integer() and value > 1:
        return int(value)
    raise MisconfigurationException(f"You have passed invalid value {value} for {name}, "
                                    "it has to be in [0.0, 1.0] or an int.")


def positive(value: Any, name: str) -> int:
    """An int above 0, or MisconfigurationException."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise MisconfigurationException(f"`{name}` should be an int greater than 0, but got {value!r}.")
    return value


def clipping(value: Any, algorithm: Any) -> str | None:
    """The name of the way to clip. TypeError or MisconfigurationException for wrong values."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise TypeError(f"`gradient_clip_val` should be an int or a float. Got {value}.")
    if algorithm is None:
        return None
    name = getattr(algorithm, "value", algorithm)
    if not isinstance(name, str) or name.lower() not in ("value", "norm"):
        raise MisconfigurationException(f"`gradient_clip_algorithm` {algorithm} is invalid. Allowed algorithms:"
                                        " ['value', 'norm'].")
    return name.lower()


def intervals(trainer: Any, val_check_interval: Any, check_val_every_n_epoch: Any, reload: Any) -> None:
    """When validation comes, and when loaders are made again."""
    if check_val_every_n_epoch is not None and not isinstance(check_val_every_n_epoch, int):
        raise MisconfigurationException("`check_val_every_n_epoch` should be an integer, found"
                                        f" {check_val_every_n_epoch!r}.")
    if check_val_every_n_epoch is None and isinstance(val_check_interval, float):
        raise MisconfigurationException("`val_check_interval` should be an integer when `check_val_every_n_epoch=None`,"
                                        f" found {val_check_interval!r}.")
    if val_check_interval is not None and (
        isinstance(val_check_interval, bool) or not isinstance(val_check_interval, (int, float))
    ):
        raise MisconfigurationException("`val_check_interval` should be an int or a float, found"
                                        f" {val_check_interval!r}.")
    if isinstance(reload, bool) or not isinstance(reload, int) or reload < 0:
        raise MisconfigurationException(f"`reload_dataloaders_every_n_epochs` should be an int >= 0, got {reload}.")
    trainer.val_check_interval = limit(val_check_interval, "val_check_interval")
    trainer.check_val_every_n_epoch = check_val_every_n_epoch
    trainer.reload_dataloaders_every_n_epochs = reload


def batch_limits(trainer: Any, train: Any, val: Any, test: Any, predict: Any, overfit: Any, fast_dev_run: Any,
                 num_sanity_val_steps: Any) -> None:
    """How many batches of each kind are used."""
    if isinstance(fast_dev_run, int) and fast_dev_run < 0:
        raise MisconfigurationException(f"fast_dev_run={fast_dev_run!r} is not a valid "
                                        "configuration. It should be >= 0.")
    trainer.fast_dev_run = fast_dev_run
    batches = int(fast_dev_run)
    if batches:
        train = val = test = predict = batches
        num_sanity_val_steps = 0
        rank_zero_info(f"Running in `fast_dev_run` mode: will run the requested loop using {batches} batch(es)."
                       " Logging and checkpointing is suppressed.")
    trainer.overfit_batches = limit(overfit, "overfit_batches")
    if overfit:
        train = val = trainer.overfit_batches
    trainer.limit_train_batches = limit(train, "limit_train_batches")
    trainer.limit_val_batches = limit(val, "limit_val_batches")
    trainer.limit_test_batches = limit(test, "limit_test_batches")
    trainer.limit_predict_batches = limit(predict, "limit_predict_batches")
    steps = 2 if num_sanity_val_steps is None else num_sanity_val_steps
    trainer.num_sanity_val_steps = float("inf") if steps == -1 else steps


def loop_limits(max_epochs: int | None, min_epochs: int | None, max_steps: int, min_steps: int | None,
                max_time: Any) -> tuple[Any, Any]:
    """(min_epochs, max_epochs): 1,000 epochs where nothing else ends training, one at least where min_steps is set."""
    if max_epochs is None:
        if max_steps == -1 and max_time is None:
            rank_zero_warn("`max_epochs` was not set. Setting it to 1000 epochs. To train without an epoch limit,"
                           " set `max_epochs=-1`.")
            max_epochs = DEFAULT_EPOCHS
        else:
            max_epochs = -1
    if min_epochs is None and min_steps is not None:
        min_epochs = 1
    if min_epochs is None and max_time is not None and max_epochs == -1 and max_steps == -1:
        min_epochs = 1
    return min_epochs, max_epochs


def duration(max_time: Any) -> timedelta | None:
    """A limit of time: "DD:HH:MM:SS", a timedelta, or a dict of its arguments.

    >>> duration("00:01:00:05"), duration({"minutes": 2})
    (datetime.timedelta(seconds=3605), datetime.timedelta(seconds=120))
    """
    if max_time is None or isinstance(max_time, timedelta):
        return max_time
    if isinstance(max_time, dict):
        return timedelta(**max_time)
    parts = str(max_time).split(":")
    if (
        len(parts) != 4
        or not all(part.isdigit() for part in parts)
        or int(parts[1]) > 23
        or int(parts[2]) > 59
        or int(parts[3]) > 59
    ):
        raise MisconfigurationException(f"`Timer(duration={max_time!r})` is not a valid duration. Expected a string"
                                        " in the format DD:HH:MM:SS.")
    days, hours, minutes, seconds = map(int, parts)
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def barebones(given: dict[str, Any]) -> None:
    """MisconfigurationException for arguments that Trainer(barebones=True) excludes."""
    excluded = [name for name, value in given.items() if value]
    if excluded:
        raise MisconfigurationException(f"`Trainer(barebones=True, {excluded[0]}={given[excluded[0]]!r})` was"
                                        " passed. Barebones switches off checkpoints, logging, the progress bar, the"
                                        " summary, the sanity check, fast_dev_run, anomaly detection and profiling:"
                                        " remove one of the two.")


def root_dir(default_root_dir: Any) -> str:
    """The folder for logs and checkpoints, the current one by default."""
    return (
        os.getcwd() if default_root_dir is None else os.path.normpath(os.path.expanduser(os.fspath(default_root_dir)))
    )


def verify(trainer: Any, model: Any) -> None:
    """MisconfigurationException where the module lacks what a run needs, or has hooks of older versions."""
    from rushlight.lightning.utilities.overrides import is_overridden
    fn = trainer.state.fn
    needed = {"fit": ("training_step", "train", "fit"), "validate": ("validation_step", "validate", "validate"),
              "test": ("test_step", "test", "test"), "predict": ("predict_step", "predict", "predict")}[fn]
    step, stage, method = needed
    if stage != "predict" and not is_overridden(step, model):
        raise MisconfigurationException(f"No `{step}()` method defined. Lightning `Trainer.{method}` expects as minimum"
                                        + (" `training_step()`, `train_dataloader()` and `configure_optimizers()` "
                                           "to be defined." if fn == "fit" else f" `{step}()` to be defined."))
    if not trainer._data.defined(stage):
        raise MisconfigurationException(f"`Trainer.{method}()` requires a `{_loader_name(stage)}()` to run; pass"
                                        " loaders to it, or define the method in the module or data module.")
    if fn == "fit":
        _verify_fit(trainer, model, is_overridden)
    for name in _REMOVED:
        if callable(getattr(model, name, None)):
            raise NotImplementedError(f"Support for `{name}` has been removed in v2.0.0. `{type(model).__name__}`"
                                      f" implements this method. You can use the `{_REMOVED[name]}` hook instead.")


def _verify_fit(trainer: Any, model: Any, is_overridden: Any) -> None:
    if not is_overridden("configure_optimizers", model):
        raise MisconfigurationException("No `configure_optimizers()` method defined. Lightning `Trainer.fit` expects"
                                        " as minimum `training_step()`, `train_dataloader()` and"
                                        " `configure_optimizers()` to be defined.")
    data, step = trainer._data.defined("validate"), is_overridden("validation_step", model)
    if data and not step:
        rank_zero_warn("You passed in a `val_dataloader` but have no `validation_step`. Skipping val loop.")
    if step and not data:
        rank_zero_warn("You defined a `validation_step` but have no `val_dataloader`. Skipping val loop.")
    if not model.automatic_optimization:
        if trainer.gradient_clip_val is not None and trainer.gradient_clip_val > 0:
            raise MisconfigurationException("Automatic gradient clipping is not supported for manual optimization."
                                            f" Remove `Trainer(gradient_clip_val={trainer.gradient_clip_val})` or"
                                            " switch to automatic optimization.")
        if trainer.accumulate_grad_batches != 1:
            raise MisconfigurationException("Automatic gradient accumulation is not supported for manual"
                                            " optimization. Remove"
                                            f" `Trainer(accumulate_grad_batches={trainer.accumulate_grad_batches})`"
                                            " or switch to automatic optimization.")


_REMOVED = {"training_epoch_end": "on_train_epoch_end", "validation_epoch_end": "on_validation_epoch_end",
            "test_epoch_end": "on_test_epoch_end"}


def _loader_name(stage: str) -> str:
    return {"validate": "val"}.get(stage, stage) + "_dataloader"
