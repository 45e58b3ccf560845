"""What configure_optimizers returned, as optimizers and schedulers."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.overrides import is_overridden, takes
from rushlight.lightning.utilities.rank_zero import rank_zero_warn
from rushlight.lightning.utilities.types import LRSchedulerConfig, LRSchedulerTypeTuple
from rushlight.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

FORMS = """Unknown configuration for model optimizers. Output from `model.configure_optimizers()` should be one of:
 * `Optimizer`
 * [`Optimizer`]
 * ([`Optimizer`], [`LRScheduler`])
 * {"optimizer": `Optimizer`, (optional) "lr_scheduler": `LRScheduler`}
"""
SCHEDULER_KEYS = {f.name for f in fields(LRSchedulerConfig)}


class NoOptimizer:
    """Stands in where configure_optimizers returned None: its step runs the closure and changes nothing."""

    def __init__(self) -> None:
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Any, Any] = {}
        self.defaults: dict[str, Any] = {}

    def step(self, closure: Any = None) -> Any:
        """Run the closure."""
        return closure() if closure is not None else None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Nothing."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing."""

    def __repr__(self) -> str:
        return "No Optimizer"


def optimizers_of(model: Any, configured: Any) -> tuple[list[Any], list[LRSchedulerConfig]]:
    """The optimizers and schedulers of a module; MisconfigurationException or RuntimeError where they do not fit it."""
    if configured is None:
        rank_zero_warn("`LightningModule.configure_optimizers` returned `None`, this fit will run with no optimizer")
        configured = NoOptimizer()
    optimizers, schedulers, monitor = parse(configured)
    make = _automatic if model.automatic_optimization else _manual
    configs = [make(scheduler, monitor) for scheduler in schedulers]
    _check_several(model, optimizers)
    for config in configs:
        if not any(config.scheduler.optimizer is o for o in optimizers):
            raise MisconfigurationException("Some schedulers are attached with an optimizer that wasn't returned"
                                            " from `configure_optimizers`.")
        _check_interface(config.scheduler, model)
    return optimizers, configs


def _is_optimizer(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("param_groups", "state", "step",
                                                 "state_dict", "load_state_dict", "zero_grad"))


def _all(values: Any, test: Any) -> bool:
    return isinstance(values, (list, tuple)) and all(test(v) for v in values)


def parse(configured: Any) -> tuple[list[Any], list[Any], str | None]:
    """Optimizers, schedulers as they were given, and the metric of a plateau scheduler.

    >>> import rushlight as rl
    >>> sgd = rl.optim.SGD([rl.zeros(1, requires_grad=True)], lr=0.1)
    >>> parse(([sgd], []))[0] == parse({"optimizer": sgd})[0] == parse(sgd)[0] == [sgd]
    True
    """
    if _is_optimizer(configured):
        return [configured], [], None
    if isinstance(configured, dict):
        _check_keys(configured)
        return [configured["optimizer"]], _scheduler_of(configured), configured.get("monitor")
    if (
        isinstance(configured, (list, tuple))
        and len(configured) == 2
        and isinstance(configured[0], list)
        and _all(configured[0], _is_optimizer)
    ):
        optimizers, schedulers = configured
        return optimizers, schedulers if isinstance(schedulers, list) else [schedulers], None
    if _all(configured, lambda c: isinstance(c, dict)):
        for one in configured:
            _check_keys(one)
        schedulers = [s if isinstance(s, dict) else {"scheduler": s} for one in configured for s in _scheduler_of(one)]
        return [one["optimizer"] for one in configured], schedulers, None
    if _all(configured, _is_optimizer):
        return list(configured), [], None
    raise MisconfigurationException(FORMS + f"but it is of {type(configured)}")


def _scheduler_of(configured: dict[str, Any]) -> list[Any]:
    return [configured["lr_scheduler"]] if "lr_scheduler" in configured else []


def _check_keys(configured: dict[str, Any]) -> None:
    extra = configured.keys() - {"optimizer", "lr_scheduler", "monitor"}
    if extra:
        rank_zero_warn(f"Found unsupported keys in the optimizer configuration: {set(extra)}", category=RuntimeWarning)
    if "optimizer" not in configured:
        raise MisconfigurationException('The dict that `configure_optimizers` returns must have the key "optimizer".')


def _automatic(scheduler: Any, monitor: str | None) -> LRSchedulerConfig:
    if not isinstance(scheduler, dict):
        plateau = isinstance(scheduler, ReduceLROnPlateau)
        if plateau and monitor is None:
            raise MisconfigurationException("`configure_optimizers` must include a monitor when a `ReduceLROnPlateau` "
                                            'scheduler is used. For example: {"optimizer": optimizer, '
                                            '"lr_scheduler": scheduler, "monitor": "metric_to_track"}')
        return LRSchedulerConfig(scheduler, reduce_on_plateau=plateau, monitor=monitor if plateau else None)
    extra = scheduler.keys() - SCHEDULER_KEYS
    if extra:
        rank_zero_warn(f"Found unsupported keys in the lr scheduler dict: {extra}. HINT: remove them from the output"
                       " of `configure_optimizers`.",
                       category=RuntimeWarning)
    given = {key: value for key, value in scheduler.items() if key in SCHEDULER_KEYS}
    if "scheduler" not in given:
        raise MisconfigurationException('The lr scheduler dict must have the key "scheduler" '
                                        'with its item being an lr scheduler')
    config = LRSchedulerConfig(**given)
    if config.interval not in ("step", "epoch"):
        raise MisconfigurationException('The "interval" key in lr scheduler dict must be "step" or "epoch" but is'
                                        f' "{config.interval}"')
    if "reduce_on_plateau" not in given:
        config.reduce_on_plateau = isinstance(config.scheduler, ReduceLROnPlateau)
    if config.reduce_on_plateau and config.monitor is None:
        raise MisconfigurationException(
            "The lr scheduler dict must include a monitor when a `ReduceLROnPlateau` scheduler is used."
            ' For example: {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "your_loss"}}')
    if isinstance(config.scheduler, OneCycleLR) and config.interval == "epoch":
        rank_zero_warn("A `OneCycleLR` scheduler is using 'interval': 'epoch'. Are you sure you didn't mean"
                       " 'interval': 'step'?",
                       category=RuntimeWarning)
    return config


def _manual(scheduler: Any, monitor: str | None) -> LRSchedulerConfig:
    if not isinstance(scheduler, dict):
        return LRSchedulerConfig(scheduler)
    unused = [key for key in scheduler if key in ("reduce_on_plateau", "monitor", "strict")]
    if unused:
        rank_zero_warn(f"The lr scheduler dict contains the key(s) {unused}, but the keys will be ignored. You need"
                       " to call `lr_scheduler.step()` manually in manual optimization.", category=RuntimeWarning)
    return LRSchedulerConfig(**{key: value for key, value in scheduler.items() if key not in unused})


def _check_several(model: Any, optimizers: list[Any]) -> None:
    if takes(model.training_step, "optimizer_idx") and not takes(model.training_step, "no such name"):
        raise RuntimeError("Training with multiple optimizers is only supported with manual optimization. Remove the"
                           " `optimizer_idx` argument from `training_step`, set `self.automatic_optimization ="
                           " False` and access your optimizers in `training_step` with `opt1, opt2, ... ="
                           " self.optimizers()`.")
    if model.automatic_optimization and len(optimizers) > 1:
        raise RuntimeError("Training with multiple optimizers is only supported with manual optimization. Set"
                           " `self.automatic_optimization = False`, then access your optimizers in `training_step` with"
                           " `opt1, opt2, ... = self.optimizers()`.")


def _check_interface(scheduler: Any, model: Any) -> None:
    name = type(scheduler).__name__
    if not (hasattr(scheduler, "state_dict") and hasattr(scheduler, "load_state_dict")):
        raise TypeError(f"The provided lr scheduler `{name}` is invalid. It should have `state_dict` and"
                        " `load_state_dict` methods defined.")
    if (
        model.automatic_optimization
        and not isinstance(scheduler, LRSchedulerTypeTuple)
        and not is_overridden("lr_scheduler_step", model)
    ):
        raise MisconfigurationException(
            f"The provided lr scheduler `{name}` doesn't follow PyTorch's LRScheduler API. You should override the"
            " `LightningModule.lr_scheduler_step` hook with your own logic if you are using a custom LR scheduler.")
