"""The base class of learning-rate schedulers."""

from __future__ import annotations

import types
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from rushlight.optim.optimizer import Optimizer
from rushlight.tensor.core import Tensor

HELP = "See more details at https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"
REPLACED = ("Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. "
            "Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`. " + HELP)
TOO_EARLY = ("Detected call of `lr_scheduler.step()` before `optimizer.step()`: "
             "the first value of the schedule is skipped. Call `optimizer.step()` first. " + HELP)
EPOCH_DEPRECATION_WARNING = ("The epoch parameter in `scheduler.step()` was not necessary and is being deprecated "
                             "where possible. Please use `scheduler.step()` to step the scheduler.")


def require_optimizer(optimizer: Any) -> None:
    """TypeError unless it is an optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def setting(group: dict[str, Any], key: str) -> Any:
    """A setting of a group; a tensor as a copy, because the schedule changes tensors in place."""
    value = group[key]
    return value.clone() if isinstance(value, Tensor) else value


def assign(group: dict[str, Any], key: str, value: Any) -> None:
    """Set a setting of a group; a tensor keeps its identity."""
    if isinstance(group[key], Tensor):
        group[key].fill_(value.item() if isinstance(value, Tensor) else value)
    else:
        group[key] = value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value for each parameter group, from a list of them or one for all."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        value = [value] * count
    elif len(value) != count:
        raise ValueError(f"{name} must have the same length as optimizer.param_groups. "
                         f"{name} has {len(value)} values, param_groups has {count}.")
    return [v.clone() if isinstance(v, Tensor) else v for v in value]


def callable_state(function: Any) -> dict[str, Any] | None:
    """What to save of a user's callable: the attributes of an object, nothing of a plain function."""
    return None if isinstance(function, types.FunctionType) else dict(function.__dict__)


def watch_steps(optimizer: Optimizer) -> None:
    """Make the optimizer note in ``_opt_called`` that it has stepped; once for each optimizer."""
    step = optimizer.step
    if hasattr(step, "_wrapped_by_lr_sched"):
        return
    # a strong reference would keep the optimizer alive in a cycle
    owner, function = weakref.ref(optimizer), step.__func__  # type: ignore[attr-defined]

    @wraps(function)
    def noted(*args: Any, **kwargs: Any) -> Any:
        me = owner()
        assert me is not None, "the optimizer of a running step is alive"
        me._opt_called = True  # type: ignore[attr-defined]
        return function(me, *args, **kwargs)
    noted._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    optimizer.step = noted  # type: ignore[method-assign]


class LRScheduler:
    """Base class: a subclass defines ``get_lr``, the rates of the groups for ``last_epoch``.

    Making a scheduler sets the rates of epoch 0 (or of ``last_epoch + 1`` when resuming, which needs ``initial_lr`` in
    each group: KeyError otherwise). A subclass may define ``_get_closed_form_lr`` for the deprecated ``step(epoch)``.
    """

    _get_lr_called_within_step = False
    _is_initial = False
    _unsaved: tuple[str, ...] = ("optimizer",)

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        require_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", setting(group, "lr"))
            elif "initial_lr" not in group:
                raise KeyError(f"param 'initial_lr' is not specified in param_groups[{i}] "
                               "when resuming scheduler with last_epoch >= 0. "
                               "Load the optimizer's state_dict first, or leave last_epoch at -1 for a fresh run.")
        self.base_lrs = [setting(group, "initial_lr") for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        watch_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        with self._flag("_is_initial"):
            self.step()

    @contextmanager
    def _flag(self, name: str) -> Iterator[None]:
        setattr(self, name, True)
        try:
            yield
        finally:
            setattr(self, name, False)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key not in self._unsaved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The rates set by the last step, one for each group."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The rates for ``last_epoch``; for use inside ``step``."""
        raise NotImplementedError

    def _current(self) -> list[Any]:
        return [setting(group, "lr") for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[Any]:
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn("To get the last learning rate computed by the scheduler, "
                          "please use `get_last_lr()`.", UserWarning, stacklevel=3)

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch (or, deprecated, to `epoch`) and set its rates."""
        if self._step_count == 1:
            if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
                warnings.warn(REPLACED, UserWarning, stacklevel=2)
            elif not getattr(self.optimizer, "_opt_called", False):
                warnings.warn(TOO_EARLY, UserWarning, stacklevel=2)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed = None if epoch is None else getattr(self, "_get_closed_form_lr", None)
        with self._flag("_get_lr_called_within_step"):
            self._set_rates((closed or self.get_lr)())

    def _set_rates(self, rates: list[Any]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            assign(group, "lr", rate)
        self._last_lr = self._current()


class _LRScheduler(LRScheduler):
    """The old name of LRScheduler."""
