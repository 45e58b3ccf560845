"""The largest batch that fits, by trial."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.lightning.tuner.trial import trial
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.parsing import lightning_getattr, lightning_hasattr, lightning_setattr
from rushlight.lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn


def scale_batch_size(trainer: Any, model: Any, mode: str = "power", steps_per_trial: int = 3, init_val: int = 2,
                     max_trials: int = 25, batch_arg_name: str = "batch_size") -> int | None:
    """Try sizes amid a run that has been set up; see Tuner.scale_batch_size."""
    if trainer.fast_dev_run:
        rank_zero_warn("Skipping batch size scaler since `fast_dev_run` is enabled.")
        return None
    if trainer.world_size > 1:
        raise MisconfigurationException("The Batch size finder is not yet supported with DDP or its variants.")
    if not lightning_hasattr(model, batch_arg_name):
        raise MisconfigurationException(f"Field {batch_arg_name} not found in `model`, `datamodule`, nor their"
                                        " `hparams` attributes.")
    fn = trainer.state.fn.value
    if {"fit": "train"}.get(fn, fn) in trainer._data.given:
        raise MisconfigurationException("The Batch size finder cannot be used with dataloaders passed directly to"
                                        f" `.{fn}()`. Please disable the feature or incorporate the dataloader into"
                                        " your LightningModule or LightningDataModule.")
    at_first = lightning_getattr(model, batch_arg_name)
    most: list[int] = []  # how many samples there are: a larger batch would be no other
    try:
        with trial(trainer, model, [], steps_per_trial) as prepare:
            found = SEARCHES[mode](lambda size: _fits(model, batch_arg_name, size, prepare(), most),
                                   init_val, max_trials, most)
    except BaseException:
        lightning_setattr(model, batch_arg_name, at_first)
        raise
    getattr(trainer, f"{fn}_loop").teardown()  # the loaders are made again, with the new size
    lightning_setattr(model, batch_arg_name, found)
    rank_zero_info(f"Finished batch size finder, will continue with full run using batch size {found}")
    return found


def _fits(model: Any, name: str, size: int, loop: Any, most: list[int]) -> bool:
    """Whether a few steps with this size succeed."""
    lightning_setattr(model, name, size)
    try:
        loop.run()
        dataset: Any = getattr(loop.loader.flattened[0], "dataset", None)
        most[:] = [len(dataset)] if hasattr(dataset, "__len__") else []
    except (MemoryError, RuntimeError) as e:
        if not isinstance(e, MemoryError) and "memory" not in str(e).lower():
            raise
        rank_zero_info(f"Batch size {size} failed, trying batch size {size // 2}")
        return False
    finally:
        loop.teardown()
        model.zero_grad()
    rank_zero_info(f"Batch size {size} succeeded, trying batch size {size * 2}")
    return True


def _power(fits: Callable[[int], bool], size: int, trials: int, most: list[int]) -> int:
    best = size
    for _ in range(trials + 1):  # so many doublings; the last size is tried, too
        if not fits(size):
            return max(1, size // 2)
        best = size
        if most and size >= most[0]:
            return most[0]
        size *= 2
    return best


def _binary(fits: Callable[[int], bool], size: int, trials: int, most: list[int]) -> int:
    low, high = 1, None
    for _ in range(trials):
        if fits(size):
            low = size
            if most and size >= most[0]:
                return most[0]
            if high is None:
                size *= 2
                continue
        else:
            high = size
        if high is not None and high - low <= 1:
            break
        size = (low + (high or 2 * low)) // 2
    return low


SEARCHES = {"power": _power, "binsearch": _binary}
